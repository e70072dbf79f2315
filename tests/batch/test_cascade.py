"""The cascade: what it claims, what it refuses to claim, and that it comes back as it was."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from puna.batch.bound import lower_bound
from puna.batch.cascade import (
    Aim,
    Cascade,
    NoCascade,
    Verdict,
    candidate_margins,
    check_target,
    choose_lessons,
    learn,
    lesson_count,
    prove,
)
from puna.batch.ngrams import BadClassifier

WORDS = [f"{a}{b}" for a in ("ka", "mo", "ri", "tu", "se", "lo") for b in ("na", "to", "vi", "da")]
GROUPS = 4
AIM = Aim(labels=GROUPS, target=0.9, seed=3)


def rows(count: int) -> list[str]:
    dice = random.Random(5)  # noqa: S311 - chance that repeats
    return [" ".join(dice.choices(WORDS, k=3)) for _ in range(count)]


def label_of(text: str) -> int:
    """A rule that words decide: the group of the word that is there first in the list."""
    return min(WORDS.index(word) for word in text.split()) % GROUPS


@pytest.fixture(scope="module")
def lessons() -> list[str]:
    return rows(3000)


@pytest.fixture(scope="module")
def learned(lessons: list[str]) -> Cascade:
    labels = [label_of(text) for text in lessons]
    return learn(lessons, labels, AIM)


def test_what_it_claims_is_what_the_held_out_rows_prove(learned: Cascade) -> None:
    verdict = learned.verdict
    assert verdict.margin is not None
    assert verdict.bound == lower_bound(verdict.agreed, verdict.of) >= 0.9
    assert "with 95 % confidence" in verdict.words


def test_the_claim_holds_for_rows_that_nobody_labelled(learned: Cascade) -> None:
    fresh = rows(8000)[3000:]
    taken = [
        (text, guess) for text, guess in zip(fresh, learned.answers(fresh), strict=True) if guess
    ]
    assert len(taken) > 500
    assert sum(guess.label == label_of(text) for text, guess in taken) / len(taken) >= 0.9


def test_labels_without_a_rule_are_left_to_the_model(lessons: list[str]) -> None:
    dice = random.Random(1)  # noqa: S311 - chance that repeats
    labels = [dice.randrange(GROUPS) for _ in lessons]
    cascade = learn(lessons, labels, AIM)
    assert cascade.verdict.margin is None
    assert cascade.answers(lessons) == [None] * len(lessons)
    assert "answers no rows" in cascade.verdict.words


def test_a_model_that_abstains_teaches_nothing(lessons: list[str]) -> None:
    cascade = learn(lessons, [None] * len(lessons), AIM)
    assert cascade.verdict.why == "the model labelled 0 of its 1500 lessons"


def test_a_row_below_the_least_probability_is_left_to_the_model(lessons: list[str]) -> None:
    labels = [label_of(text) for text in lessons]
    cascade = learn(lessons, labels, replace(AIM, least=0.9))
    taken = [guess for guess in cascade.answers(lessons) if guess]
    assert taken
    assert all(guess.chances[0] >= 0.9 for guess in taken)


def test_it_comes_back_from_its_file_byte_for_byte(learned: Cascade, lessons: list[str]) -> None:
    again = Cascade.from_bytes(learned.to_bytes())
    assert again.answers(lessons) == learned.answers(lessons)
    assert (again.verdict, again.to_bytes()) == (learned.verdict, learned.to_bytes())


def test_a_refusal_comes_back_too() -> None:
    cascade = Cascade(None, Verdict(target=0.9, why="so"))
    assert Cascade.from_bytes(cascade.to_bytes()) == cascade


@pytest.mark.parametrize("content", [b"", b"{", b'{"x": 1}\n'])
def test_a_damaged_file_is_said_to_be(content: bytes) -> None:
    with pytest.raises(BadClassifier):
        Cascade.from_bytes(content)


def marks(count: int, agreement: float, seed: int) -> list[tuple[int, bool]]:
    dice = random.Random(seed)  # noqa: S311 - chance that repeats
    return [(dice.randrange(1000), dice.random() < agreement) for _ in range(count)]


def test_an_agreement_below_the_target_is_claimed_at_most_once_in_twenty() -> None:
    margins = tuple(range(900, -1, -50))
    claims = [prove(marks(800, 0.949, seed), margins, 0.95) for seed in range(400)]
    assert sum(claim.margin is not None for claim in claims) <= 0.05 * 400 + 9


def test_a_proof_stops_at_the_first_margin_that_fails() -> None:
    some = [(900, True)] * 100 + [(500, False)] * 20 + [(100, True)] * 5000
    verdict = prove(some, (900, 500, 100), 0.95)
    assert (verdict.margin, verdict.agreed, verdict.of) == (900, 100, 100)


def test_a_failed_proof_says_what_it_shows() -> None:
    verdict = prove([(9, True)] * 90 + [(9, False)] * 10, (9,), 0.95)
    assert verdict.words == (
        "The classifier answers no rows: 90 of 100 held-out rows agree, which proves 83.63% "
        "and not 95.00%"
    )


def test_margins_that_take_too_few_rows_to_prove_anything_are_skipped() -> None:
    assert prove([(9, True)] * 58, (9,), 0.95).margin is None


@pytest.mark.parametrize(
    ("some", "margins"),
    [([], ()), ([(5, False)] * 50, ()), ([(5, True)] * 50, (5,))],
    ids=["no rows", "no agreement", "all agree"],
)
def test_only_margins_with_hope_are_tried(
    some: Sequence[tuple[int, bool]], margins: tuple[int, ...]
) -> None:
    assert candidate_margins(some, 0.9) == margins


@pytest.mark.parametrize(
    ("rows", "target", "count"),
    [(1000, 0.95, 0), (4500, 0.95, 1500), (100_000, 0.95, 12_500), (10**8, 0.95, 40_000)],
)
def test_so_many_rows_are_lessons(rows: int, target: float, count: int) -> None:
    assert lesson_count(rows, target) == count


def test_lessons_are_a_random_choice_that_the_seed_repeats() -> None:
    chosen = choose_lessons(10_000, 2000, seed=4)
    assert chosen == choose_lessons(10_000, 2000, seed=4) != choose_lessons(10_000, 2000, seed=5)
    assert len(set(chosen)) == 2000
    assert sum(chosen) / 2000 == pytest.approx(5000, rel=0.05)


@pytest.mark.parametrize("target", [0.3, 1.0, 0.9999, float("nan")])
def test_an_agreement_that_cannot_be_proved_is_refused(target: float) -> None:
    with pytest.raises(NoCascade, match="makes no cascade"):
        check_target(target)
