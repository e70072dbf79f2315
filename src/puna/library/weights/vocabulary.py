"""The vocabulary of a model, from its tokenizer's files to what a GGUF file says of it.

There are two kinds that llama.cpp carries out for these models: `llama`, SentencePiece with scores,
and `gpt2`, byte-pair encoding with merges. Which tokens are special, and which are put in front of
a text, is told as llama.cpp's own converter tells it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from puna.library.weights.made import CannotConvert
from puna.library.weights.pretokenizer import pretokenizer_name
from puna.library.weights.repository import BadRepository, Object, Repository
from puna.library.weights.special import SpecialTokens, special_tokens
from puna.models.sentencepiece import BPE, PieceType, read_sentencepiece
from puna.models.strict_json import JsonValue
from puna.text import one_line

_BLANK = "\u2581"
_ADDED_SCORE, _PADDING_SCORE = -1000.0, -10000.0
_LOOK_SPECIAL = frozenset({"<pad>", "<mask>", "<2mass>", "[@BOS@]"})
_BRACKETS = (("<|", "|>"), ("<\uff5c", "\uff5c>"), ("<unused", ">"))


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its text, what it is, and what it is worth to SentencePiece."""

    text: str
    type: PieceType = PieceType.NORMAL
    score: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """What a GGUF file says of a tokenizer."""

    kind: str
    """`llama` or `gpt2`."""
    pretokenizer: str
    tokens: tuple[Token, ...]
    merges: tuple[str, ...] = ()
    special: SpecialTokens = field(default_factory=SpecialTokens)
    adds_blank: bool | None = None
    """Whether a text gets a blank in front; None leaves it to llama.cpp."""
    said: tuple[str, ...] = ()
    """What there is to say about it."""


def read_vocabulary(files: Repository, size: int) -> Vocabulary:
    """Return the vocabulary of a model that has `size` tokens.

    Raises `BadRepository`, `CannotConvert`, `BadSentencePiece`.
    """
    if files.has("tokenizer.model"):
        found = _sentencepiece(files, size)
    elif files.has("tokenizer.json"):
        found = _from_json(files, size)
    else:
        raise BadRepository(
            "there is neither tokenizer.model nor tokenizer.json",
            hint="name the model's whole folder in FROM, with its tokenizer",
        )
    blank = files.json("tokenizer_config.json").get("add_prefix_space")
    return replace(found, adds_blank=blank) if isinstance(blank, bool) else found


def _sentencepiece(files: Repository, size: int) -> Vocabulary:
    model = read_sentencepiece(files.raw("tokenizer.model"))
    if model.kind != BPE:
        raise CannotConvert(
            "tokenizer.model is no byte-pair model, and llama.cpp knows no other for this family"
        )
    own = {PieceType.USER_DEFINED: PieceType.NORMAL}
    tokens = {
        number: Token(piece.text, own.get(piece.type, piece.type), piece.score)
        for number, piece in enumerate(model.pieces)
    }
    for name, number in files.json("added_tokens.json").items():
        if isinstance(number, int):
            tokens[number] = Token(name, PieceType.USER_DEFINED, _ADDED_SCORE)
    tokens |= dict(_added(_decoder(files), _ADDED_SCORE))
    beyond = [number for number in tokens if number >= max(size, len(model.pieces))]
    names = ", ".join(one_line(tokens.pop(number).text, 40) for number in beyond)
    return Vocabulary(
        kind="llama",
        pretokenizer="default",
        tokens=_numbered(tokens, size),
        special=special_tokens(files, {each.text: n for n, each in tokens.items()}),
        adds_blank=None if model.adds_blank else False,
        said=(f"the model has no numbers for added tokens, left out: {names}",) if names else (),
    )


def _decoder(files: Repository) -> Iterator[tuple[JsonValue, JsonValue]]:
    listed = files.json("tokenizer_config.json").get("added_tokens_decoder")
    for number, entry in listed.items() if isinstance(listed, dict) else ():
        if number.isdecimal():
            yield int(number), entry


def _from_json(files: Repository, size: int) -> Vocabulary:
    raw = files.raw("tokenizer.json")
    tokenizer = files.json("tokenizer.json")
    model = tokenizer.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else None
        raise CannotConvert(f"tokenizer.json holds a {one_line(str(kind), 40)} model, not BPE")
    words, merges = _words(model), _merges(model)
    if model.get("byte_fallback") is True:
        return _with_scores(files, tokenizer, words, merges, size)
    tokens = {number: Token(text) for text, number in words.items()}
    tokens |= dict(_added(_listed(tokenizer), 0.0))
    return Vocabulary(
        kind="gpt2",
        pretokenizer=pretokenizer_name(tokenizer, raw),
        tokens=_numbered(tokens, size),
        merges=tuple(f"{_no_blanks(a)} {_no_blanks(b)}" for a, b in merges),
        special=special_tokens(files, {each.text: n for n, each in tokens.items()}),
    )


