"""The market's tables. Money is micro-dollars, sizes are bytes, moments microseconds since 1970.

What a decision needs to filter or guard has a column of its own; what is only carried along (a
machine, a pod's description) is one JSON value.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    text,
)
from sqlalchemy.types import TypeDecorator

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


class Moment(TypeDecorator[datetime]):
    """An aware time, exact to the microsecond in every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Return the microseconds."""
        del dialect
        return None if value is None else (value - _EPOCH) // _US

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Return the time, in UTC."""
        del dialect
        return None if value is None else _EPOCH + value * _US


MAY_WANT_A_PLACE = "(host IS NULL OR observed = 'failed' OR reason = 'outbid')"
"""Of an open pod, in the words of an index: who asks in the very same has the index used."""
metadata = MetaData()

accounts = Table(
    "accounts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("email", String(320), nullable=False, unique=True),
    Column("is_admin", Boolean, nullable=False),
    Column("public_keys", JSON, nullable=False),
    Column("created", Moment, nullable=False),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account", ForeignKey("accounts.id"), nullable=False, index=True),
    Column("name", String(64), nullable=False),
    Column("prefix", String(16), nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("may_write", Boolean, nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment),
    Column("revoked", Moment),
    Column("pod", String(14)),
    Index("keys_by_pod", "pod"),
)

join_tokens = Table(
    "join_tokens",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("account", ForeignKey("accounts.id"), nullable=False),
    Column("cloud", String(16), nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("used", Moment),
)

hosts = Table(
    "hosts",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("account", ForeignKey("accounts.id"), nullable=False, index=True),
    Column("name", String(64), nullable=False),
    Column("key_digest", String(64), nullable=False, unique=True),
    Column("cloud", String(16), nullable=False),
    Column("card", String(128), nullable=False),
    Column("machine", JSON, nullable=False),
    Column("terms", JSON, nullable=False),
    Column("joined", Moment, nullable=False),
    Column("seen", Moment, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("is_draining", Boolean, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("back", Moment),
    Column("shown", JSON, nullable=False),
    Column("uses", JSON, nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("least_bid", BigInteger),
    Index("hosts_by_card", "card", "id"),
    Index("hosts_by_price", "card", "price", "id"),
    Index("hosts_by_bid", "card", "least_bid", "id"),
)

pods = Table(
    "pods",
    metadata,
    Column("id", String(14), primary_key=True),
    Column("account", ForeignKey("accounts.id"), nullable=False),
    Column("key", String(32), nullable=False),
    Column("project", String(64), nullable=False),
    Column("name", String(191), nullable=False),
    Column("spec", JSON, nullable=False),
    Column("tenure", String(16), nullable=False),
    Column("price", BigInteger, nullable=False),
    Column("host", ForeignKey("hosts.id")),
    Column("desired", String(16), nullable=False),
    Column("run", Integer, nullable=False),
    Column("observed", String(16), nullable=False),
    Column("shown_run", Integer, nullable=False),
    Column("is_locked", Boolean, nullable=False),
    Column("reason", String(2000), nullable=False),
    Column("ports", JSON, nullable=False),
    Column("failed_hosts", JSON, nullable=False),
    Column("created", Moment, nullable=False),
    Column("started", Moment),
    Column("ended", Moment),
    Column("stop_at", Moment),
    Column("terminate_at", Moment),
    Column("paid_until", Moment),
    Column("paid_run", Integer, nullable=False),
    Column("closed", Moment),
    Column("template", String(32)),
    Column("registry", ForeignKey("registries.id"), index=True),
    Column("changed", Moment, nullable=False),
    Column("told_started", Moment),
    Column("active", Moment),
    Column("idle_s", BigInteger),
    Column("frozen", Moment),
    Column("boot", String, nullable=False),
    Column("boot_run", Integer, nullable=False),
    Column("spent", BigInteger, nullable=False),
    Index("pods_by_account", "account", "closed", "id"),
    Index("pods_open", "closed", "id"),
    Index("pods_by_host", "host", "closed", "id"),
    Index(
        "pods_unplaced",
        "closed",
        "id",
        sqlite_where=text(f"closed IS NULL AND {MAY_WANT_A_PLACE}"),
        postgresql_where=text(f"closed IS NULL AND {MAY_WANT_A_PLACE}"),
    ),
    Index("pods_by_template", "template"),
)

meters = Table(
    "meters",
    metadata,
    Column("pod", ForeignKey("pods.id"), primary_key=True),
    Column("item", String(16), primary_key=True),
    Column("run", Integer, nullable=False),
    Column("an_hour", BigInteger, nullable=False),
    Column("began", Moment, nullable=False),
    Column("charged_until", Moment, nullable=False),
    Column("charged", BigInteger, nullable=False),
)

bill_lines = Table(
    "bill_lines",
    metadata,
    Column("entry", ForeignKey("entries.key"), primary_key=True),
    Column("account", ForeignKey("accounts.id"), nullable=False),
    Column("pod", ForeignKey("pods.id"), nullable=False),
    Column("key", String(32), nullable=False),
    Column("project", String(64), nullable=False),
    Column("host", String(16), nullable=False),
    Column("item", String(16), nullable=False),
    Column("start", Moment, nullable=False),
    Column("end", Moment, nullable=False),
    Column("an_hour", BigInteger, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Index("bill_by_account", "account", "end"),
    Index("bill_by_pod", "pod", "end"),
)

entries = Table(
    "entries",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("at", Moment, nullable=False),
    Column("reason", String(512), nullable=False),
)

postings = Table(
    "postings",
    metadata,
    Column("entry", ForeignKey("entries.key"), primary_key=True),
    Column("book", String(64), primary_key=True),
    Column("amount", BigInteger, nullable=False),
    Index("postings_by_book", "book", "entry"),
)

balances = Table(
    "balances",
    metadata,
    Column("book", String(64), primary_key=True),
    Column("amount", BigInteger, nullable=False),
)

budgets = Table(
    "budgets",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account", ForeignKey("accounts.id"), nullable=False, index=True),
    Column("scope", String(16), nullable=False),
    Column("owner", String(64), nullable=False),
    Column("period", String(16), nullable=False),
    Column("limit", BigInteger, nullable=False),
    Column("floor", BigInteger, nullable=False),
    Column("created", Moment, nullable=False),
)

tunnels = Table(
    "tunnels",
    metadata,
    Column("host", ForeignKey("hosts.id"), primary_key=True),
    Column("public_key", String(500), nullable=False),
    Column("ends_at", String(300), nullable=False),
    Column("since", Moment),
)

shares = Table(
    "shares",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("pod", ForeignKey("pods.id"), nullable=False),
    Column("port", Integer, nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment, nullable=False),
    Column("revoked", Moment),
    Index("shares_by_pod", "pod", "id"),
)

tickets = Table(
    "tickets",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("pod", ForeignKey("pods.id"), nullable=False),
    Column("expires", Moment, nullable=False),
    Column("used", Moment),
)

pod_logs = Table(
    "pod_logs",
    metadata,
    Column("pod", ForeignKey("pods.id"), primary_key=True),
    Column("run", Integer, primary_key=True),
    Column("lines", LargeBinary, nullable=False),
    Column("at", Moment, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("pod", ForeignKey("pods.id"), nullable=False),
    Column("at", Moment, nullable=False),
    Column("text", String(2000), nullable=False),
    Index("events_by_pod", "pod", "number"),
)

templates = Table(
    "templates",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account", ForeignKey("accounts.id"), nullable=False),
    Column("name", String(191), nullable=False),
    Column("is_public", Boolean, nullable=False),
    Column("preset", JSON, nullable=False),
    Column("registry", ForeignKey("registries.id"), index=True),
    Column("created", Moment, nullable=False),
    Index("templates_by_name", "account", "name", unique=True),
    Index("templates_public", "is_public", "id"),
)

registries = Table(
    "registries",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account", ForeignKey("accounts.id"), nullable=False),
    Column("name", String(191), nullable=False),
    Column("sealed", String, nullable=False),
    Column("created", Moment, nullable=False),
    Index("registries_by_name", "account", "name", unique=True),
)

secrets = Table(
    "secrets",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account", ForeignKey("accounts.id"), nullable=False),
    Column("name", String(191), nullable=False),
    Column("description", String(1000), nullable=False),
    Column("sealed", String, nullable=False),
    Column("created", Moment, nullable=False),
    Index("secrets_by_name", "account", "name", unique=True),
)

orphans = Table(
    "orphans",
    metadata,
    Column("host", ForeignKey("hosts.id"), primary_key=True),
    Column("pod", String(64), primary_key=True),
    Column("since", Moment, nullable=False),
    Column("reason", String(512), nullable=False),
)

notices = Table(
    "notices",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(32), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("text", String(2000), nullable=False),
    Column("first", Moment, nullable=False),
    Column("last", Moment, nullable=False),
    Column("times", BigInteger, nullable=False),
    Column("cleared", Moment),
    Index("notices_open", "cleared", "kind", "subject"),
)

loop_turns = Table(
    "loop_turns",
    metadata,
    Column("loop", String(64), primary_key=True),
    Column("taken", Moment, nullable=False),
)
