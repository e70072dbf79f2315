"""Draw the progress of long work on stderr: a line that turns for a step, a bar for each blob.

On a screen the lines are redrawn in place ten times a second, between the marks that make a
terminal show them at once. Elsewhere each step is said once, and nothing moves.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from puna.cli.spinner import FRAMES
from puna.cli.terminal import Terminal
from puna.progress import Done, Progress, Step, Transfer
from puna.text import cell_width, one_line
from puna.units import Size, Span
from puna.world import World

_REDRAW = Span.of(ms=100)
_WINDOW = 10
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
_MOST_HOURS = 99


@dataclass(slots=True)
class Bar:
    """One blob on its way, with the speed of its last seconds."""

    label: str
    total: Size
    completed: int = 0
    samples: list[tuple[Span, int]] = field(default_factory=list)

    def move(self, completed: int, now: Span) -> None:
        """Take in how much is here now."""
        self.completed = completed
        if not self.samples or now - self.samples[-1][0] >= Span.of(seconds=1):
            self.samples = [*self.samples[-_WINDOW + 1 :], (now, int(completed))]

    def line(self, width: int, now: Span) -> str:
        """Return the bar as one line of at most `width` cells."""
        share = min(1.0, self.completed / self.total) if self.total else 0.0
        head = f"{self.label}: {share * 100:3.0f}% "
        tail = f" {self._figures(now)}"
        room = width - cell_width(head) - cell_width(tail) - 2
        if room < 1:
            return one_line(head + tail.strip(), width)
        filled = int(room * share)
        return f"{head}▕{'█' * filled}{' ' * (room - filled)}▏{tail}"

    def _figures(self, now: Span) -> str:
        if self.total and self.completed >= self.total:
            return f"{self.total!s:>7}"
        speed = self._speed(now)
        figures = f"{Size(self.completed)}/{self.total}"
        if speed <= 0:
            return figures
        left = Span.of(seconds=(self.total - self.completed) / speed)
        return f"{figures}  {Size(speed)}/s {_left(left)}"

    def _speed(self, now: Span) -> float:
        if not self.samples:
            return 0.0
        since, had = self.samples[0]
        return (self.completed - had) / Span(now - since).seconds if now > since else 0.0


def draw_progress(terminal: Terminal, world: World, events: Iterable[Progress]) -> None:
    """Draw events until they end. Raises what the work raises, with the lines left as they were."""
    board = Board(terminal, world)
    for event in events:
        board.take(event)
    board.finish()


class Board:
    """The lines of one piece of work."""

    def __init__(self, terminal: Terminal, world: World) -> None:
        self._terminal, self._world = terminal, world
        self._rows: dict[str, Bar | str] = {}
        self._drawn = 0
        self._turn = 0
        self._last: Span | None = None

    def take(self, event: Progress) -> None:
        """Take in one event, and redraw if it is time."""
        now = self._world.elapsed()
        match event:
            case Transfer(status, digest, total, completed):
                self._move(status, digest, total, completed, now=now)
            case Step(status) | Done(status):
                self._begin(status)
        if self._last is None or now - self._last >= _REDRAW:
            self._draw(now)

    def finish(self) -> None:
        """Draw the last state."""
        self._draw(self._world.elapsed(), is_over=True)

    def _begin(self, status: str) -> None:
        if status not in self._rows:
            self._rows[status] = one_line(self._terminal.language.of(status))
            self._tell(status)

    def _move(self, status: str, digest: str, total: Size, completed: Size, *, now: Span) -> None:
        if digest not in self._rows:
            self._rows[digest] = Bar(one_line(self._terminal.language.of(status), 60), total)
            self._tell(f"{status} ({total})")
        bar = self._rows[digest]
        if isinstance(bar, Bar):
            bar.total = max(bar.total, total)
            bar.move(completed, now)

    def _tell(self, status: str) -> None:
        if not self._terminal.moves_err:
            self._terminal.say(status)

    def _draw(self, now: Span, *, is_over: bool = False) -> None:
        self._last = now
        if not self._terminal.moves_err:
            return
        self._turn += 1
        width = self._terminal.width - 1
        rows = list(self._rows.values())
        lines = []
        for row in rows:
            if isinstance(row, Bar):
                lines.append(row.line(width, now))
                continue
            turning = row is rows[-1] and not is_over
            row = one_line(row, width - 2)  # noqa: PLW2901 - a line that wraps would be drawn twice
            lines.append(f"{row} {FRAMES[self._turn % len(FRAMES)]}" if turning else row)
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        body = "".join(f"\r\x1b[K{line}\n" for line in lines)
        self._terminal.err.write(f"{_BEGIN}{up}{body}{_END}")
        self._terminal.err.flush()
        self._drawn = len(lines)


def _left(span: Span) -> str:
    """Return a span in its two largest units."""
    seconds = int(span.seconds)
    hours, minutes = seconds // 3600, seconds // 60
    if hours > _MOST_HOURS:
        return f"{_MOST_HOURS}h+"
    if hours:
        return f"{hours}h{minutes % 60}m"
    return f"{minutes}m{seconds % 60}s" if minutes else f"{seconds}s"