def _with_scores(
    files: Repository,
    tokenizer: Object,
    words: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    size: int,
) -> Vocabulary:
    """Return a SentencePiece vocabulary that was written as merges: their order is the score."""
    _check_blanks(tokenizer)
    scores: dict[str, float] = {}
    last = ""
    for rank, (a, b) in enumerate(merges):
        made = a + b
        if made in scores and made != last:
            raise CannotConvert("tokenizer.json merges in an order that no scores give")
        scores.setdefault(made, float(-rank))
        last = made
    unknown = tokenizer.get("model")
    name = unknown.get("unk_token") if isinstance(unknown, dict) else None
    tokens = {n: Token(t, _kind(t, name), scores.get(t, _PADDING_SCORE)) for t, n in words.items()}
    for number, token in _added(_listed(tokenizer), _ADDED_SCORE):
        is_unknown = token.text == name
        tokens[number] = replace(token, type=PieceType.UNKNOWN) if is_unknown else token
    return Vocabulary(
        kind="llama",
        pretokenizer="default",
        tokens=_numbered(tokens, size),
        special=special_tokens(files, {each.text: n for n, each in tokens.items()}),
        adds_blank=_puts_blank_first(tokenizer),
    )


def _check_blanks(tokenizer: Object) -> None:
    """Make sure that nothing cuts words but SentencePiece's own sign for a blank."""
    step = tokenizer.get("pre_tokenizer")
    if step is not None and not (isinstance(step, dict) and step.get("type") == "Metaspace"):
        raise CannotConvert("tokenizer.json falls back to bytes, and cuts words before it merges")


def _puts_blank_first(tokenizer: Object) -> bool:
    step, normalizer = tokenizer.get("pre_tokenizer"), tokenizer.get("normalizer")
    if isinstance(step, dict):
        return step.get("prepend_scheme", "always") != "never" and bool(
            step.get("add_prefix_space", True)
        )
    listed = normalizer.get("normalizers", [normalizer]) if isinstance(normalizer, dict) else []
    return isinstance(listed, list) and any(
        isinstance(each, dict) and each.get("type") == "Prepend" for each in listed
    )


def _kind(text: str, unknown: JsonValue) -> PieceType:
    if text == unknown:
        return PieceType.UNKNOWN
    is_byte = len(text) == len("<0x00>") and text.startswith("<0x") and text.endswith(">")
    return PieceType.BYTE if is_byte else PieceType.NORMAL


def _listed(tokenizer: Object) -> Iterator[tuple[JsonValue, JsonValue]]:
    listed = tokenizer.get("added_tokens")
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict):
            yield entry.get("id"), entry


def _added(
    entries: Iterator[tuple[JsonValue, JsonValue]], score: float
) -> Iterator[tuple[int, Token]]:
    """Yield number and token of those that were added after training."""
    for number, entry in entries:
        if not isinstance(entry, dict) or not isinstance(number, int):
            continue
        text = entry.get("content")
        if not isinstance(text, str):
            continue
        if entry.get("special") is True or _looks_special(text):
            yield number, Token(text, PieceType.CONTROL, score)
        else:
            yield number, Token(text.replace(_BLANK, " "), PieceType.USER_DEFINED, score)


def _looks_special(text: str) -> bool:
    """Tell whether a token ought to be special, though its makers did not say so."""
    return text in _LOOK_SPECIAL or any(
        text.startswith(start) and text.endswith(end) for start, end in _BRACKETS
    )


def _words(model: Object) -> Mapping[str, int]:
    listed = model.get("vocab")
    if not isinstance(listed, dict) or not listed:
        raise BadRepository("tokenizer.json has no vocabulary")
    found = {text: n for text, n in listed.items() if isinstance(n, int)}
    if len(set(found.values())) != len(listed):
        raise BadRepository("tokenizer.json gives two tokens one number")
    return found


def _merges(model: Object) -> list[tuple[str, str]]:
    listed = model.get("merges")
    found: list[tuple[str, str]] = []
    for each in listed if isinstance(listed, list) else ():
        pair = each.split(" ") if isinstance(each, str) else each
        if not isinstance(pair, list) or len(pair) != 2:  # noqa: PLR2004 - a pair
            raise BadRepository("tokenizer.json has a merge that is no pair")
        found.append((str(pair[0]), str(pair[1])))
    if not found:
        raise BadRepository("tokenizer.json has no merges")
    return found


def _no_blanks(text: str) -> str:
    """Return a part of a merge as a GGUF file has it, whose separator is a blank."""
    return text.replace(" ", chr(ord(" ") + 256))


def _numbered(tokens: Mapping[int, Token], size: int) -> tuple[Token, ...]:
    """Return the tokens by their numbers, with unused ones where there is none."""
    beyond = max(tokens) + 1
    if beyond > size or min(tokens) < 0:
        raise BadRepository(
            f"the tokenizer numbers its tokens up to {beyond - 1}, the model has {size}"
        )
    return tuple(
        tokens.get(n, Token(f"[PAD{n}]", PieceType.UNUSED, _PADDING_SCORE)) for n in range(size)
    )
