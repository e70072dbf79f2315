"""Stay with a pod: its lines as they are written, until it is as somebody waits for."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from puna.cli.session import Session
from puna.cloud.client import CloudClient
from puna.cloud.line import pause
from puna.cloud.values import Happenings
from puna.units import Span

_FIRST_LOOK, _LOOK_EVERY = Span.of(ms=100), Span.of(seconds=1)


def wait_for(
    session: Session, client: CloudClient, pod: str, wanted: Collection[str], *, after: str = ""
) -> Happenings:
    """Say what happens to a pod until its status is one of `wanted`; return the last look."""

    def is_there(seen: Happenings) -> bool:
        return seen.status in wanted and seen.runs is (seen.status == "RUNNING")

    return _follow(session, client, pod, is_there, after=after)


def wait_for_end(
    session: Session, client: CloudClient, pod: str, *, after: str = "", limit: Span | None = None
) -> Happenings:
    """Say what happens to a pod until nothing of it is left; return the last look.

    After `limit` the last look is returned as it is.
    """
    world = session.world
    end = None if limit is None else world.elapsed() + limit

    def is_over(seen: Happenings) -> bool:
        return seen.is_gone or (end is not None and world.elapsed() > end)

    return _follow(session, client, pod, is_over, after=after)


def say_lines(session: Session, lines: Sequence[tuple[datetime | None, str]]) -> None:
    """Say what happened to a pod, with the time of day here."""
    for at, text in lines:
        moment = f"{at.astimezone():%H:%M:%S} " if at else ""
        session.terminal.say(f"  {moment}{text}")


def _follow(
    session: Session,
    client: CloudClient,
    pod: str,
    is_there: Callable[[Happenings], bool],
    *,
    after: str,
) -> Happenings:
    status, wait = "", _FIRST_LOOK
    while True:
        seen = client.happenings(pod, after)
        say_lines(session, seen.lines)
        if not client.is_puna and seen.status != status:
            session.terminal.say(f"  {seen.status}")
        if is_there(seen):
            return seen
        after, status = seen.after or after, seen.status
        pause(wait)
        wait = min(_LOOK_EVERY, Span(2 * wait))
