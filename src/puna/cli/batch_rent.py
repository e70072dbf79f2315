"""`puna batch run --rent N`: machines for one job, rented when it computes and ended with it.

They are ended whatever ends the job: its end, an error, Ctrl-C, a signal. After a kill that no
program survives they are stopped for being idle and end by their own timer, the budget bounds them
meanwhile, and the same command uses them again.
"""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

import click

from puna.batch.checkpoint import Checkpoint
from puna.batch.workers.pods import NamedPod, PodWorker
from puna.batch.workers.rented import (
    Note,
    Rental,
    Terms,
    names_of,
    pods_of,
    read_note,
    write_note,
)
from puna.cli.cloud.create import Quote, create, order_of
from puna.cli.cloud.login import span_words
from puna.cli.cloud.reach import ask_yes, cents, hour_of, price
from puna.cli.cloud.watch import wait_for_end
from puna.cli.session import Session
from puna.cloud.client import CloudClient, client_of
from puna.cloud.orders import NotThere, Order
from puna.cloud.settings import load_login
from puna.cloud.values import CloudPod, Offer
from puna.errors import Failed, Invalid, PunaError
from puna.units import Money, Span

_IDLE = "15m"
LAST = "1d"
"""When rented machines end at last, if nothing else was said."""
_TEMPLATE = "puna"
_PROOF = Span.of(minutes=3)
"""How long the proof that a machine is stopped is waited for."""
_EVER = "-520w"


class StillRented(Failed):
    """The job has ended, and a machine that was rented for it may not have."""

    code = "still_rented"


@dataclass(frozen=True, slots=True, kw_only=True)
class RentWish:
    """Which machines to rent for a job, in a person's words."""

    count: int
    card: str = ""
    cpus: int = 0
    spot: bool = False
    max_price: str = ""
    budget: str = ""
    terminate_after: str = ""
    template: str = ""


RENT_OPTIONS = (
    click.option("--on", "pods", multiple=True, metavar="POD", help="Compute in a pod of yours."),
    click.option(
        "--rent", type=click.IntRange(1), metavar="N", help="Rent N machines, and end them after."
    ),
    click.option("--card", metavar="NAME", help='With --rent: such as "RTX 4090".'),
    click.option("--cpus", type=click.IntRange(2), metavar="N", help="With --rent: no card."),
    click.option("--spot", is_flag=True, help="With --rent: cheaper; may be displaced and return."),
    click.option(
        "--max-price", metavar="DOLLARS", help="With --rent: the most for a card and hour."
    ),
    click.option(
        "--budget", metavar="DOLLARS", help="With --rent: the most that the job's machines cost."
    ),
    click.option(
        "--terminate-after", metavar="TIME", help="With --rent: they end then at last; 1d."
    ),
    click.option(
        "--template", metavar="NAME", help="With --rent: what runs there; puna by itself."
    ),
    click.option("--yes", is_flag=True, help="With --rent: do not ask."),
)


def rent_wish(flags: dict[str, object]) -> RentWish | None:
    """Return what the flags say of machines to rent. Raises `Invalid`."""
    names = ("card", "cpus", "spot", "max_price", "budget", "terminate_after", "template")
    given = {name: value for name in names if (value := flags[name])}
    count = flags["rent"]
    if not isinstance(count, int):
        if given:
            option = next(iter(given)).replace("_", "-")
            raise Invalid(f"--{option} is of machines to rent", hint="say how many: --rent 1")
        return None
    if "card" in given and "cpus" in given:
        raise Invalid("--card and --cpus exclude each other")
    for name in ("max_price", "budget"):
        if name in given:
            Money.parse(str(given[name]))
    return RentWish(count=count, **given)  # type: ignore[arg-type]


def workers_in_pods(session: Session, names: Sequence[str]) -> list[PodWorker]:
    """Return a worker for each pod that the renter names. Raises `PodMissing`."""
    if not names:
        return []
    login = load_login(session.environ)
    cloud = client_of(login)
    places = [NamedPod(cloud, login, cloud.pod(name)) for name in names]
    return [PodWorker(place, session.world) for place in places]


@dataclass(frozen=True, slots=True)
class Hired:
    """What a job has rented, or will: its workers, and what an hour of all of them costs."""

    workers: tuple[PodWorker, ...] = ()
    an_hour: Money = Money(0)  # noqa: RUF009 - a value
    let_go: Callable[[], None] = lambda: None
    """Ends the machines when all is computed: nobody pays for them while the output is written."""


