"""The small classifier: what it learns, and that nothing but the text decides its answer."""

import pytest

from puna.batch.ngrams import BadClassifier, Classifier, train

ANIMALS = ("dog", "cat", "llama", "horse", "żubr")
THINGS = ("chair", "table", "lamp", "shelf", "łóżko")
TEXTS = [
    f"{a} {b} {n}" for n in range(8) for group in (ANIMALS, THINGS) for a in group for b in group
]
LABELS = [0 if text.split()[0] in ANIMALS else 1 for text in TEXTS]


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return train(TEXTS, LABELS, count=2, seed=1)


@pytest.mark.parametrize(
    ("text", "label"),
    [("the old dog", 0), ("LLAMA", 0), ("two lamps", 1), ("Łóżko", 1), ("żubry", 0)],
)
def test_it_knows_words_it_was_taught_and_their_kin(
    classifier: Classifier, text: str, label: int
) -> None:
    assert classifier.guess([text])[0].label == label


def test_a_clear_text_has_more_margin_than_a_strange_one(classifier: Classifier) -> None:
    clear, strange = classifier.guess(["dog cat", "qqq"])
    assert clear.margin > 4 * strange.margin


def test_an_answer_does_not_depend_on_its_company(classifier: Classifier) -> None:
    together = classifier.guess(TEXTS)
    assert [classifier.guess([text])[0] for text in TEXTS] == together


def test_the_same_seed_teaches_the_same() -> None:
    first, second = (train(TEXTS, LABELS, count=2, seed=3).to_bytes() for _ in range(2))
    assert first == second


def test_it_comes_back_from_its_file(classifier: Classifier) -> None:
    again = Classifier.from_bytes(classifier.to_bytes())
    assert (again.guess(TEXTS), again.labels) == (classifier.guess(TEXTS), 2)


@pytest.mark.parametrize("text", ["", "   ", "\0", "x", "\ud800", "word " * 5000])
def test_any_text_has_an_answer(classifier: Classifier, text: str) -> None:
    guess = classifier.guess([text, "dog"])[0]
    assert len(guess.scores) == 2
    assert guess.margin >= 0


def test_no_texts_have_no_answers(classifier: Classifier) -> None:
    assert classifier.guess([]) == []


@pytest.mark.parametrize("content", [b"", b"{}\n", b'{"labels": 2}\nxx', b'{"labels": 3}\n'])
def test_a_damaged_file_is_said_to_be(content: bytes) -> None:
    with pytest.raises(BadClassifier):
        Classifier.from_bytes(content)
