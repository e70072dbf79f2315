"""Labels by a server's slots: what is asked of the server, and what becomes of its answers."""

import math
from collections.abc import Sequence

import pytest

from puna.node.engine.choosing import choice_question, read_choice
from puna.node.engine.events import EngineFailed
from puna.node.engine.label_question import ComputePath, LabelQuestion
from puna.node.engine.label_slots import SlotScorer, Vocabulary
from puna.node.engine.row_tree import Tokens

QUESTION = LabelQuestion(prefix="p ", labels=(" yes", " no", " not"), suffix=":", blank="-")


class Letters:
    """An engine whose tokens are letters, and whose favourite is the text's first one."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_stopped = False

    async def tokenize(self, text: str, *, add_special: bool) -> Tokens:
        del add_special
        return tuple(map(ord, text))

    async def choose(self, prompt: Tokens, among: Sequence[int]) -> dict[int, float]:
        text = "".join(map(chr, prompt))
        self.asked.append(text)
        favourite = text.removeprefix("p ")[0]
        shares = {token: 3.0 if chr(token) == favourite else 1.0 for token in among}
        return {token: share / sum(shares.values()) for token, share in shares.items()}

    async def stop(self) -> None:
        self.is_stopped = True


@pytest.fixture
async def scorer() -> SlotScorer:
    return await SlotScorer.begin(Letters(), QUESTION, Vocabulary(60, (0, 10)))


async def test_a_label_is_as_likely_as_its_letters_where_labels_part(scorer: SlotScorer) -> None:
    found = (await scorer.score(["yacht", "xylophone"])).rows
    assert [[round(math.exp(each), 3) for each in row or ()] for row in found] == [
        [0.75, 0.167, 0.083],
        [0.5, 0.333, 0.167],
    ]


async def test_equal_texts_are_asked_once_and_only_where_labels_part() -> None:
    engine = Letters()
    scorer = await SlotScorer.begin(engine, QUESTION, Vocabulary(60, (0, 10)))
    engine.asked.clear()
    await scorer.score(["a", "a", "b"])
    assert sorted(engine.asked) == ["p a: ", "p a: no", "p b: ", "p b: no"]


async def test_the_bias_of_the_labels_is_known_from_the_start(scorer: SlotScorer) -> None:
    assert math.fsum(map(math.exp, scorer.baseline)) == pytest.approx(1)
    assert scorer.choice.path is ComputePath.SLOTS


async def test_a_text_that_does_not_fit_is_refused_alone(scorer: SlotScorer) -> None:
    found = await scorer.score(["a", "b" * 60])
    assert [row is None for row in found.rows] == [False, True]
    assert "60 have room" in found.refusals[1]
    assert found.tokens == 4


async def test_its_server_ends_with_it() -> None:
    engine = Letters()
    scorer = await SlotScorer.begin(engine, QUESTION, Vocabulary(60, (0,)))
    await scorer.stop()
    assert engine.is_stopped


def test_only_the_tokens_that_count_can_follow() -> None:
    question = choice_question((1, 2, 3), (7, 9))
    assert question["prompt"] == [1, 2, 3]
    assert question["logit_bias"] == [[7, 100.0], [9, 100.0]]
    assert (question["n_predict"], question["n_probs"]) == (1, 2)


def test_probabilities_are_read_by_token() -> None:
    told = {"top_probs": [{"id": 7, "prob": 0.75}, {"id": 9, "prob": 0.25}]}
    assert read_choice({"completion_probabilities": [told]}) == {7: 0.75, 9: 0.25}


@pytest.mark.parametrize("answer", [{}, {"completion_probabilities": []}], ids=["none", "empty"])
def test_an_answer_without_probabilities_is_a_failure(answer: dict[str, object]) -> None:
    with pytest.raises(EngineFailed, match="how likely"):
        read_choice(answer)
