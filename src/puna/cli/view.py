"""Tables as Ollama prints them, so that scripts and eyes find what they know."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from puna.cli.language import ENGLISH, Language
from puna.cli.terminal import Terminal
from puna.node.replies import ModelEntry, RunningModel
from puna.text import cell_width, one_line
from puna.units import relative_time

_GAP = 4
NARROW = 2
"""The least that stands between two columns."""
_SHORT_ID = 12
_FOREVER_DAYS = 20 * 365


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    language: Language = ENGLISH,
    *,
    width: int = 0,
) -> str:
    """Return left-aligned columns with four spaces between them, one line each.

    Where that is wider than `width`, and fewer spaces help, there are fewer; 0 is no limit.
    """
    lines = [
        tuple(map(language.of, header)),
        *(tuple(one_line(cell) for cell in row) for row in rows),
    ]
    return "\n".join(fitted(lines, width))


def print_table(terminal: Terminal, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print columns in the screen's language, as near as its width needs."""
    terminal.line(table(header, rows, terminal.screen_language, width=terminal.table_width))


def fitted(lines: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return each line with its cells below those before, as near as `width` needs; 0 is none."""
    made: list[str] = []
    for gap in range(_GAP, NARROW - 1, -1):
        made = columns(lines, indent="", gap=gap)
        if not width or max(map(cell_width, made)) <= width:
            break
    return made


def columns(lines: Sequence[Sequence[str]], *, indent: str, gap: int = _GAP) -> list[str]:
    """Return each line with its cells below those of the line before."""
    count = max((len(line) for line in lines), default=0)
    widths = [max(cell_width(line[i]) for line in lines if i < len(line)) for i in range(count)]
    return [
        indent
        + (" " * gap)
        .join(
            cell + " " * (width - cell_width(cell))
            for cell, width in zip(line, widths, strict=False)
        )
        .rstrip()
        for line in lines
    ]


def model_table(
    models: Iterable[ModelEntry], now: datetime, language: Language = ENGLISH, *, width: int = 0
) -> str:
    """Return the table of `puna list`."""
    rows = [
        (
            model.name,
            model.digest[:_SHORT_ID],
            "-" if model.is_remote else str(model.size),
            language.of(relative_time(model.modified_at, now)),
        )
        for model in models
    ]
    return table(("NAME", "ID", "SIZE", "MODIFIED"), rows, language, width=width)


def running_table(
    models: Iterable[RunningModel], now: datetime, language: Language = ENGLISH, *, width: int = 0
) -> str:
    """Return the table of `puna ps`."""
    rows = [
        (
            model.name,
            model.digest[:_SHORT_ID],
            str(model.size),
            placement(model),
            str(model.context),
            language.of(until(model.expires_at, now)),
        )
        for model in models
    ]
    header = ("NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL")
    return table(header, rows, language, width=width)


def placement(model: RunningModel) -> str:
    """Say how a model is shared between processor and cards: `100% CPU`, `48%/52% CPU/GPU`."""
    if model.on_cards == 0:
        return "100% CPU"
    if model.size == 0 or model.on_cards > model.size:
        return "Unknown"
    if model.on_cards == model.size:
        return "100% GPU"
    on_cpu = round((model.size - model.on_cards) / model.size * 100)
    return f"{on_cpu}%/{100 - on_cpu}% CPU/GPU"


def until(moment: datetime | None, now: datetime) -> str:
    """Say when a model leaves memory."""
    if moment is None:
        return "Forever"
    if (moment - now).days > _FOREVER_DAYS:
        return "Forever"
    return "Stopping..." if moment < now else relative_time(moment, now)


def where_it_runs(model: RunningModel) -> str:
    """Say on what a model runs and how much memory it takes: the first line of `puna run`."""
    where = model.processor or placement(model)
    context = f"{model.slots} x {model.context}" if model.slots > 1 else f"{model.context}"
    return f"{model.name} runs on {where}: {model.size} of memory, context {context}"
