"""Vocabularies: tokens, kinds, scores and merges as llama.cpp's own converter tells them."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from gguf import GGUFReader
from puna.library.weights.made import CannotConvert
from puna.library.weights.pretokenizer import CHECK_TEXT, DIGESTS, pretokenizer_name
from puna.library.weights.repository import BadRepository, Repository
from puna.library.weights.vocabulary import Vocabulary, read_vocabulary
from puna.models.sentencepiece import PieceType
from tests.models.test_sentencepiece import a_model, a_piece
from tests.weights.huggingface import LLAMA_3, smollm2, tiny_tokenizer, tokenizer_of

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
WORDS = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


def split(pattern: str) -> dict[str, object]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def steps(*each: object) -> dict[str, object]:
    return {"type": "Sequence", "pretokenizers": list(each)}


def read(folder: Path, files: Mapping[str, object], size: int = 264) -> Vocabulary:
    """Write files (objects as JSON) and read the vocabulary that they make."""
    paths = {}
    for name, content in files.items():
        paths[name] = folder / name
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        paths[name].write_bytes(raw)
    return read_vocabulary(Repository(paths), size)


def test_a_byte_tokenizer_has_its_merges_and_added_tokens(tmp_path: Path) -> None:
    found = read(tmp_path, {"tokenizer.json": tiny_tokenizer()})
    kinds = {each.text: each.type for each in found.tokens}
    assert (found.kind, found.pretokenizer) == ("gpt2", "llama-bpe")
    assert found.merges == ("h e", "he l")
    assert kinds["<s>"] is PieceType.CONTROL
    assert kinds["tool"] is PieceType.USER_DEFINED
    assert kinds["[PAD260]"] is PieceType.UNUSED
    assert len(found.tokens) == 264


def test_merges_of_blanks_are_written_with_their_sign(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    model = tokenizer["model"]
    assert isinstance(model, dict)
    model["merges"] = [["h", "e"], [" ", "l"]]
    assert read(tmp_path, {"tokenizer.json": tokenizer}).merges == ("h e", "\u0120 l")


@pytest.mark.parametrize(
    ("way", "ignores", "name"),
    [
        (steps(split(LLAMA_3), BYTES), True, "llama-bpe"),
        (steps(split(LLAMA_3.replace("{1,3}", "")), BYTES), False, "qwen2"),
        (steps(DIGITS, WORDS), False, "smollm"),
        (WORDS, False, "gpt-2"),
    ],
)
def test_ways_to_cut_words_are_known_by_sight(way: object, ignores: bool, name: str) -> None:
    tokenizer = json.loads(json.dumps({"pre_tokenizer": way, "model": {"ignore_merges": ignores}}))
    assert pretokenizer_name(tokenizer, b"") == name


@pytest.mark.parametrize(
    "way",
    [
        steps(split("a+"), BYTES),
        steps(split(LLAMA_3), WORDS),
        steps({**split(LLAMA_3), "invert": True}, BYTES),
        {**WORDS, "add_prefix_space": True},
        {"type": "Whitespace"},
    ],
)
def test_a_way_that_nobody_knows_is_refused_and_never_guessed(way: object) -> None:
    tokenizer = {**tiny_tokenizer(), "pre_tokenizer": way}
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}
    raw = json.dumps({**tokenizer, "model": model, "added_tokens": []}).encode()
    with pytest.raises(CannotConvert, match=r"llama\.cpp has no name|tokenizer\.json cannot be"):
        pretokenizer_name(json.loads(raw), raw)


def test_the_text_that_is_tokenized_is_llama_cpps() -> None:
    digest = hashlib.sha256(CHECK_TEXT.encode()).hexdigest()
    assert digest == "a36179c1e2b1cfcfbfad1dc779addad2ffc778201e4cf0d538bddeafa2c526da"
    assert len(set(DIGESTS)) == len(DIGESTS)


def test_the_way_is_told_by_digest_where_sight_fails() -> None:
    tokenizer = tokenizer_of({key: f.contents() for key, f in GGUFReader(smollm2()).fields.items()})
    tokenizer["pre_tokenizer"] = steps(tokenizer["pre_tokenizer"])
    raw = json.dumps(tokenizer).encode()
    assert pretokenizer_name(json.loads(raw), raw) == "smollm"


def test_special_tokens_are_named_numbered_and_added(tmp_path: Path) -> None:
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}],
    }
    found = read(
        tmp_path,
        {
            "tokenizer.json": tiny_tokenizer(post_processor=template),
            "tokenizer_config.json": {
                "bos_token": {"content": "<s>"},
                "chat_template": "{{ x }}",
                "add_eos_token": False,
            },
            "config.json": {"eos_token_id": 259, "pad_token_id": 9000},
        },
    )
    assert found.special.number_by_task == {"bos": 258, "eos": 259}
    assert found.special.is_added == {"bos": True, "eos": False}
    assert found.special.templates == {"default": "{{ x }}"}


def test_a_template_may_lie_in_a_file_of_its_own(tmp_path: Path) -> None:
    files = {"tokenizer.json": tiny_tokenizer(), "chat_template.jinja": b"{{ y }}"}
    assert read(tmp_path, files).special.templates == {"default": "{{ y }}"}


def test_sentencepiece_keeps_scores_and_kinds(tmp_path: Path) -> None:
    model = a_model(a_piece("<unk>", kind=2), a_piece("<s>", kind=3), a_piece("\u2581a", -1.5))
    added = {
        "3": {"content": "<|im_end|>", "special": False},
        "4": {"content": "x", "special": False},
    }
    wishes = {"added_tokens_decoder": added, "bos_token": "<s>"}
    found = read(tmp_path, {"tokenizer.model": model, "tokenizer_config.json": wishes}, size=6)
    assert (found.kind, found.pretokenizer) == ("llama", "default")
    assert [(each.text, int(each.type), each.score) for each in found.tokens] == [
        ("<unk>", 2, 0.0),
        ("<s>", 3, 0.0),
        ("\u2581a", 1, -1.5),
        ("<|im_end|>", 3, -1000.0),
        ("x", 4, -1000.0),
        ("[PAD5]", 5, -10000.0),
    ]
    assert found.special.number_by_task == {"bos": 1}


def test_an_added_token_that_the_model_has_no_number_for_is_left_out_and_said(
    tmp_path: Path,
) -> None:
    model = a_model(a_piece("<unk>", kind=2), a_piece("a"))
    wishes = {"added_tokens_decoder": {"2": {"content": "<image>", "special": True}}}
    files = {"tokenizer.model": model, "tokenizer_config.json": wishes}
    found = read(tmp_path, files, size=2)
    assert [each.text for each in found.tokens] == ["<unk>", "a"]
    assert found.said == ("the model has no numbers for added tokens, left out: <image>",)
    with pytest.raises(BadRepository, match="up to 1, the model has 1"):
        read(tmp_path, files, size=1)


def test_a_unigram_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotConvert, match="no byte-pair model"):
        read(tmp_path, {"tokenizer.model": a_model(a_piece("a"), kind=1)}, size=1)


def fallback(merges: list[str]) -> dict[str, object]:
    """Return a SentencePiece model that was written as merges."""
    vocabulary = ["<unk>", "<0x0A>", "\u2581", "a", "b", "ab", "\u2581ab"]
    model = {"type": "BPE", "byte_fallback": True, "unk_token": "<unk>", "merges": merges}
    model |= {"vocab": {text: number for number, text in enumerate(vocabulary)}}
    normalizer = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}]}
    return {"model": model, "pre_tokenizer": None, "normalizer": normalizer}


def test_merges_of_a_sentencepiece_model_become_scores(tmp_path: Path) -> None:
    merges = ["a b", "\u2581 ab", "\u2581a b"]
    found = read(tmp_path, {"tokenizer.json": fallback(merges)}, size=7)
    scores = {each.text: each.score for each in found.tokens}
    kinds = {each.text: each.type for each in found.tokens}
    assert (scores["ab"], scores["\u2581ab"]) == (0.0, -1.0)
    assert (kinds["<unk>"], kinds["<0x0A>"]) == (PieceType.UNKNOWN, PieceType.BYTE)
    assert found.adds_blank is True


def test_merges_in_an_order_without_scores_are_refused(tmp_path: Path) -> None:
    merges = ["\u2581 ab", "a b", "\u2581a b"]
    with pytest.raises(CannotConvert, match="order that no scores give"):
        read(tmp_path, {"tokenizer.json": fallback(merges)}, size=7)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "neither tokenizer.model nor tokenizer.json"),
        ({"tokenizer.json": {"model": {"type": "BPE"}}}, "no vocabulary"),
        ({"tokenizer.json": {"model": {"vocab": {"a": 0, "b": 0}, "merges": []}}}, "one number"),
        ({"tokenizer.json": {"model": {"vocab": {"a": 0}, "merges": ["a"]}}}, "no pair"),
        (
            {"tokenizer.json": tiny_tokenizer(added_tokens=[{"id": 264, "content": "z"}])},
            "up to 264",
        ),
        ({"tokenizer.json": b"version https://git-lfs"}, "it is not JSON"),
    ],
)
def test_a_damaged_tokenizer_is_named(
    tmp_path: Path, files: Mapping[str, object], reason: str
) -> None:
    with pytest.raises(BadRepository, match=reason):
        read(tmp_path, files)


@pytest.mark.parametrize("kind", ["Unigram", "WordPiece"])
def test_other_kinds_of_tokenizers_are_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(CannotConvert, match=f"holds a {kind} model"):
        read(tmp_path, {"tokenizer.json": {"model": {"type": kind}}})
