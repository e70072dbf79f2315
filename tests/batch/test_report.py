"""The report of a job: what it says, and that nothing in it can act."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from puna.batch.report import Machine, PacePoint, RowCounts, Story, as_markdown, shares
from puna.batch.report_page import as_page
from puna.units import Money, Span

NASTY = '</td><script>alert("1")</script>\x1b[31m\u202e| `x`'
STORY = Story(
    job="shop",
    task="3 labels",
    input="words.csv",
    output="out.csv",
    started=datetime(2026, 11, 24, 12, 0, tzinfo=UTC),
    ended=datetime(2026, 11, 24, 12, 1, tzinfo=UTC),
    worked=Span.of(seconds=50),
    machine=Machine(model="smollm2", digest="ab" * 32, engine="puna 1", path="float: so"),
    rows=RowCounts(total=1010, distinct=800, done=1000, failed=10, abstained=7, cut=1),
    pace=(
        PacePoint(Span.of(seconds=10), 100),
        PacePoint(Span.of(seconds=20), 300),
        PacePoint(Span.of(seconds=50), 1010),
    ),
    labels={"shoes": 600, "books": 393, NASTY: 0},
    confidence=(0,) * 10 + (50,) * 10,
    failures={"empty": 8, NASTY: 2},
    failures_file="out.csv.failed.jsonl",
    tokens=40_000,
    computed=3000,
    price=Money.parse("0.02"),
    notes=("a note",),
)


class Page(HTMLParser):
    """Collects the names of elements, their attributes and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    "fact",
    [
        "1,000 of 1,010 rows answered in 50 s; 10 without an answer",
        "1,010, of which 800 differ",
        "10, listed in out.csv.failed.jsonl",
        "50 s of work, 20.2 rows/s",
        "2026-11-24 12:00:00 UTC to 2026-11-24 12:01:00 UTC",
        "3,000 computed of 40,000 asked: 92.5% were shared",
        "$0.02",
        "smollm2 abababababab",
        "float: so",
        "600 (60.4%)",
        "a note",
    ],
)
def test_the_page_says(fact: str) -> None:
    assert fact in Page(as_page(STORY)).text


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    page = Page(as_page(STORY))
    assert not page.names & {"script", "img", "link", "iframe", "a", "form", "object"}
    assert not page.attributes & {"src", "href", "onload", "onclick"}
    assert "default-src 'none'" in as_page(STORY)


@pytest.mark.parametrize("write", [as_page, as_markdown])
def test_no_control_character_of_a_text_gets_into_a_report(write: object) -> None:
    assert callable(write)
    text = write(STORY)
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_the_pictures_are_well_formed() -> None:
    page = as_page(STORY)
    pictures = [part.partition("</svg>")[0] for part in page.split("<svg")[1:]]
    drawn = [ET.fromstring(f"<svg{picture}</svg>") for picture in pictures]  # noqa: S314 - our own page
    assert [each.get("aria-label") for each in drawn] == [
        "Rows of each label",
        "Rows by the probability of their label",
        "Rows a second over the time of work",
    ]


def test_the_bars_are_as_long_as_their_rows() -> None:
    page = as_page(STORY)
    picture = page.partition("<svg")[2].partition("</svg>")[0]
    drawn = ET.fromstring(f"<svg{picture}</svg>")  # noqa: S314 - our own page
    widths = [float(bar.get("width") or 0) for bar in drawn.iter("rect")]
    assert widths[1] / widths[0] == pytest.approx(393 / 600, abs=0.01)


def test_the_markdown_has_the_same_tables() -> None:
    lines = as_markdown(STORY).splitlines()
    assert "| shoes | 600 | 60.4% |" in lines
    assert "| 0.50 to 0.55 | 50 |" in lines
    assert "| empty | 8 |" in lines
    assert "- a note" in lines


def test_a_cell_of_markdown_cannot_end_its_table() -> None:
    lines = [line for line in as_markdown(STORY).splitlines() if "script" in line]
    assert lines
    assert all("\\<script\\>" in line and "\\|" in line for line in lines)


def test_beyond_thirty_labels_the_rest_is_one_line() -> None:
    many = replace(STORY, labels={f"label {n}": 100 - n for n in range(40)})
    lines = shares(many)
    assert (len(lines), lines[0].name, lines[-1].name) == (31, "label 0", "10 more labels")
    assert sum(line.share for line in lines) == pytest.approx(1)


def test_a_job_without_answers_yet_has_a_report() -> None:
    rows = RowCounts(total=10, distinct=10, done=0)
    empty = replace(STORY, ended=None, worked=Span(0), rows=rows, pace=(), labels={}, confidence=())
    empty = replace(empty, failures={}, notes=(), price=None)
    assert "not finished" in Page(as_page(empty)).text
    assert "| Time | 0.0 s of work, no rows yet |" in as_markdown(empty)
    assert "<svg" not in as_page(empty)
