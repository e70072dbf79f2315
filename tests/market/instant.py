"""SQLite that answers at once: the same engine and file, without a thread for each connection.

A market's tests and simulations spend most of their time on handing statements to another thread
and back. Here a statement runs where it is asked for. Transactions must therefore not wait for
anything but the database while they are open, which is a rule of the market anyhow.
"""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from puna.market.db import database as room
from puna.market.db.database import Database
from puna.market.db.migrate import upgrade

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - folders of random names in it


class Cursor:
    """aiosqlite's, as far as SQLAlchemy uses it."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._cursor.close()

    def __getattr__(self, name: str) -> object:
        return getattr(self._cursor, name)

    async def execute(self, statement: str, values: Sequence[object] = ()) -> Self:
        self._cursor.execute(statement, values)
        return self

    async def executemany(self, statement: str, rows: Sequence[Sequence[object]]) -> Self:
        self._cursor.executemany(statement, rows)
        return self

    async def fetchall(self) -> list[Any]:
        return self._cursor.fetchall()

    async def fetchone(self) -> object:
        return self._cursor.fetchone()

    async def close(self) -> None:
        self._cursor.close()


class Queue:
    """Where aiosqlite puts what its thread is to do; done at once."""

    @staticmethod
    def put_nowait(task: tuple[asyncio.Future[object], Callable[[], object]]) -> None:
        future, work = task
        future.set_result(work())


class Connection:
    """aiosqlite's, as far as SQLAlchemy uses it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._conn = self._connection = connection
        self._tx = Queue()

    def __getattr__(self, name: str) -> object:
        return getattr(self._conn, name)

    def cursor(self) -> Cursor:
        return Cursor(self._conn.cursor())

    async def rollback(self) -> None:
        self._conn.rollback()

    async def commit(self) -> None:
        self._conn.commit()

    async def close(self) -> None:
        self._conn.close()

    def create_function(
        self, name: str, count: int, function: Callable[..., str], **options: bool
    ) -> Awaitable[None]:
        self._conn.create_function(name, count, function, **options)
        return _nothing()


async def _nothing() -> None:
    return None


async def _connect(path: str, **options: Any) -> Connection:  # noqa: ANN401 - SQLAlchemy's
    return Connection(sqlite3.connect(path, **options))


def instant_engine(path: Path) -> AsyncEngine:
    """Return an engine over a market's file, set up as the market's own."""
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{path}", connect_args={"async_creator_fn": _connect}
    )
    event.listen(engine.sync_engine, "connect", room._prepare)
    event.listen(engine.sync_engine, "begin", room._begin)
    return engine


def instant_database(folder: Path) -> Database:
    """Return a market's database in a folder, copied from one that was made once."""
    path = folder / "market.db"
    shutil.copyfile(_made(), path)
    return Database(instant_engine(path))


@cache
def _made() -> Path:
    folder = tempfile.mkdtemp(prefix="puna-market-", dir=MEMORY)
    path = Path(folder) / "market.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()
    return path