@contextmanager
def hired(
    session: Session, checkpoint: Checkpoint, wish: RentWish | None, *, yes: bool
) -> Iterator[Hired]:
    """Yield the workers of machines that are rented for the job, and end them all in the end.

    Raises `StillRented` if one of them is not proved to have ended.
    """
    if wish is None:
        end_rented(session, checkpoint)  # what a run before this one has left
        yield Hired()
        return
    found = _hire(session, checkpoint, wish, yes=yes)
    with _ended_by_signals():
        try:
            yield found
        except BaseException:
            with suppress(StillRented):  # it was said; what ended the job is the error
                end_rented(session, checkpoint)
            raise
        end_rented(session, checkpoint)


def _hire(session: Session, checkpoint: Checkpoint, wish: RentWish, *, yes: bool) -> Hired:
    login = load_login(session.environ)
    cloud = client_of(login)
    check_rents(cloud)
    note = read_note(checkpoint) or Note(cloud.url, f"batch-{session.world.token()[:8]}")
    there = pods_of(cloud, note)
    names = names_of(note.project, wish.count)
    for name in set(names) & set(there):
        session.terminal.say(f"{name} is rented for this job already, and is used")
    missing = sum(name not in there for name in names)
    hour = Money(sum(hour_of(each) for name, each in there.items() if name in names))
    order: Order | None = None
    if missing:
        order, more = _order(session, cloud, wish, missing)
        hour = Money(hour + more)
        order = replace(order, extras=replace(order.extras, project=note.project))
        if not ask_yes(session, "Rent them when the input is read?", yes=yes):
            raise Invalid("nothing is rented", hint="without --rent this machine computes")
    note = replace(note, ends=wish.terminate_after or LAST)
    budget = Money.parse(wish.budget) if wish.budget else None
    rental = Rental(cloud, login, checkpoint, note, Terms(order, budget))
    workers = tuple(PodWorker(rental.place(name), session.world) for name in names)

    def let_go() -> None:
        with suppress(StillRented):  # it was said, and is tried once more at the end
            end_rented(session, checkpoint)

    return Hired(workers, hour, let_go)


def check_rents(cloud: CloudClient) -> None:
    """Raise `NotThere` for a cloud where nothing is rented for a job."""
    if not cloud.is_puna:
        raise NotThere(
            "RunPod's API has no timer and no budget that would end a machine if this program is"
            " killed, so nothing is rented there for a job",
            hint="rent it yourself, `puna pods create`, and say --on POD",
        )


@dataclass(frozen=True, slots=True)
class Offered:
    """What can be had now for a job: as what each is ordered, and the machines, the cheapest first.

    There may be fewer machines than were wished for.
    """

    order: Order
    what: str
    seats: tuple[Offer, ...]

    @property
    def an_hour(self) -> Money:
        """What an hour of all of them costs."""
        return Money(sum(each.an_hour for each in self.seats))


def offered(cloud: CloudClient, wish: RentWish, count: int) -> Offered:
    """Ask what can be had now for so many of a job's machines. Raises `NoOffer`, `Invalid`."""
    order, quote = order_of(cloud, _flags(cloud, wish))
    return Offered(order, quote.what, tuple(_seats(quote, wish)[:count]))


def _order(
    session: Session, cloud: CloudClient, wish: RentWish, missing: int
) -> tuple[Order, Money]:
    """Return what each is ordered as, and what an hour of those that are missing costs at most.

    Says both. Raises `NoOffer`.
    """
    found = offered(cloud, wish, missing)
    order, seats, hour = found.order, found.seats, found.an_hour
    ceiling = max((each.on_demand for each in seats), default=Money(0))
    if ceiling and not wish.max_price and not wish.spot:
        extras = replace(order.extras, ceiling=str(ceiling).replace("$", ""))
        order = replace(order, extras=extras)
    say = session.terminal.say
    say(f"{missing} x ({found.what}) for this job: {price(hour)} an hour together")
    if len(seats) < missing:
        say(f"Note: only {len(seats)} of {missing} can be had now")
    last = f"after {wish.terminate_after or LAST}, or {_IDLE} without work"
    most = f"; they cost {cents(Money.parse(wish.budget))} at most" if wish.budget else ""
    say(f"they end with the job, whatever ends it; should this program be killed, {last}{most}")
    return order, hour


