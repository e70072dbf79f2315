"""What puna's market says beyond RunPod's words, under `/v2/puna`: JSON, in RunPod's manner.

Money is a decimal number of dollars in a string, exact to a micro-dollar; times are RFC 3339. Lists
are objects with one array and `after`, which asks for the next page and is empty on the last.
"""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool
from pydantic.alias_generators import to_camel

from puna.wire.stored import Stored

PATH = "/v2/puna"
MOST = 1000
"""Rows of a page, at most."""
_WORD = 128
MOST_OF = 1_000_000
"""More of anything no machine has."""


def _listed(text: str) -> str:
    return ",".join(part.strip() for part in text.split(",") if part.strip())


List = Annotated[str, AfterValidator(_listed)]
"""Words between commas, as RunPod writes arrays in addresses."""


class Message(BaseModel):
    """A body. One that is sent with a field that nobody knows is refused."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )


class Asked(Stored, Message):
    """What is sent."""


class Page(Asked):
    """Which rows of a list."""

    after: str = Field(default="", max_length=256)
    limit: int = Field(default=100, ge=1, le=MOST)


class OfferQuery(Page):
    """What a pod is to have. Sizes are gigabytes; money is for one card and hour."""

    cards: List = ""
    """RunPod's ids of cards, between commas."""
    count: int = Field(default=1, ge=0, le=64)
    """0 for a pod without a card."""
    processors: int = Field(default=2, ge=1, le=MOST_OF)
    memory_gb: int = Field(default=8, ge=1, le=MOST_OF)
    card_memory_gb: int = Field(default=0, ge=0, le=MOST_OF)
    disk_gb: int = Field(default=20, ge=1, le=MOST_OF)
    volume_gb: int = Field(default=0, ge=0, le=MOST_OF)
    cloud: str = ""
    countries: List = ""
    data_center_ids: List = ""
    min_cuda_version: str = Field(default="", max_length=_WORD)
    min_download_mbps: int = Field(default=0, ge=0, le=MOST_OF)
    min_upload_mbps: int = Field(default=0, ge=0, le=MOST_OF)
    min_disk_mbps: int = Field(default=0, ge=0, le=MOST_OF)
    public_ip: bool = False
    runtime: str = "runc"
    tenure: str = "on_demand"
    bid: str = Field(default="", max_length=_WORD)
    ceiling: str = Field(default="", max_length=_WORD)


class OfferReply(Message):
    """A machine that does."""

    host: str
    card: str
    name: str
    cards: int
    card_memory_gb: int
    processors: int
    memory_gb: int
    disk_gb: int
    country: str
    data_center_id: str
    cloud: str
    cuda: str
    download_mbps: int
    upload_mbps: int
    disk_mbps: int
    public_ip: bool
    runtimes: list[str]
    on_demand: str
    """For one card and hour; for one processor where there is no card."""
    spot: str | None
    """The lowest bid that its owner takes; null refuses spot."""
    an_hour: str
    """What an hour of the whole pod costs that was asked for, its disks with it."""
    free: int
    within_reach: int
    """Free, or held by spot pods that would have to go."""
    displaces: int


class RefusalReply(Message):
    """A machine that does not do."""

    host: str
    why: str


class OffersReply(Message):
    """`GET /v2/puna/offers`."""

    offers: list[OfferReply]
    refused: list[RefusalReply]
    after: str


class SshReply(Message):
    """Where `ssh POD@HOST` leads to a pod."""

    host: str
    port: int


class AccountReply(Message):
    """`GET /v2/puna/account`."""

    id: str
    email: str
    is_admin: bool
    may_write: bool
    balance: str
    held: str
    an_hour: str
    runway_seconds: int | None
    """How long balance and holds last at this rate; null where nothing costs anything."""
    pods: int
    running: int
    domain: str
    ssh: SshReply


