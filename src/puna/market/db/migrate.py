"""Brings the tables of a database to this version. Migrations are only ever added."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

FOLDER = Path(__file__).with_name("migrations")


def upgrade(connection: Connection, to: str = "head") -> None:
    """Apply what is missing, in order; nothing where nothing is. Blocks."""
    command.upgrade(config(connection), to)


def config(connection: Connection) -> Config:
    """Return what Alembic needs to know, without a file of its own."""
    settings = Config()
    settings.set_main_option("script_location", str(FOLDER))
    settings.attributes["connection"] = connection
    return settings
