"""Pods are found by their host, in the order of their ids, and where they want a place.

However many there are: a page of open pods was sorted out of all of them, and those of one card's
hosts were looked for among all.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Put these indexes in place of two others."""
    op.drop_index("pods_open", table_name="pods")
    op.drop_index("ix_pods_host", table_name="pods")
    op.create_index("pods_open", "pods", ["closed", "id"], unique=False)
    op.create_index("pods_by_host", "pods", ["host", "closed", "id"], unique=False)
    unplaced = sa.text(
        "closed IS NULL AND (host IS NULL OR observed = 'failed' OR reason = 'outbid')"
    )
    op.create_index(
        "pods_unplaced",
        "pods",
        ["closed", "id"],
        unique=False,
        sqlite_where=unplaced,
        postgresql_where=unplaced,
    )
