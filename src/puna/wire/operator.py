"""What the market's operator and `puna market` say to each other, as JSON.

Money is decimal dollars as text, times RFC 3339 in UTC. Lists come in pages: `after` is the last
id that was seen, and `next` is what to ask with for the next page, empty at the end.
"""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from puna.wire.stored import Stored

PATH = "/operator/v1"


class Message(BaseModel):
    """A reply; fields that a newer market adds are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Wanted(Stored):
    """A request; a field that is not known is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AccountShown(Message):
    """An account: what it may spend, what is held, what its machines have earned."""

    id: str
    email: str
    is_admin: bool
    created: datetime
    balance: str
    earned: str
    keys: int
    pods: int


class Accounts(Message):
    """A page of accounts."""

    accounts: list[AccountShown]
    next: str = ""


class OpenAccount(Wanted):
    """`POST PATH/accounts`: an account, with its first key."""

    email: str = Field(min_length=3, max_length=320, pattern=r"^[^\s@]+@[^\s@]+$")
    is_admin: StrictBool = False


class KeyShown(Message):
    """A key, as lists show it. `secret` only when it was made just now."""

    id: str
    account: str
    name: str
    prefix: str
    may_write: bool
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None
    secret: str = ""


class Opened(Message):
    """A new account and its first key."""

    account: AccountShown
    key: KeyShown


class Keys(Message):
    """A page of keys."""

    keys: list[KeyShown]
    next: str = ""


class MakeKey(Wanted):
    """`POST PATH/keys`: a key of an account, by its id or address."""

    account: str
    name: str = Field(default="key", min_length=1, max_length=64)
    may_write: StrictBool = True
    lives_s: int | None = Field(default=None, ge=1, le=100 * 366 * 86_400)


class GrantCredit(Wanted):
    """`POST PATH/credit`. The same `once` twice is the same grant."""

    account: str = Field(max_length=320)
    amount: str = Field(max_length=32)
    once: str = Field(min_length=1, max_length=64)


class Granted(Message):
    """What an account may spend now."""

    account: str
    email: str
    balance: str


class PayOut(Wanted):
    """`POST PATH/payouts`: an owner was paid. The same `once` twice is the same payment."""

    account: str = Field(max_length=320)
    amount: str = Field(default="", max_length=32)
    """Empty for all that was earned."""
    once: str = Field(min_length=1, max_length=64)


class PaidOut(Message):
    """What was paid, and what is left to be paid."""

    account: str
    email: str
    amount: str
    left: str


class HostShown(Message):
    """A machine: who lends it, what it has, what of it is taken, and when it was seen."""

    id: str
    name: str
    account: str
    email: str
    cloud: str
    card: str
    cards: int
    cards_free: int
    pods: int
    price: str
    least_bid: str | None
    is_fresh: bool
    is_paused: bool
    is_draining: bool
    seen: datetime
    joined: datetime


class Hosts(Message):
    """A page of hosts."""

    hosts: list[HostShown]
    next: str = ""


class ChangeHost(Wanted):
    """`PATCH PATH/hosts/{id}`: a host that is drained gets no new pod."""

    is_draining: StrictBool


class MakeToken(Wanted):
    """`POST PATH/tokens`: a token by which one machine of an account may join within a day."""

    account: str
    cloud: str = Field(default="COMMUNITY", pattern="^(SECURE|COMMUNITY)$")


class TokenShown(Message):
    """A join token. `secret` only when it was made just now."""

    id: str
    account: str
    email: str
    cloud: str
    created: datetime
    expires: datetime
    used: datetime | None = None
    secret: str = ""


class Tokens(Message):
    """A page of join tokens."""

    tokens: list[TokenShown]
    next: str = ""


class OrphanShown(Message):
    """A container with the market's label that belongs to nobody."""

    host: str
    pod: str
    since: datetime
    reason: str


class Orphans(Message):
    """A page of orphans."""

    orphans: list[OrphanShown]
    next: str = ""


class NoticeShown(Message):
    """Something that the operator should see."""

    number: int
    kind: str
    subject: str
    """The host, pod, budget or book that it is about."""
    text: str
    first: datetime
    last: datetime
    times: int
    stops_renting: bool
    """Whether nothing new begins until it is cleared."""


class Notices(Message):
    """A page of notices that are not cleared."""

    notices: list[NoticeShown]
    next: str = ""


class Status(Message):
    """How the market is."""

    version: str
    database: str
    accounts: int
    hosts: int
    hosts_fresh: int
    hosts_waiting: int
    """Hosts that hold a request open in the process that answers."""
    pods: dict[str, int]
    """By what is wanted and what is seen, such as `run/running`."""
    money: dict[str, str]
    """The sum of all books of a kind."""
    imbalance: str
    """How far the books are from zero: nothing, always."""
    orphans: int
    loops: dict[str, str]
    """When each loop took its last turn in any process."""
