"""Split models: their parts are found, whatever their order, and missing ones are named."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from puna.library.store import ModelStore
from puna.library.weights.split import Part, PartMissing, models_of, names_beside, put_together
from puna.models.gguf import BadGguf, read_header
from tests.builders import LLAMA, Typed, a_gguf, a_header
from tests.weights.builders import a_store, finished

TENSORS: Sequence[Mapping[str, tuple[str, Sequence[int]]]] = (
    {"token_embd.weight": ("F32", (3, 3))},
    {"output.weight": ("F32", (5,))},
)


def a_part(number: int, *, count: int = 2, start: str = "model") -> Part:
    """Return a part without a file."""
    split = {"split.no": number, "split.count": count}
    name = f"{start}-{number + 1:05}-of-{count:05}.gguf"
    return Part(name, a_header({**LLAMA, **split}, TENSORS[number % 2]))


def test_parts_are_ordered_and_models_kept_apart() -> None:
    parts = [a_part(1), a_part(0, start="other"), a_part(0), a_part(1, start="other")]
    found = [[part.name for part in model] for model in models_of(parts)]
    assert found == [
        ["model-00001-of-00002.gguf", "model-00002-of-00002.gguf"],
        ["other-00001-of-00002.gguf", "other-00002-of-00002.gguf"],
    ]


def test_a_missing_part_is_named() -> None:
    with pytest.raises(PartMissing, match=r"model-00002-of-00003\.gguf is missing: .* 3 parts"):
        list(models_of([a_part(0, count=3), a_part(2, count=3)]))


def test_a_missing_part_of_strange_names_is_counted() -> None:
    strange = [Part("a.gguf", a_part(0).header)]
    with pytest.raises(PartMissing, match=r"part 2 of 2 beside a\.gguf is missing"):
        list(models_of(strange))


@pytest.mark.parametrize("number", [-1, 2, 3])
def test_a_part_that_is_none_of_its_model_is_refused(number: int) -> None:
    header = a_header({**LLAMA, "split.no": number, "split.count": 2}, TENSORS[0])
    with pytest.raises(BadGguf, match="does not say which part"):
        list(models_of([Part("a-00001-of-00002.gguf", header)]))


def test_the_same_part_twice_is_refused() -> None:
    with pytest.raises(BadGguf, match="part 1, which is there"):
        list(models_of([a_part(0), a_part(0)]))


def test_names_beside_a_part_are_those_of_all() -> None:
    assert names_beside("x-00002-of-00003.gguf") == (
        "x-00001-of-00003.gguf",
        "x-00002-of-00003.gguf",
        "x-00003-of-00003.gguf",
    )
    assert names_beside("model.gguf") == ()


def test_parts_become_one_blob(tmp_path: Path) -> None:
    store: ModelStore = a_store(tmp_path / "models")
    parts = []
    for number, tensors in enumerate(TENSORS):
        split = {"split.no": Typed("H", number), "split.count": Typed("H", 2)}
        path = tmp_path / f"m-{number + 1:05}-of-00002.gguf"
        path.write_bytes(a_gguf({**LLAMA, **split}, tensors))
        parts.append(Part(path.name, read_header(path)))
    with store.draft() as draft:
        made = finished(put_together(parts, draft))
    header = read_header(store.blobs.path(made.digest))
    assert [tensor.name for tensor in header.tensors] == ["token_embd.weight", "output.weight"]
    assert header.integer("split.count") is None
