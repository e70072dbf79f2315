"""Tables and figures."""

from datetime import UTC, datetime, timedelta

import pytest

from puna.cli.answer import timing_block
from puna.cli.view import (
    model_table,
    placement,
    running_table,
    table,
    until,
    where_it_runs,
)
from puna.node.asking import Timings
from puna.node.replies import ModelEntry, RunningModel
from puna.units import Count, Size, Span

NOW = datetime(2026, 8, 1, 10, 0, tzinfo=UTC)
ENTRY = ModelEntry(
    "llama3.2:latest", "a80c4f17acd5" + "0" * 52, Size(2_019_393_189), NOW - timedelta(days=30)
)
RUNNING = RunningModel(
    name="smollm2:135m",
    digest="5f1c" + "0" * 60,
    size=Size(310_000_000),
    on_cards=Size(0),
    expires_at=NOW + timedelta(minutes=5),
    context=8192,
    processor="CPU, 2 threads",
    slots=4,
)


@pytest.mark.parametrize(("width", "gap"), [(0, 4), (22, 4), (21, 3), (19, 2), (5, 2)])
def test_a_narrow_screen_has_less_between_the_columns(width: int, gap: int) -> None:
    shown = table(("NAME", "OTHER", "THIRD"), [("a", "b", "c")], width=width)
    assert shown.splitlines()[0] == (" " * gap).join(("NAME", "OTHER", "THIRD"))


def test_models_stand_in_columns_four_spaces_apart() -> None:
    other = ENTRY._replace(name="phi", size=Size(512))
    assert model_table([ENTRY, other], NOW).splitlines() == [
        "NAME               ID              SIZE      MODIFIED",
        "llama3.2:latest    a80c4f17acd5    2.0 GB    4 weeks ago",
        "phi                a80c4f17acd5    512 B     4 weeks ago",
    ]


def test_an_empty_table_is_its_header() -> None:
    assert model_table([], NOW) == "NAME    ID    SIZE    MODIFIED"


def test_a_remote_model_has_no_size() -> None:
    assert "    -    " in model_table([ENTRY._replace(is_remote=True)], NOW)


def test_a_name_with_wide_characters_keeps_the_columns_straight() -> None:
    first, second = model_table([ENTRY._replace(name="模型")], NOW).splitlines()
    assert first.index("ID") == second.index("a80c") + 2


def test_a_name_cannot_send_escapes_to_the_terminal() -> None:
    assert "\x1b" not in model_table([ENTRY._replace(name="x\x1b[2Jy")], NOW)


def test_running_models_show_where_and_until_when() -> None:
    assert running_table([RUNNING], NOW).splitlines() == [
        "NAME            ID              SIZE      PROCESSOR    CONTEXT    UNTIL",
        "smollm2:135m    5f1c00000000    310 MB    100% CPU     8192       5 minutes from now",
    ]


@pytest.mark.parametrize(
    ("size", "on_cards", "text"),
    [
        (100, 0, "100% CPU"),
        (100, 100, "100% GPU"),
        (100, 52, "48%/52% CPU/GPU"),
        (1000, 335, "66%/34% CPU/GPU"),
        (100, 101, "Unknown"),
        (0, 5, "Unknown"),
    ],
)
def test_placement_is_worded_as_ollama_does(size: int, on_cards: int, text: str) -> None:
    assert placement(RUNNING._replace(size=Size(size), on_cards=Size(on_cards))) == text


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOW + timedelta(minutes=4), "4 minutes from now"),
        (NOW - timedelta(seconds=1), "Stopping..."),
        (NOW + timedelta(days=365 * 30), "Forever"),
        (None, "Forever"),
    ],
)
def test_until_says_when_a_model_leaves(moment: datetime | None, text: str) -> None:
    assert until(moment, NOW) == text


def test_the_first_line_of_run_says_where_and_how_much() -> None:
    assert where_it_runs(RUNNING) == (
        "smollm2:135m runs on CPU, 2 threads: 310 MB of memory, context 4 x 8192"
    )


def test_a_node_without_our_fields_still_gets_a_first_line() -> None:
    line = where_it_runs(RUNNING._replace(processor="", slots=0))
    assert line == "smollm2:135m runs on 100% CPU: 310 MB of memory, context 8192"


def test_timings_are_the_lines_that_ollama_prints() -> None:
    timings = Timings(
        total=Span.of(seconds=1.5),
        load=Span.of(ms=40),
        prompt_tokens=Count(12),
        prompt_span=Span.of(ms=60),
        output_tokens=Count(80),
        output_span=Span.of(seconds=1.25),
    )
    assert timing_block(timings).splitlines() == [
        "total duration:       1.5s",
        "load duration:        40ms",
        "prompt eval count:    12 token(s)",
        "prompt eval duration: 60ms",
        "prompt eval rate:     200.00 tokens/s",
        "eval count:           80 token(s)",
        "eval duration:        1.25s",
        "eval rate:            64.00 tokens/s",
    ]


def test_figures_that_are_zero_are_left_out() -> None:
    zero = Timings(Span(0), Span(0), Count(0), Span(0), Count(0), Span(0))
    assert timing_block(zero) == ""
