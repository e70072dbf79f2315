"""The first tables: accounts, keys, hosts, pods, and the ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them, those that others refer to first."""
    _make_accounts()
    _make_balances()
    _make_entries()
    _make_budgets()
    _make_hosts()
    _make_join_tokens()
    _make_keys()
    _make_postings()
    _make_registries()
    _make_secrets()
    _make_templates()
    _make_pods()
    _make_gateway()
    _make_bill_lines()
    _make_events()
    _make_meters()
    _make_orphans()
    _make_notices()
    _make_loop_turns()


def _make_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("email", sa.String(length=320), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("public_keys", sa.JSON(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
    )


def _make_balances() -> None:
    op.create_table(
        "balances",
        sa.Column("book", sa.String(length=64), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("book"),
    )


def _make_entries() -> None:
    op.create_table(
        "entries",
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=512), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )


def _make_budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=32), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("period", sa.String(length=16), nullable=False),
        sa.Column("limit", sa.BigInteger(), nullable=False),
        sa.Column("floor", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_budgets_account"), "budgets", ["account"], unique=False)


def _make_gateway() -> None:
    op.create_table(
        "tunnels",
        sa.Column("host", sa.String(length=16), nullable=False),
        sa.Column("public_key", sa.String(length=500), nullable=False),
        sa.Column("ends_at", sa.String(length=300), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["host"], ["hosts.id"]),
        sa.PrimaryKeyConstraint("host"),
    )
    op.create_table(
        "shares",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("pod", sa.String(length=14), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("revoked", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["pod"], ["pods.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("shares_by_pod", "shares", ["pod", "id"], unique=False)
    op.create_table(
        "tickets",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("pod", sa.String(length=14), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["pod"], ["pods.id"]),
        sa.PrimaryKeyConstraint("digest"),
    )
    op.create_table(
        "pod_logs",
        sa.Column("pod", sa.String(length=14), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("lines", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["pod"], ["pods.id"]),
        sa.PrimaryKeyConstraint("pod", "run"),
    )


def _make_hosts() -> None:
    op.create_table(
        "hosts",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("account", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("key_digest", sa.String(length=64), nullable=False),
        sa.Column("cloud", sa.String(length=16), nullable=False),
        sa.Column("card", sa.String(length=128), nullable=False),
        sa.Column("machine", sa.JSON(), nullable=False),
        sa.Column("terms", sa.JSON(), nullable=False),
        sa.Column("joined", sa.BigInteger(), nullable=False),
        sa.Column("seen", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("is_draining", sa.Boolean(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("back", sa.BigInteger(), nullable=True),
        sa.Column("shown", sa.JSON(), nullable=False),
        sa.Column("uses", sa.JSON(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("least_bid", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key_digest"),
    )
    op.create_index("hosts_by_card", "hosts", ["card", "id"], unique=False)
    op.create_index("hosts_by_price", "hosts", ["card", "price", "id"], unique=False)
    op.create_index("hosts_by_bid", "hosts", ["card", "least_bid", "id"], unique=False)
    op.create_index(op.f("ix_hosts_account"), "hosts", ["account"], unique=False)


def _make_join_tokens() -> None:
    op.create_table(
        "join_tokens",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("account", sa.String(length=32), nullable=False),
        sa.Column("cloud", sa.String(length=16), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("digest"),
    )


def _make_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("may_write", sa.Boolean(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=True),
        sa.Column("revoked", sa.BigInteger(), nullable=True),
        sa.Column("pod", sa.String(length=14), nullable=True),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index(op.f("ix_keys_account"), "keys", ["account"], unique=False)


def _make_postings() -> None:
    op.create_table(
        "postings",
        sa.Column("entry", sa.String(length=128), nullable=False),
        sa.Column("book", sa.String(length=64), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["entry"], ["entries.key"]),
        sa.PrimaryKeyConstraint("entry", "book"),
    )
    op.create_index("postings_by_book", "postings", ["book", "entry"], unique=False)


def _make_pods() -> None:
    op.create_table(
        "pods",
        sa.Column("id", sa.String(length=14), nullable=False),
        sa.Column("account", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=191), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=False),
        sa.Column("tenure", sa.String(length=16), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("host", sa.String(length=16), nullable=True),
        sa.Column("desired", sa.String(length=16), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("observed", sa.String(length=16), nullable=False),
        sa.Column("shown_run", sa.Integer(), nullable=False),
        sa.Column("is_locked", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(length=2000), nullable=False),
        sa.Column("ports", sa.JSON(), nullable=False),
        sa.Column("failed_hosts", sa.JSON(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("started", sa.BigInteger(), nullable=True),
        sa.Column("ended", sa.BigInteger(), nullable=True),
        sa.Column("stop_at", sa.BigInteger(), nullable=True),
        sa.Column("terminate_at", sa.BigInteger(), nullable=True),
        sa.Column("paid_until", sa.BigInteger(), nullable=True),
        sa.Column("paid_run", sa.Integer(), nullable=False),
        sa.Column("closed", sa.BigInteger(), nullable=True),
        sa.Column("template", sa.String(length=32), nullable=True),
        sa.Column("registry", sa.String(length=32), nullable=True),
        sa.Column("changed", sa.BigInteger(), nullable=False),
        sa.Column("told_started", sa.BigInteger(), nullable=True),
        sa.Column("active", sa.BigInteger(), nullable=True),
        sa.Column("idle_s", sa.BigInteger(), nullable=True),
        sa.Column("frozen", sa.BigInteger(), nullable=True),
        sa.Column("boot", sa.String(), nullable=False),
        sa.Column("boot_run", sa.Integer(), nullable=False),
        sa.Column("spent", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"]),
        sa.ForeignKeyConstraint(["host"], ["hosts.id"]),
        sa.ForeignKeyConstraint(["registry"], ["registries.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_pods_host"), "pods", ["host"], unique=False)
    op.create_index(op.f("ix_pods_registry"), "pods", ["registry"], unique=False)
    op.create_index("pods_by_account", "pods", ["account", "closed", "id"], unique=False)
    op.create_index("pods_open", "pods", ["closed", "desired"], unique=False)
    op.create_index("pods_by_template", "pods", ["template"], unique=False)


def _make_bill_lines() -> None:
    op.create_table(
        "bill_lines",
        sa.Column("entry", sa.String(length=128), nullable=False),
        sa.Column("account", sa.String(length=32), nullable=False),
        sa.Column("pod", sa.String(length=14), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("project", sa.String(length=64), nullable=False),
        sa.Column("host", sa.String(length=16), nullable=False),
        sa.Column("item", sa.String(length=16), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("end", sa.BigInteger(), nullable=False),
        sa.Column("an_hour", sa.BigInteger(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"]),
        sa.ForeignKeyConstraint(["entry"], ["entries.key"]),
        sa.ForeignKeyConstraint(["pod"], ["pods.id"]),
        sa.PrimaryKeyConstraint("entry"),
    )
    op.create_index("bill_by_account", "bill_lines", ["account", "end"], unique=False)
    op.create_index("bill_by_pod", "bill_lines", ["pod", "end"], unique=False)


def _make_events() -> None:
    op.create_table(
        "events",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("pod", sa.String(length=14), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.String(length=2000), nullable=False),
        sa.ForeignKeyConstraint(["pod"], ["pods.id"]),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("events_by_pod", "events", ["pod", "number"], unique=False)


def _make_meters() -> None:
    op.create_table(
        "meters",
        sa.Column("pod", sa.String(length=14), nullable=False),
        sa.Column("item", sa.String(length=16), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("an_hour", sa.BigInteger(), nullable=False),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("charged_until", sa.BigInteger(), nullable=False),
        sa.Column("charged", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["pod"], ["pods.id"]),
        sa.PrimaryKeyConstraint("pod", "item"),
    )


def _make_registries() -> None:
    op.create_table(
        "registries",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=191), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("registries_by_name", "registries", ["account", "name"], unique=True)


def _make_secrets() -> None:
    op.create_table(
        "secrets",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=191), nullable=False),
        sa.Column("description", sa.String(length=1000), nullable=False),
        sa.Column("sealed", sa.String(), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("secrets_by_name", "secrets", ["account", "name"], unique=True)


def _make_templates() -> None:
    op.create_table(
        "templates",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("account", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=191), nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("preset", sa.JSON(), nullable=False),
        sa.Column("registry", sa.String(length=32), nullable=True),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.id"]),
        sa.ForeignKeyConstraint(["registry"], ["registries.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_templates_registry"), "templates", ["registry"], unique=False)
    op.create_index("templates_by_name", "templates", ["account", "name"], unique=True)
    op.create_index("templates_public", "templates", ["is_public", "id"], unique=False)


def _make_orphans() -> None:
    op.create_table(
        "orphans",
        sa.Column("host", sa.String(length=16), nullable=False),
        sa.Column("pod", sa.String(length=64), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.String(length=512), nullable=False),
        sa.ForeignKeyConstraint(["host"], ["hosts.id"]),
        sa.PrimaryKeyConstraint("host", "pod"),
    )


def _make_notices() -> None:
    op.create_table(
        "notices",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.String(length=128), nullable=False),
        sa.Column("text", sa.String(length=2000), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("times", sa.BigInteger(), nullable=False),
        sa.Column("cleared", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("notices_open", "notices", ["cleared", "kind", "subject"], unique=False)


def _make_loop_turns() -> None:
    op.create_table(
        "loop_turns",
        sa.Column("loop", sa.String(length=64), nullable=False),
        sa.Column("taken", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("loop"),
    )
