"""How a tokenizer cuts text into words before it merges, by llama.cpp's name for it.

A GGUF file names the way (`tokenizer.ggml.pre`), since llama.cpp has each written out. A name that
is wrong changes a few tokens here and there, which nobody sees at once; so it is never guessed. It
is told from `tokenizer.json` itself, whose steps must be one of those known here exactly. For the
rest, where the `tokenizers` package is installed, llama.cpp's own test decides: a text that is
tokenized, and the digest of the numbers.
"""

import hashlib
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType

from puna.library.weights.made import CannotConvert
from puna.library.weights.repository import Object
from puna.models.strict_json import JsonValue

_ENGLISH = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASES = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
_LLAMA_3 = rf"{_ENGLISH}|\p{{N}}{{1,3}}{_REST}"
_QWEN_2 = rf"{_ENGLISH}|\p{{N}}{_REST}"
_TEKKEN = rf"{_CASES}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"

_Steps = tuple[tuple[str, ...], ...]
_BYTES = ("ByteLevel", "plain")
_BYTES_AND_WORDS = ("ByteLevel", "words")
_KNOWN: Mapping[tuple[_Steps, bool], str] = MappingProxyType(
    {
        ((("Split", _LLAMA_3), _BYTES), True): "llama-bpe",
        ((("Split", _TEKKEN), _BYTES), True): "tekken",
        ((("Split", _QWEN_2), _BYTES), False): "qwen2",
        ((("Digits", "each"), _BYTES_AND_WORDS), False): "smollm",
        ((_BYTES_AND_WORDS,), False): "gpt-2",
    }
)
"""The steps, and whether whole words that are tokens are left unmerged: llama.cpp's name."""

# The text that llama.cpp's converter has tokenized, and the digests that it knows for it.
CHECK_TEXT = (
    "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n"
    "🚀 (normal) 😶\u200d🌫️ (multiple emojis concatenated) ✅ 🦙🦙"
    " 3 33 333 3333 33333 333333 3333333 33333333 3.3 3..3 3...3"
    " កាន់តែពិសេសអាច😁 ?我想在apple工作1314151天\uff5e"
    " ------======= нещо на Български ''''''```````\"\"\"\"......!!!!!!??????"
    " I've been 'told he's there, 'RE you sure? 'M not sure I'll make it,"
    " 'D you like some tea? We'Ve a'lL"
)
DIGESTS: Mapping[str, str] = MappingProxyType(
    {
        "0ef9807a4087ebef797fc749390439009c3b9eda9ad1a097abbe738f486c01e5": "llama-bpe",
        "049ecf7629871e3041641907f3de7c733e4dbfdc736f57d882ba0b0845599754": "deepseek-llm",
        "347715f544604f9118bb75ed199f68779f423cabb20db6de6f31b908d04d7821": "deepseek-coder",
        "9d032fcbd5501f4a38150912590928bfb36091efb5df11b8e2124b0390e3fb1e": "falcon3",
        "35d91631860c815f952d711435f48d356ebac988362536bed955d43bfa436e34": "starcoder",
        "3ce83efda5659b07b1ad37ca97ca5797ea4285d9b9ab0dc679e4a720c9da7454": "gpt-2",
        "6221ad2852e85ce96f791f476e0b390cf9b474c9e3d1362f53a24a06dc8220ff": "refact",
        "9c2227e4dd922002fb81bde4fc02b0483ca4f12911410dee2255e4987644e3f8": "command-r",
        "e636dc30a262dcc0d8c323492e32ae2b70728f4df7dfe9737d9f920a282b8aea": "qwen2",
        "d4540891389ea895b53b399da6ac824becc30f2fba0e9ddbb98f92e55ca0e97c": "qwen2",
        "c136ed14d01c2745d4f60a9596ae66800e2b61fa45643e72436041855ad4089d": "smaug-bpe",
        "c7ea5862a53e4272c035c8238367063e2b270d51faa48c0f09e9d5b54746c360": "poro-chat",
        "7fc505bd3104ca1083b150b17d088b59534ede9bde81f0dd2090967d7fe52cee": "viking",
        "63b97e4253352e6f357cc59ea5b583e3a680eaeaf2632188c2b952de2588485e": "tekken",
        "855059429035d75a914d1eda9f10a876752e281a054a7a3d421ef0533e5b6249": "smollm",
        "bc01ce58980e1db43859146dc51b1758b3b88729b217a74792e9f8d43e479d21": "gpt3-finnish",
        "b3f499bb4255f8ca19fccd664443283318f2fd2414d5e0b040fbdd0cc195d6c5": "deepseek-r1-qwen",
        "ccc2ef013c104be7bae2965776d611e1d7a8a2a9c547dd93a682c9a9fc80352e": "gpt-4o",
        "d5f1dd6f980fec569fb218a81a7658ac45fc56b38c5a0adeb1c232fbe04ef5ec": "seed-coder",
        "b0a6b1c0bd5998ebd9df08611efde34a4ff03faed45ae09c43e6b31ebd4b94cf": "a.x-4.0",
        "1431a23e583c97432bc230bff598d103ddb5a1f89960c8f1d1051aaa944d0b35": "minerva-7b",
        "d4c8f286ea6b520b3d495c4455483cfa2302c0cfcd4be05d781b6a8a0a7cdaf1": "megrez",
        "0fe1cf6eda062318a1af7270f3331a85c539a01778ff948e24388e949c5282f4": "gpt-2",
        "ad851be1dba641f2e3711822f816db2c265f788b37c63b4e1aeacb9ee92de8eb": "gigachat",
    }
)


