"""The report of a job as one HTML page: pictures drawn in place, nothing loaded, nothing run."""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from puna.batch.costs import rough_span
from puna.batch.report import PacePoint, Story, facts, shares
from puna.text import one_line
from puna.units import Span

_WIDTH = 720
_BAR, _GAP = 18, 6
_NAMES = 190
"""Room for the names of labels, left of their bars."""
_VALUES = 110
_NAME_CHARS = 22
_RIGHT = 28
_CHART = 190
_LEFT, _BOTTOM, _TOP = 64, 34, 14
_STEPS = 60
"""Points of the curve at most."""
_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --bar: #2f6f9f;
  --fill: #2f6f9f2e; --ground: #ffffff; --warn: #a8470f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa5b4; --line: #38414d;
  --bar: #6fb1dd; --fill: #6fb1dd33; --ground: #14181e; --warn: #f0a06a; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground);
  max-width: 760px; margin: 2.5rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.05rem; margin: 2.2rem 0 .6rem; }
p.lead { color: var(--soft); margin: 0 0 1.4rem; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .32rem .8rem .32rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; font-weight: normal; overflow-wrap: anywhere; }
th { color: var(--soft); width: 13rem; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg text.soft { fill: var(--soft); }
.bar { fill: var(--bar); } .area { fill: var(--fill); } .curve { fill: none; stroke: var(--bar);
  stroke-width: 1.8; stroke-linejoin: round; } .axis { stroke: var(--line); }
.warn { color: var(--warn); }
@media (max-width: 520px) { th { width: 7rem; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def as_page(story: Story) -> str:
    """Return the report as a page that needs no network and runs nothing."""
    title = f"Batch job {_text(story.job)}"
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
            f"<h1>{title}</h1>",
            f'<p class="lead">{_lead(story)}</p>',
            *_sections(story),
            "</body>\n</html>\n",
        )
    )


def _lead(story: Story) -> str:
    rows = story.rows
    words = f"{rows.done:,} of {rows.total:,} rows answered in {rough_span(story.worked)}"
    if rows.failed:
        words += f'; <span class="warn">{rows.failed:,} without an answer</span>'
    return words if story.ended else words + "; not finished"


def _sections(story: Story) -> Iterator[str]:
    if story.labels:
        yield "<h2>Labels</h2>"
        yield _labels(story)
    if any(story.confidence):
        yield "<h2>Confidence: rows by the probability of their label</h2>"
        yield _histogram(story.confidence)
    rates = _rates(story.pace)
    if len(rates) > 1:
        yield "<h2>Throughput: rows a second</h2>"
        yield _curve(rates, story.pace[-1].span)
    if story.failures:
        yield "<h2>Rows without an answer</h2>"
        worst = sorted(story.failures.items(), key=lambda pair: -pair[1])
        yield _table((reason, f"{count:,}") for reason, count in worst)
    if story.notes:
        yield "<h2>Notes</h2>"
        yield "<ul>" + "".join(f"<li>{_text(note, 600)}</li>" for note in story.notes) + "</ul>"
    yield "<h2>Facts</h2>"
    lines = (
        f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in facts(story)
    )
    yield f"<table>{''.join(lines)}</table>"


def _table(rows: Iterator[tuple[str, str]]) -> str:
    lines = (
        f'<tr><td>{_text(name)}</td><td class="number">{_text(value)}</td></tr>'
        for name, value in rows
    )
    return f"<table>{''.join(lines)}</table>"


def _labels(story: Story) -> str:
    shown = shares(story)
    most = max((each.rows for each in shown), default=0) or 1
    room = _WIDTH - _NAMES - _VALUES
    parts = []
    for place, each in enumerate(shown):
        top = place * (_BAR + _GAP)
        middle = top + _BAR - 5
        name = _text(each.name, _NAME_CHARS)
        length = max(1.0, room * each.rows / most) if each.rows else 0.0
        parts += [
            f'<text x="{_NAMES - 10}" y="{middle}" text-anchor="end">{name}</text>',
            f'<rect class="bar" x="{_NAMES}" y="{top}" width="{length:.1f}" height="{_BAR}">',
            f"<title>{_text(each.name)}: {each.rows:,}</title></rect>",
            f'<text class="soft" x="{_NAMES + length + 8:.1f}" y="{middle}">',
            f"{each.rows:,} ({each.share:.1%})</text>",
        ]
    return _svg(len(shown) * (_BAR + _GAP), "Rows of each label", parts)


def _histogram(counts: Sequence[int]) -> str:
    most = max(counts)
    step = (_WIDTH - _LEFT - _RIGHT) / len(counts)
    floor = _CHART - _BOTTOM
    parts = list(_axis(most))
    for place, count in enumerate(counts):
        height = (floor - _TOP) * count / most
        left = _LEFT + place * step + 1
        low, high = place / len(counts), (place + 1) / len(counts)
        parts.append(
            f'<rect class="bar" x="{left:.1f}" y="{floor - height:.1f}" width="{step - 2:.1f}" '
            f'height="{height:.1f}"><title>{low:.2f} to {high:.2f}: {count:,}</title></rect>'
        )
    for tenth in range(0, 11, 2):
        place_x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * tenth / 10
        parts.append(_below(place_x, f"{tenth / 10:.1f}"))
    return _svg(_CHART, "Rows by the probability of their label", parts)


def _curve(rates: Sequence[tuple[float, float]], end: Span) -> str:
    most = max(rate for _, rate in rates) or 1.0
    floor, room = _CHART - _BOTTOM, _WIDTH - _LEFT - _RIGHT
    whole = end.seconds or 1.0
    spots = [
        f"{_LEFT + room * seconds / whole:.1f},{floor - (floor - _TOP) * rate / most:.1f}"
        for seconds, rate in rates
    ]
    first, last = spots[0].partition(",")[0], spots[-1].partition(",")[0]
    parts = [
        *_axis(most),
        f'<polygon class="area" points="{first},{floor} {" ".join(spots)} {last},{floor}"/>',
        f'<polyline class="curve" points="{" ".join(spots)}"/>',
    ]
    for quarter in range(5):
        words = "0" if not quarter else rough_span(Span(end * quarter // 4))
        parts.append(_below(_LEFT + room * quarter / 4, words))
    return _svg(_CHART, "Rows a second over the time of work", parts)


def _rates(pace: Sequence[PacePoint]) -> list[tuple[float, float]]:
    """Return the middle of each stretch of time in seconds, and the rows a second in it."""
    points = [PacePoint(Span(0), 0), *pace]
    every = -(-len(points) // _STEPS)
    kept = [*points[:-1:every], points[-1]]
    found = []
    for before, after in pairwise(kept):
        seconds = (after.span - before.span) / 1e9
        if seconds > 0:
            middle = (after.span + before.span) / 2e9
            found.append((middle, (after.rows - before.rows) / seconds))
    return found


def _axis(most: float) -> Iterator[str]:
    floor, right = _CHART - _BOTTOM, _WIDTH - _RIGHT
    for share in (0.0, 0.5, 1.0):
        height = floor - (floor - _TOP) * share
        yield f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{height}" y2="{height}"/>'
        value = most * share
        words = f"{value:,.0f}" if most >= 10 else f"{value:.1f}"  # noqa: PLR2004 - figures
        yield (
            f'<text class="soft" x="{_LEFT - 8}" y="{height + 4}" text-anchor="end">{words}</text>'
        )


def _below(place: float, words: str) -> str:
    return (
        f'<text class="soft" x="{place:.1f}" y="{_CHART - _BOTTOM + 18}" text-anchor="middle">'
        f"{_text(words)}</text>"
    )


def _svg(height: float, name: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{_text(name)}">'
        f"{''.join(parts)}</svg>"
    )


def _text(text: str, limit: int = 300) -> str:
    return escape(one_line(text, limit))
