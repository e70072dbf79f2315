"""Fuzz the GGUF reader, guided by coverage: `python fuzz/fuzz_gguf.py -runs=1000000`.

Needs `atheris` (dependency group `fuzz`). Other options are libFuzzer's; a folder as argument keeps
the corpus. Without one it starts from small files of each feature, in a temporary folder.
"""

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1]))

with atheris.instrument_imports(include=["puna.models"]):
    from puna.models.details import details_of, metadata_json
    from puna.models.gguf import BadGguf, GgufArray, read_array, read_header

from tests.builders import LLAMA, Typed, a_gguf

SEEDS = {
    "tiny": a_gguf({}, {}),
    "llama": a_gguf(),
    "v2": a_gguf(version=2),
    "big-endian": a_gguf(order=">"),
    "aligned": a_gguf({**LLAMA, "general.alignment": 64}, alignment=64),
    "kinds": a_gguf({letter: Typed(letter, 1) for letter in "BbHhIifQqd?"}, {}),
    "arrays": a_gguf({letter: [Typed(letter, 1)] * 9 for letter in "BbHhIifQqd?"}, {}),
    "strings": a_gguf({"tokenizer.ggml.tokens": ["a", "bc", ""] * 500}, {}),
    "nested": a_gguf({"deep": [Typed("a", [1, 2])]}, {}),
}


def check(content: bytes) -> None:
    PLACE.write_bytes(content)
    try:
        header = read_header(PLACE)
    except BadGguf as error:
        require("\n" not in error.message)
        return
    for tensor in header.tensors:
        require(header.data_offset + tensor.offset + tensor.size <= len(content))
    details_of(header)
    metadata_json(header)
    for value in header.metadata.values():
        if isinstance(value, GgufArray):
            require(len(read_array(PLACE, value)) == value.count)


def require(is_true: bool) -> None:  # noqa: FBT001 - as `assert`, but never switched off
    if not is_true:
        raise AssertionError


with tempfile.TemporaryDirectory() as folder:
    PLACE = Path(folder, "fuzzed.gguf")
    arguments = sys.argv[:]
    if all(argument.startswith("-") for argument in arguments[1:]):
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for name, content in SEEDS.items():
            Path(corpus, name).write_bytes(content)
        arguments.append(str(corpus))
    atheris.Setup(arguments, check)
    atheris.Fuzz()