class BillQuery(Page):
    """Which lines. Times are RFC 3339, a day, `now`, or so long ago as `-30d`."""

    start: str = Field(default="-30d", max_length=_WORD)
    end: str = Field(default="now", max_length=_WORD)
    pod: str = Field(default="", max_length=_WORD)
    project: str | None = Field(default=None, max_length=_WORD)
    key: str = Field(default="", max_length=_WORD)


class LineReply(Message):
    """A line of the bill: this item, from then to then, at that rate, is so much."""

    id: str
    """The entry of the ledger that charged it."""
    pod: str
    pod_name: str
    project: str
    key: str
    host: str
    item: str
    start: datetime
    end: datetime
    an_hour: str
    amount: str


class LinesReply(Message):
    """`GET /v2/puna/bill`."""

    lines: list[LineReply]
    after: str


class PostingReply(Message):
    """What entered a book, or left it when below zero."""

    book: str
    amount: str


class ExplainedReply(Message):
    """`GET /v2/puna/bill/{id}`."""

    line: LineReply
    product: str
    reason: str
    at: datetime
    postings: list[PostingReply]


class SpendQuery(Page):
    """What to sum by: `day`, `pod`, `project`, `key` or `card`."""

    by: str = "day"
    start: str = Field(default="-30d", max_length=_WORD)
    end: str = Field(default="now", max_length=_WORD)
    pod: str = Field(default="", max_length=_WORD)
    project: str | None = Field(default=None, max_length=_WORD)
    key: str = Field(default="", max_length=_WORD)


class SpendRow(Message):
    """What one day, pod, project, key or card came to."""

    id: str
    name: str
    amount: str
    cards: str
    processors: str
    disk: str
    seconds: float
    """How long pods ran for it."""


class SpendReply(Message):
    """`GET /v2/puna/spend`. Days without spending are among the rows."""

    by: str
    start: datetime
    end: datetime
    rows: list[SpendRow]
    total: str
    """Of the whole window, whatever the page."""
    after: str


class BudgetRequest(Asked):
    """`PUT /v2/puna/budgets`: a limit in place of the one over the same thing and period."""

    scope: str
    """`account`, `project`, `key` or `pod`."""
    owner: str = Field(default="", max_length=64)
    """The project, or the id or name of the key or pod."""
    period: str = "ever"
    """`day` or `ever`."""
    limit: str = Field(max_length=_WORD)


class BudgetReply(Message):
    """A limit, and how it stands."""

    id: str
    scope: str
    owner: str
    period: str
    limit: str
    charged: str
    held: str
    left: str


class BudgetsReply(Message):
    """`GET /v2/puna/budgets`."""

    budgets: list[BudgetReply]
    after: str


class ProjectReply(Message):
    """A word under which pods are rented."""

    name: str
    pods: int
    open_pods: int


class ProjectsReply(Message):
    """`GET /v2/puna/projects`."""

    projects: list[ProjectReply]
    after: str


class KeyRequest(Asked):
    """`POST /v2/puna/keys`."""

    name: str = Field(min_length=1, max_length=64)
    read_only: StrictBool = False
    expires_after: str = Field(default="", max_length=_WORD)
    """Such as `30d` or `12h`; empty for never."""


class KeyReply(Message):
    """A key; never itself."""

    id: str
    name: str
    prefix: str
    read_only: bool
    created: datetime
    expires: datetime | None


class MadeKeyReply(KeyReply):
    """A new key. `key` is shown this once."""

    key: str


class KeysReply(Message):
    """`GET /v2/puna/keys`."""

    keys: list[KeyReply]
    after: str


class EventReply(Message):
    """A line of what happened to a pod."""

    number: int
    at: datetime
    text: str


class EventsReply(Message):
    """`GET /v2/puna/pods/{id}/events`: the last ones, or those after a number.

    It answers for pods that are gone too, as long as what they did is kept.
    """

    events: list[EventReply]
    after: str
    status: str
    runs: bool
    """Its host shows it running, whatever is wanted."""
    is_gone: bool
    """Nothing of it is left on any host, and its account is settled."""
    an_hour: str
    """What an hour of it costs as it is now."""
    spent: str
