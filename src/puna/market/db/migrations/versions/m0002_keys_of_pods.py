"""The keys that lie in a pod are found by it, however many keys there are."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the index."""
    op.create_index("keys_by_pod", "keys", ["pod"], unique=False)
