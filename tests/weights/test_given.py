"""Files given for a new model become layers: what each is, and what is done about it."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from puna.errors import Invalid
from puna.library.local import Facts
from puna.library.store import ModelStore
from puna.library.weights.given import BlobNotUploaded, Given, Workshop
from puna.library.weights.made import CannotConvert
from puna.library.weights.split import PartMissing
from puna.models.digest import Digest
from puna.models.gguf import BadGguf, read_header
from puna.models.manifest import Layer, MediaType
from puna.models.mix import Level
from puna.progress import Progress, Step
from tests.builders import LLAMA, LLAMA_TENSORS, Typed, a_gguf
from tests.weights.builders import a_plain_model, a_store, put
from tests.weights.huggingface import tiny_folder

ADAPTER = {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"}
EYES = {"general.architecture": "clip"}
NOTHING: Mapping[str, tuple[str, tuple[int, ...]]] = {"x.weight": ("F32", (4,))}


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return a_store(tmp_path / "models")


def layers_of(store: ModelStore, given: Given, told: list[Progress] | None = None) -> list[Layer]:
    """Do what is to be done with the files, and return the layers."""
    with store.draft() as draft:
        steps = Workshop(store, draft, Facts()).layers(given, None)
        while True:
            try:
                step = next(steps)
            except StopIteration as end:
                layers: list[Layer] = end.value
                return layers
            if told is not None:
                told.append(step)


def level_of(store: ModelStore, layer: Layer) -> int | None:
    return read_header(store.blobs.path(layer.digest)).integer("general.file_type")


def test_files_are_told_apart_by_their_headers(store: ModelStore) -> None:
    files = {"b": put(store, a_gguf(EYES, NOTHING)), "a": put(store, a_gguf())}
    adapters = {"c": put(store, a_gguf(ADAPTER, NOTHING))}
    found = layers_of(store, Given(files=files, adapters=adapters))
    assert {layer.digest: layer.media_type for layer in found} == {
        files["a"]: MediaType.MODEL,
        files["b"]: MediaType.PROJECTOR,
        adapters["c"]: MediaType.ADAPTER,
    }


def test_weights_are_quantized_and_eyes_are_not(store: ModelStore) -> None:
    files = {"a": put(store, a_plain_model()), "b": put(store, a_gguf(EYES, NOTHING))}
    model, eyes = layers_of(store, Given(files=files, level=Level.parse("Q8_0")))
    assert (model.media_type, eyes.media_type) == (MediaType.MODEL, MediaType.PROJECTOR)
    assert level_of(store, model) == 7
    assert eyes.digest == files["b"]


def test_a_draft_has_a_level_of_its_own(store: ModelStore) -> None:
    plain = put(store, a_plain_model())
    given = Given(files={"a": plain}, drafts={"b": plain}, draft_level=Level.parse("Q4_0"))
    model, draft = layers_of(store, given)
    assert (model.digest, draft.media_type) == (plain, MediaType.DRAFT)
    assert level_of(store, draft) == 2


def test_a_folder_is_converted_and_quantized_at_once(store: ModelStore, tmp_path: Path) -> None:
    paths = tiny_folder(tmp_path / "m", hidden_size=256, intermediate_size=256)
    files = {name: put(store, path.read_bytes()) for name, path in paths.items()}
    told: list[Progress] = []
    (model,) = layers_of(store, Given(files=files, level=Level.parse("Q4_K_M")), told)
    statuses = list(dict.fromkeys(each.status for each in told))
    assert statuses == [
        "converting model",
        "quantizing BF16 model to Q4_K_M",
        "verifying conversion",
    ]
    assert level_of(store, model) == 15


def test_a_projector_beside_a_folder_stays_as_it_is(store: ModelStore, tmp_path: Path) -> None:
    paths = tiny_folder(tmp_path / "m")
    files = {name: put(store, path.read_bytes()) for name, path in paths.items()}
    files["mmproj.gguf"] = put(store, a_gguf(EYES, NOTHING))
    found = layers_of(store, Given(files=files))
    assert [layer.media_type for layer in found] == [MediaType.MODEL, MediaType.PROJECTOR]


def test_parts_of_a_model_become_one_layer(store: ModelStore) -> None:
    files = {}
    for number, (name, tensor) in enumerate(list(LLAMA_TENSORS.items())[:2]):
        split = {"split.no": Typed("H", number), "split.count": Typed("H", 2)}
        content = a_gguf({**LLAMA, **split}, {name: tensor})
        files[f"m-{number + 1:05}-of-00002.gguf"] = put(store, content)
    told: list[Progress] = []
    (model,) = layers_of(store, Given(files=files), told)
    assert told[0] == Step("parsing GGUF")
    assert len(read_header(store.blobs.path(model.digest)).tensors) == 2
    del files["m-00001-of-00002.gguf"]
    with pytest.raises(PartMissing, match=r"m-00001-of-00002\.gguf is missing"):
        layers_of(store, Given(files=files))


def test_what_is_no_adapter_or_no_draft_is_refused(store: ModelStore) -> None:
    model, eyes = put(store, a_gguf()), put(store, a_gguf(EYES, NOTHING))
    with pytest.raises(Invalid, match="a is no adapter"):
        layers_of(store, Given(adapters={"a": model}))
    with pytest.raises(Invalid, match="b is no model that could guess ahead"):
        layers_of(store, Given(drafts={"b": eyes}))


def test_an_adapter_in_safetensors_needs_its_model(store: ModelStore) -> None:
    given = Given(adapters={"adapter_model.safetensors": put(store, b"x")})
    with pytest.raises(Invalid, match="an adapter needs the model that it is for"):
        layers_of(store, given)


@pytest.mark.parametrize(
    ("name", "kind", "reason"),
    [
        ("pytorch_model.bin", CannotConvert, "as PyTorch writes them"),
        ("weights.pth", CannotConvert, "as PyTorch writes them"),
        ("config.json", BadGguf, "not a usable GGUF file"),
    ],
)
def test_what_is_neither_is_refused(
    store: ModelStore, name: str, kind: type[Exception], reason: str
) -> None:
    with pytest.raises(kind, match=reason):
        layers_of(store, Given(files={name: put(store, b"something")}))


def test_a_blob_that_was_not_sent_is_named(store: ModelStore) -> None:
    absent = Digest.parse("sha256:" + "0" * 64)
    with pytest.raises(BlobNotUploaded, match=r"of model\.safetensors is not in the store"):
        layers_of(store, Given(files={"model.safetensors": absent}))
    with pytest.raises(BlobNotUploaded, match="of a is not in the store"):
        layers_of(store, Given(files={"a": absent}))
