"""The Modelfile of a model makes that very model again: the same id, whoever wrote it first."""

import json
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from puna.library.create import Recipe
from puna.library.library import Library
from puna.library.local import LocalModel
from puna.models.digest import digest_of
from puna.models.manifest import Manifest
from puna.models.modelfile_parse import parse_modelfile
from puna.models.name import ModelName
from puna.node.api.ollama.shelf import show
from puna.wire.ollama import ShowRequest
from tests.builders import LLAMA, LLAMA_TENSORS, a_config, a_gguf, a_layer, a_manifest
from tests.stores import a_library, a_package, put_blob, put_manifest

WEIGHTS = a_gguf()
PARTS = {
    "adapter": a_gguf({"general.architecture": "llama", "general.type": "adapter"}, {}),
    "draft": a_gguf({**LLAMA, "general.name": "Draft"}, LLAMA_TENSORS),
    "projector": a_gguf({"general.architecture": "clip"}, {}),
}
TEXTS = {
    "license": b"MIT\n\nCopyright",
    "template": b"[INST] {{ .System }} {{ .Prompt }} [/INST] \n",
    "params": b'{ "temperature": 0.70, "stop": ["[INST]", "\\u003c/s>"], "num_ctx":4096 }',
    "system": b' Say "hi". ',
    "messages": b'[{"role": "user", "content": "a\\nb"}, {"role":"assistant","content":"<c>"}]',
}


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return a_library(tmp_path / "store", packages=tmp_path / "site")


def put_as_others_do(root: Path, name: str, parts: dict[str, bytes], **config: object) -> Manifest:
    """Put a model with its layers in any order, as registries have them."""
    said = a_config(rootfs={"type": "layers", "diff_ids": []}, **config)
    layers = [a_layer(kind, content) for kind, content in {**parts, "model": WEIGHTS}.items()]
    for content in (WEIGHTS, said, *parts.values()):
        put_blob(root, content)
    raw = a_manifest(*layers, config=said)
    put_manifest(root, name, raw)
    return Manifest.parse(raw)


def kinds(paths: tuple[str, ...], library: Library) -> Iterator[tuple[str, Path]]:
    for text in paths:
        path = Path(text)
        if not library.store.blobs.path(digest_of(path.read_bytes())).exists():
            put_blob(library.store.root, path.read_bytes())
        yield path.name, path


async def again(library: Library, model: LocalModel) -> LocalModel:
    """Make a model of what `puna show --modelfile` prints of another, as `puna create` does."""
    made = parse_modelfile(show(model, ShowRequest(model="x")).modelfile)

    def blobs(paths: tuple[str, ...]) -> dict[str, object]:
        return {name: digest_of(path.read_bytes()) for name, path in kinds(paths, library)}

    recipe = Recipe(
        name=ModelName("again"),
        files=blobs(made.sources),  # type: ignore[arg-type]
        adapters=blobs(made.adapters),  # type: ignore[arg-type]
        drafts=blobs(made.drafts),  # type: ignore[arg-type]
        template=made.template,
        system=made.system,
        licenses=made.licenses,
        parameters=made.parameters or {},
        messages=made.messages or None,
        claims={
            name: text
            for name in ("renderer", "parser", "requires")
            if (text := getattr(made, name))
        },
    )
    async with aclosing(library.create(recipe, "")) as steps:
        assert [str(step.status) async for step in steps][-1] == "success"
    return library.find(ModelName("again"))


@pytest.mark.parametrize(
    ("parts", "config"),
    [
        ({}, {}),
        ({"license": TEXTS["license"]}, {}),
        (TEXTS, {}),
        (PARTS | TEXTS, {"renderer": "qwen3-coder", "parser": "qwen3", "requires": "0.14.0"}),
    ],
    ids=["weights", "license", "texts", "everything"],
)
async def test_its_modelfile_makes_the_same_model(
    library: Library, parts: dict[str, bytes], config: dict[str, object]
) -> None:
    manifest = put_as_others_do(library.store.root, "x", parts, **config)
    made = await again(library, library.find(ModelName("x")))
    assert made.digest == manifest.digest
    assert json.loads(made.manifest.raw) == json.loads(manifest.raw)


async def test_a_bundled_model_keeps_its_id_too(library: Library, tmp_path: Path) -> None:
    a_package(tmp_path / "site")
    bundled = library.find(ModelName("tiny"))
    made = await again(library, bundled)
    assert made.digest == bundled.digest
    assert all(library.store.blobs.size(each.digest) == each.size for each in made.manifest.blobs)


@pytest.mark.parametrize(
    ("parts", "config"),
    [
        ({"system": b"Be rude."}, {}),
        ({"params": b'{"seed":1}'}, {}),
        ({"license": b"GPL"}, {}),
        ({}, {"parser": "qwen3"}),
    ],
)
async def test_what_differs_in_one_text_is_another_model(
    library: Library, parts: dict[str, bytes], config: dict[str, object]
) -> None:
    other = put_as_others_do(library.store.root, "other", parts, **config)
    plain = put_as_others_do(library.store.root, "x", {})
    model = library.find(ModelName("x"))
    library.remove(ModelName("x"))
    put_blob(library.store.root, WEIGHTS)
    put_as_others_do(library.store.root, "x", {})
    assert (await again(library, model)).digest == plain.digest != other.digest


async def test_a_damaged_neighbour_is_no_hindrance(library: Library) -> None:
    broken = put_as_others_do(library.store.root, "broken", {"params": b"[no json"})
    put_as_others_do(library.store.root, "x", {"license": b"MIT"})
    made = await again(library, library.find(ModelName("x")))
    assert made.digest != broken.digest
    assert made.licenses == ("MIT",)


async def test_a_licence_that_is_said_twice_is_kept_once(library: Library) -> None:
    put_as_others_do(library.store.root, "x", {})
    recipe = Recipe(name=ModelName("again"), licenses=("MIT",) * 1000)
    async with aclosing(library.create(recipe, "x")) as steps:
        assert [step async for step in steps]
    assert library.find(ModelName("again")).licenses == ("MIT",)
    assert len(library.find(ModelName("again")).manifest.layers) == 2


async def test_a_new_model_has_the_bytes_that_ollama_gives_it(library: Library) -> None:
    put_blob(library.store.root, WEIGHTS)
    recipe = Recipe(
        name=ModelName("made"),
        files={"a.gguf": digest_of(WEIGHTS)},
        claims={"renderer": "qwen3.5", "parser": "qwen3.5"},
    )
    async with aclosing(library.create(recipe, "")) as steps:
        assert [str(step.status) async for step in steps][-1] == "success"
    made = library.find(ModelName("made"))
    config = made.contents.read(made.manifest.config.digest)
    assert [*json.loads(config)][-4:] == ["renderer", "parser", "architecture", "os"]
    assert config.endswith(b'"os":"linux"}\n')
