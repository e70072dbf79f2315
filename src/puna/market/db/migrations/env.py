"""Alembic's entry: runs migrations over the connection that it was given."""

from alembic import context

from puna.market.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
