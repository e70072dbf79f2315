"""One model for two purposes: two engines, each with its own life, under one name."""

from dataclasses import replace

import pytest

from puna.node.engine.request import Purpose
from puna.node.scheduler.events import Event, Requested
from puna.node.scheduler.policy import decide
from tests.scheduler.words import LIMITS, ask, in_words, leave, ready, resident, state_after, stop


def ask_vectors(request: int, model: str = "a", *, batch: int = 512) -> Requested:
    asked = ask(request, model)
    assert isinstance(asked, Requested)
    spec = replace(asked.wanted.spec, purpose=Purpose.EMBED, batch=batch)
    return replace(asked, wanted=replace(asked.wanted, spec=spec))


Row = tuple[tuple[Event, ...], Event, list[str]]
ROWS: dict[str, Row] = {
    "vectors are another engine's work": (resident("a"), ask_vectors(2), ["load 2: a"]),
    "which is shared by all who want them": (
        (*resident("a"), ask_vectors(2), ready(2), leave(2)),
        ask_vectors(3),
        ["grant 3"],
    ),
    "and leaves the answers to the first": (
        (*resident("a"), ask_vectors(2), ready(2)),
        ask(3, "a"),
        ["grant 3"],
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_each_purpose_has_its_engine(row: Row) -> None:
    before, event, orders = row
    _, effects = decide(state_after(*before, limits=LIMITS), event)
    assert in_words(effects) == orders


def test_to_stop_a_model_ends_both() -> None:
    state = state_after(*resident("a"), ask_vectors(2), ready(2), leave(2))
    after, _ = decide(state, stop("a"))
    assert not [each for each in after.residents if not each.is_leaving]


def test_a_load_for_another_purpose_is_not_accepted() -> None:
    answers, vectors = ask(1, "a"), ask_vectors(2)
    assert isinstance(answers, Requested)
    assert not answers.wanted.accepts(vectors.wanted.spec)