def pretokenizer_name(tokenizer: Object, raw: bytes) -> str:
    """Return llama.cpp's name for how a tokenizer cuts words. Raises `CannotConvert`.

    `raw` is the file that `tokenizer` was read from.
    """
    model = tokenizer.get("model")
    ignores = isinstance(model, dict) and model.get("ignore_merges") is True
    steps = _steps(tokenizer.get("pre_tokenizer"))
    known = _KNOWN.get((steps, ignores)) if steps else None
    if known is not None:
        return known
    if find_spec("tokenizers") is None:
        raise CannotConvert(
            "tokenizer.json cuts text into words in a way that puna does not know by sight",
            hint="pip install 'puna[convert]' lets it try more ways, or take a GGUF of the model",
        )
    return _by_digest(raw)


def _steps(value: JsonValue) -> _Steps | None:
    """Return the steps in a form that can be compared; nothing if one is unknown."""
    if not isinstance(value, dict):
        return None
    listed = value.get("pretokenizers") if value.get("type") == "Sequence" else [value]
    found = [_step(each) for each in listed] if isinstance(listed, list) else [None]
    return tuple(each for each in found if each) if all(found) else None


def _step(value: JsonValue) -> tuple[str, ...] | None:
    if not isinstance(value, dict):
        return None
    kind = value.get("type")
    if kind == "ByteLevel" and value.get("add_prefix_space") is False:
        return _BYTES_AND_WORDS if value.get("use_regex", True) is True else _BYTES
    if kind == "Digits" and value.get("individual_digits") is True:
        return ("Digits", "each")
    pattern = value.get("pattern")
    is_plain = value.get("behavior") == "Isolated" and value.get("invert") is False
    if kind == "Split" and is_plain and isinstance(pattern, dict):
        return ("Split", str(pattern.get("Regex")))
    return None


def _by_digest(raw: bytes) -> str:
    tokenizers = import_module("tokenizers")
    try:
        tokens = tokenizers.Tokenizer.from_buffer(raw).encode(CHECK_TEXT).ids
    except ValueError as error:
        raise CannotConvert(f"tokenizer.json cannot be used: {error}") from error
    found = hashlib.sha256(str(tokens).encode()).hexdigest()
    if found not in DIGESTS:
        raise CannotConvert(
            f"llama.cpp has no name for how tokenizer.json cuts text into words ({found[:12]})",
            hint="take a GGUF of the model, if there is one: its makers chose a name",
        )
    return DIGESTS[found]