def _seats(quote: Quote, wish: RentWish) -> list[Offer]:
    """Return the machine of each place that there is, the cheapest first."""
    each = wish.cpus or 1
    return [
        offer
        for offer in quote.others
        for _ in range((offer.within_reach if not wish.spot else offer.free) // each)
    ]


def _flags(cloud: CloudClient, wish: RentWish) -> dict[str, Any]:
    """Return what would be said to `puna pods create`, with room for models in place of a volume.

    A volume would bind a pod to its machine.
    """
    flags: dict[str, Any] = create.make_context("create", []).params
    preset = cloud.template(wish.template or _TEMPLATE)
    kept = preset.fields("mounts").fields("persistent").whole("size")
    return flags | {
        "cards": (wish.card,) if wish.card else (),
        "cpus": wish.cpus or None,
        "image": preset.text("image"),
        "args": preset.text("args"),
        "env": tuple(f"{name}={value}" for name, value in preset.fields("env").values.items()),
        "ports": preset.texts("ports"),
        "disk": (preset.whole("disk") or _DISK_GB) + kept,
        "spot": wish.spot,
        "returns": wish.spot,
        "max_price": wish.max_price,
        "idle_stop": _IDLE,
        "terminate_after": wish.terminate_after or LAST,
    }


_DISK_GB = 20


# --- the end ---------------------------------------------------------------------------------


def end_rented(session: Session, checkpoint: Checkpoint) -> None:
    """End what is rented for a job, wait for the proof, and say what it cost.

    Raises `StillRented`.
    """
    note = read_note(checkpoint)
    if note is None or not note.names:
        return
    try:
        left = _end(session, client_of(load_login(session.environ)), note)
    except PunaError as error:
        session.terminal.say(f"Error: {error.message}")
        left = list(note.names)
    write_note(checkpoint, replace(note, names=tuple(left)))
    if left:
        names = ", ".join(left)
        ends = f"; they end by themselves {note.ends} after they were rented" if note.ends else ""
        session.terminal.say(f"not proved to have ended: {names}{ends}")
        raise StillRented(
            f"not proved to have ended: {names}", hint="see: puna pods list, puna pods terminate"
        )


def _end(session: Session, cloud: CloudClient, note: Note) -> list[str]:
    """End the pods of a job; return the names of those of which nobody knows that they are gone."""
    say = session.terminal.say
    with _undisturbed():
        there = pods_of(cloud, note)
        looks = {name: cloud.happenings(pod.id).after for name, pod in there.items()}
        for name, pod in there.items():
            say(f"ending {name}")
            cloud.terminate(pod.id)
    left = []
    for name, pod in there.items():
        seen = wait_for_end(session, cloud, pod.id, after=looks[name], limit=_PROOF)
        if seen.is_gone:
            say(f"{name} is gone: nothing of it is left on its host")
        else:
            left.append(name)
    if there:
        _say_bill(session, cloud, note, tuple(there.values()))
    return left


def _say_bill(session: Session, cloud: CloudClient, note: Note, ended: Sequence[CloudPod]) -> None:
    spend = cloud.spend("pod", {"project": note.project, "start": _EVER})
    name_by_id = {each.id: each.name for each in ended}
    for row in spend.rows:
        if row.id in name_by_id:
            cost = f"{name_by_id[row.id]} cost {row.amount} in {span_words(row.span)}"
            session.terminal.say(cost)
    what = f"see: puna bill --by pod --project {note.project}"
    session.terminal.say(f"this job's machines have cost {spend.total} in all; {what}")


_Signalled = Callable[[int, FrameType | None], Any] | int | None


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the job as Ctrl-C does, so that what is rented ends too."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        signal.raise_signal(signal.SIGINT)

    with _handled({signal.SIGTERM: interrupt, signal.SIGHUP: interrupt}):
        yield


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no second Ctrl-C come between a machine and the request that ends it."""
    ignored = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    with _handled(dict.fromkeys(ignored, signal.SIG_IGN)):
        yield


@contextmanager
def _handled(ways: dict[signal.Signals, Any]) -> Iterator[None]:
    """Handle signals so in the block; only the main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[signal.Signals, _Signalled] = {}
    try:
        for number, way in ways.items():
            before[number] = signal.signal(number, way)
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)
