"""Show how far a job is: a line that is redrawn on a screen, plain lines elsewhere, or JSON."""

import json
from collections.abc import Callable
from dataclasses import asdict

from puna.batch.events import (
    Begun,
    Event,
    Finished,
    Preparing,
    Reading,
    Remark,
    Tally,
    Writing,
)
from puna.cli.terminal import Terminal
from puna.text import cell_width, one_line
from puna.units import Money, Span
from puna.world import World

_REDRAW = Span.of(ms=200)
_LINE_EVERY = Span.of(seconds=10)
_WINDOW = 30
_MOST_HOURS = 9999
_HOUR = Span.of(hours=1)
NO_MONEY = Money(0)


def money_of(span: Span, price: Money) -> Money:
    """Return what so much time costs at a price an hour."""
    return Money(span * price // _HOUR)


def left_words(span: Span) -> str:
    """Return a span in its two largest units."""
    seconds = int(span.seconds)
    hours, minutes = min(seconds // 3600, _MOST_HOURS), seconds // 60
    if hours:
        return f"{hours}h{minutes % 60}m"
    return f"{minutes}m{seconds % 60}s" if minutes else f"{seconds}s"


class Speed:
    """Rows a second, over the last half minute."""

    def __init__(self) -> None:
        self._samples: list[tuple[Span, int]] = []

    def take(self, now: Span, fresh: int) -> float:
        """Take in a count and return the speed."""
        if not self._samples or now - self._samples[-1][0] >= Span.of(seconds=1):
            self._samples = [*self._samples[-_WINDOW:], (now, fresh)]
        since, had = self._samples[0]
        return (fresh - had) / Span(now - since).seconds if now > since else 0.0


class BatchView:
    """Takes the events of one run and shows them on stderr."""

    def __init__(self, terminal: Terminal, world: World, *, price: Money = NO_MONEY) -> None:
        self._terminal, self._world, self._price = terminal, world, price
        self._speed = Speed()
        self._last = Span(-_LINE_EVERY)
        self._is_drawn = False

    def take(self, event: Event) -> None:
        """Show one event."""
        match event:
            case Tally():
                self._move(self.tally_line(event), is_last=event.done == event.rows)
            case Reading(rows):
                self._move(f"reading: {rows} rows")
            case Writing(rows, of):
                self._move(f"writing: {rows} of {of} rows", is_last=rows == of)
            case Preparing(worker):
                self._say(f"preparing the model on {worker}")
            case Begun():
                self._begin(event)
            case Remark(text):
                self._say(f"Note: {text}")
            case Finished():
                self._say(finished_words(event))

    def finish(self) -> None:
        """Leave the terminal in order."""
        self._clear()

    def tally_line(self, tally: Tally) -> str:
        """Return one line of figures."""
        speed = self._speed.take(self._world.elapsed(), tally.fresh)
        share = tally.done / tally.rows if tally.rows else 1.0
        parts = [f"{share * 100:3.0f}%", f"{tally.done}/{tally.rows} rows"]
        if speed:
            left = Span.of(seconds=(tally.rows - tally.done) / speed)
            parts += [f"{speed:.1f} rows/s", f"{left_words(left)} left"]
        parts.append(f"{tally.failed} failed")
        if self._price:
            parts.append(str(_cents(money_of(Span(tally.span + tally.earlier), self._price))))
        return "  ".join(parts)

    def _begin(self, event: Begun) -> None:
        manifest, tally = event.manifest, event.tally
        intake, identity = manifest.intake, manifest.identity
        merged = intake.rows - intake.bad - intake.distinct
        words = [f"{intake.rows} rows"]
        words += [f"{intake.distinct} to compute"]
        words += [f"{merged} that repeat others"] if merged else []
        words += [f"{intake.bad} bad"] if intake.bad else []
        self._say(", ".join(words))
        if identity.path:
            why = f": {identity.reason}" if identity.reason else ""
            self._say(f"computed by {identity.path}{why}")
        if tally.done:
            self._say(f"going on: {tally.done} rows are done already")

    def _move(self, line: str, *, is_last: bool = False) -> None:
        """Show a line that changes: redrawn on a screen, said from time to time elsewhere."""
        now = self._world.elapsed()
        every = _REDRAW if self._terminal.moves_err else _LINE_EVERY
        if now - self._last < every and not is_last:
            return
        self._last = now
        if not self._terminal.moves_err:
            self._terminal.say(line.strip())
            return
        self._terminal.err.write(f"\r\x1b[K{self._with_bar(line)}")
        self._terminal.err.flush()
        self._is_drawn = True

    def _with_bar(self, line: str) -> str:
        width = self._terminal.width - 1
        head, _, _ = line.strip().partition("%")
        room = width - cell_width(line) - 3
        if not head.isdigit() or room < 10:  # noqa: PLR2004 - a shorter bar shows nothing
            return one_line(line, width)
        filled = room * int(head) // 100
        return f"▕{'█' * filled}{' ' * (room - filled)}▏ {line}"

    def _say(self, line: str) -> None:
        self._clear()
        self._terminal.say(line)

    def _clear(self) -> None:
        if self._is_drawn:
            self._terminal.err.write("\r\x1b[K")
            self._terminal.err.flush()
            self._is_drawn = False


class JsonView:
    """Writes each event as one JSON object on stdout."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def take(self, event: Event) -> None:
        """Write one event."""
        self._write(json.dumps(_plain(event), ensure_ascii=False))

    def finish(self) -> None:
        """Write nothing more."""


def finished_words(event: Finished) -> str:
    """Say in one line how a job ended."""
    bad = f", {event.bad} without an answer: {event.bad_file}" if event.bad else ""
    before = ", finished before" if event.was_done else " written"
    return f"{event.output}: {event.rows} rows{before}{bad}"


def _plain(event: Event) -> dict[str, object]:
    name = type(event).__name__.lower()
    if isinstance(event, Begun):
        intake, tally = event.manifest.intake, event.tally
        found: dict[str, object] = {
            "rows": intake.rows,
            "distinct": intake.distinct,
            "bad": intake.bad,
            "done": tally.done,
            "path": event.manifest.identity.path,
        }
        return {"event": name, **found}
    values = asdict(event)
    for each in ("span", "earlier"):
        if each in values:
            values[each] = round(Span(values[each]).seconds, 3)
    return {"event": name, **values}


def _cents(money: Money) -> Money:
    return Money(money - money % 100)
