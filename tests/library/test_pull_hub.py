"""Pulling straight from repositories of the hub, which is a real server on a socket here."""

from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from puna.errors import PunaError
from puna.library.blobs import DigestMismatch
from puna.library.download import Streams
from puna.library.pull_hub import SafetensorsOnly, pull_reference
from puna.library.pull_registry import Shelf
from puna.library.sources.hub import (
    GatedRepository,
    HubSettings,
    NotOnHub,
    why_not_by_registry,
)
from puna.library.sources.registries import RegistrySettings
from puna.library.store import ModelStore
from puna.models.gguf import read_header
from puna.models.hub_files import NoGguf
from puna.models.manifest import Manifest, MediaType
from puna.models.name import ModelName
from puna.models.reference import HubReference
from puna.progress import Done, Progress, Step, Transfer
from puna.world import RealWorld
from tests.builders import LLAMA, Typed, a_digest, a_gguf
from tests.fakes.console import Ran, puna
from tests.fakes.hub import COMMIT, FakeHub, a_search_row, running_hub
from tests.stores import a_library, leftovers

TINY = a_gguf()
EYES = a_gguf({"general.architecture": "clip"})
REPOSITORY = "maker/Tiny-GGUF"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with running_hub() as fake:
        fake.repositories[REPOSITORY] = {"tiny.Q4_K_M.gguf": TINY, "README.md": b"# Tiny"}
        yield fake


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models", RealWorld())


async def pull(
    hub: FakeHub, store: ModelStore, *, token: str = "", tag: str = "latest", **changes: str
) -> list[Progress]:
    user, _, model = changes.pop("name", REPOSITORY).partition("/")
    reference = HubReference(ModelName(model, tag, user, "hf.co"), **changes)
    settings = HubSettings(root=hub.url, token=token)
    shelf = Shelf(store, RealWorld(), Streams(smallest_part=1 << 16))
    events = pull_reference(reference, settings, shelf)
    async with aclosing(events):
        return [event async for event in events]


def stored(store: ModelStore, tag: str = "latest", name: str = REPOSITORY) -> Manifest:
    user, _, model = name.partition("/")
    file = store.manifests.find(ModelName(model, tag, user, "hf.co"))
    assert file is not None
    return store.manifests.read(file)


def shards() -> dict[str, bytes]:
    """A model in two files."""
    tensors = {"blk.0.attn_q.weight": ("Q4_0", (64, 64))}
    parts = []
    for number in (0, 1):
        split = {"split.no": Typed("H", number), "split.count": Typed("H", 2)}
        own = tensors if number else {"token_embd.weight": ("Q8_0", (64, 32))}
        parts.append(a_gguf({**(LLAMA if not number else {}), **split}, own))
    return {f"big-Q8_0-0000{n + 1}-of-00002.gguf": part for n, part in enumerate(parts)}


async def test_a_file_becomes_a_model_whose_weights_are_the_hub_s(
    hub: FakeHub, store: ModelStore
) -> None:
    events = await pull(hub, store)
    (layer,) = stored(store).layers_of(MediaType.MODEL)
    assert (layer.digest, layer.size) == (a_digest(TINY), len(TINY))
    assert store.blobs.path(layer.digest).read_bytes() == TINY
    assert isinstance(events[-1], Done)
    assert any(isinstance(each, Transfer) and each.completed == len(TINY) for each in events)
    assert not leftovers(store.root)


async def test_the_token_goes_to_the_hub_and_never_to_its_storage(
    hub: FakeHub, store: ModelStore
) -> None:
    await pull(hub, store, token="hf_secret")
    assert {heard.token for heard in hub.on("site")} == {"hf_secret"}
    assert {heard.token for heard in hub.on("cdn")} == {""}


async def test_files_are_asked_for_at_one_commit(hub: FakeHub, store: ModelStore) -> None:
    await pull(hub, store)
    asked = [heard.path for heard in hub.on("site") if "/resolve/" in heard.path]
    assert all(f"/resolve/{COMMIT}/" in path for path in asked)


@pytest.mark.parametrize(
    ("token", "advice"),
    [("", "and set HF_TOKEN to your token"), ("hf_other", "for the account of HF_TOKEN")],
)
async def test_a_gated_repository_says_where_its_licence_is_accepted(
    hub: FakeHub, store: ModelStore, token: str, advice: str
) -> None:
    hub.gated.add(REPOSITORY)
    with pytest.raises(GatedRepository, match=f"{REPOSITORY} is gated") as caught:
        await pull(hub, store, token=token)
    assert caught.value.hint == f"accept it at {hub.url}/{REPOSITORY} {advice}"


async def test_a_gated_repository_opens_to_who_has_accepted(
    hub: FakeHub, store: ModelStore
) -> None:
    hub.gated.add(REPOSITORY)
    hub.accepted.add("hf_good")
    await pull(hub, store, token="hf_good")
    assert stored(store).layers_of(MediaType.MODEL)


async def test_shards_become_one_file_and_leave_nothing(hub: FakeHub, store: ModelStore) -> None:
    hub.repositories[REPOSITORY] = shards()
    events = await pull(hub, store, tag="Q8_0")
    (layer,) = stored(store, "Q8_0").layers_of(MediaType.MODEL)
    header = read_header(store.blobs.path(layer.digest))
    assert [tensor.name for tensor in header.tensors] == [
        "token_embd.weight",
        "blk.0.attn_q.weight",
    ]
    assert header.integer("split.count") is None
    assert Step("putting 2 shards together") in events
    blobs = {path.name for path in store.blobs.folder.iterdir() if path.is_file()}
    assert blobs == {each.digest.blob_name for each in stored(store, "Q8_0").blobs}


async def test_shards_that_were_put_together_are_not_fetched_again(
    hub: FakeHub, store: ModelStore
) -> None:
    hub.repositories[REPOSITORY] = shards()
    await pull(hub, store, tag="Q8_0")
    first = stored(store, "Q8_0")
    hub.heard.clear()
    await pull(hub, store, tag="Q8_0")
    assert hub.on("cdn") == []
    assert stored(store, "Q8_0").digest == first.digest


async def test_a_projector_and_texts_become_layers(hub: FakeHub, store: ModelStore) -> None:
    hub.repositories[REPOSITORY] |= {
        "mmproj-f16.gguf": EYES,
        "template": b"{{ .Prompt }}",
        "params": b'{"stop":["END"]}',
    }
    await pull(hub, store)
    found = {layer.media_type: layer.digest for layer in stored(store).layers}
    assert found == {
        MediaType.MODEL: a_digest(TINY),
        MediaType.PROJECTOR: a_digest(EYES),
        MediaType.TEMPLATE: a_digest(b"{{ .Prompt }}"),
        MediaType.PARAMS: a_digest(b'{"stop":["END"]}'),
    }


async def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    hub: FakeHub, store: ModelStore
) -> None:
    content = a_gguf(tensors={"token_embd.weight": ("Q8_0", (64, 4096))})
    hub.repositories[REPOSITORY] = {"x-Q8_0.gguf": content}
    hub.cut_at = 70_000
    await pull(hub, store)
    (layer,) = stored(store).layers_of(MediaType.MODEL)
    assert store.blobs.path(layer.digest).read_bytes() == content


async def test_bytes_that_are_not_what_the_hub_said_are_not_kept(
    hub: FakeHub, store: ModelStore
) -> None:
    hub.swapped["tiny.Q4_K_M.gguf"] = bytes(len(TINY))
    with pytest.raises(DigestMismatch):
        await pull(hub, store)
    assert store.manifests.find(ModelName("Tiny-GGUF", "latest", "maker", "hf.co")) is None


@pytest.mark.parametrize("name", ["maker/Other-GGUF", "nobody/Tiny-GGUF"])
async def test_a_repository_that_is_not_there(hub: FakeHub, store: ModelStore, name: str) -> None:
    with pytest.raises(NotOnHub, match="is not on the hub") as caught:
        await pull(hub, store, name=name)
    assert "set HF_TOKEN if it is private" in caught.value.hint


@pytest.mark.parametrize("facts", [[], {"sha": "../../etc"}, "text"])
async def test_nonsense_is_one_clear_error(hub: FakeHub, store: ModelStore, facts: object) -> None:
    hub.facts = facts
    with pytest.raises(PunaError, match="something that is no repository"):
        await pull(hub, store)


async def test_a_file_of_another_revision_in_a_folder_can_be_named(
    hub: FakeHub, store: ModelStore
) -> None:
    hub.repositories[REPOSITORY]["deep/other.gguf"] = TINY
    await pull(hub, store, tag="other.gguf", file="deep/other.gguf", revision="refs/pr/1")
    assert "/api/models/maker/Tiny-GGUF/revision/refs%2Fpr%2F1" in {x.path for x in hub.heard}
    assert stored(store, "other.gguf").layers_of(MediaType.MODEL)


async def test_safetensors_are_refused_with_names_of_gguf_repositories(
    hub: FakeHub, store: ModelStore
) -> None:
    hub.repositories[REPOSITORY] = {"model.safetensors": b"x", "config.json": b"{}"}
    hub.search = [a_search_row("other/Tiny-GGUF")]
    with pytest.raises(SafetensorsOnly, match="holds safetensors and no GGUF file") as caught:
        await pull(hub, store)
    assert caught.value.hint == "as GGUF there is hf.co/other/Tiny-GGUF"


async def test_a_repository_without_a_model_says_so(hub: FakeHub, store: ModelStore) -> None:
    hub.repositories[REPOSITORY] = {"data.csv": b"1,2"}
    with pytest.raises(NoGguf, match=f"repository {REPOSITORY} holds no GGUF file"):
        await pull(hub, store)


async def test_what_the_hub_s_registry_refuses_is_read_from_the_repository(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.repositories[REPOSITORY] = shards()
    settings = RegistrySettings(
        home=tmp_path,
        mirrors=(f"hf.co={hub.url}",),
        hub=HubSettings(root=hub.url, has_registry=True),
    )
    library = a_library(tmp_path / "models", registries=settings)
    reference = HubReference(ModelName("Tiny-GGUF", "latest", "maker", "hf.co"))
    async with aclosing(library.pull(reference)) as events:
        said = [event.status async for event in events]
    assert any(
        words.startswith("reading the repository itself: ") and words.endswith("sharded GGUF")
        for words in said
    )
    assert library.find(reference.name).header().tensors


@pytest.mark.parametrize(
    ("file", "revision", "has_registry", "why"),
    [
        ("", "main", True, ""),
        ("x.gguf", "main", True, ""),
        ("deep/x.gguf", "main", True, "the file is in a folder"),
        ("", "v1", True, "revision v1"),
        ("", "main", False, "the hub is https://mirror.example"),
    ],
)
def test_what_the_hub_s_registry_is_not_even_asked(
    file: str, revision: str, has_registry: bool, why: str
) -> None:
    reference = HubReference(ModelName("m", namespace="u", host="hf.co"), file, revision)
    settings = HubSettings(root="https://mirror.example", has_registry=has_registry)
    assert why_not_by_registry(reference, settings) == why


def command(hub: FakeHub, home: Path, *arguments: str, **environ: str) -> Ran:
    """Run `puna` without a node."""
    own = {"PUNA_HOME": str(home), "PUNA_HOST": "127.0.0.1:9", "HF_ENDPOINT": hub.url}
    return puna(*arguments, environ={**own, **environ})


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("hf.co/maker/Tiny-GGUF", "hf.co/maker/Tiny-GGUF:latest"),
        ("hf.co/maker/Tiny-GGUF:q4_k_m", "hf.co/maker/Tiny-GGUF:q4_k_m"),
        ("https://huggingface.co/maker/Tiny-GGUF", "hf.co/maker/Tiny-GGUF:latest"),
        (
            "https://huggingface.co/maker/Tiny-GGUF/blob/main/tiny.Q4_K_M.gguf",
            "hf.co/maker/Tiny-GGUF:tiny.Q4_K_M.gguf",
        ),
    ],
)
def test_a_name_or_a_link_from_the_browser_is_pulled(
    hub: FakeHub, tmp_path: Path, typed: str, name: str
) -> None:
    ran = command(hub, tmp_path, "pull", typed)
    assert (ran.code, ran.err.splitlines()[-1:]) == (0, ["success"])
    assert command(hub, tmp_path, "list").lines[1].split()[0] == name


def test_a_short_name_is_pulled_and_found_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["speakleash/Bielik-1.5B-v3.0-Instruct-GGUF"] = {"b.Q8_0.gguf": TINY}
    ran = command(hub, tmp_path, "pull", "bielik:1.5b")
    meant = "hf.co/speakleash/Bielik-1.5B-v3.0-Instruct-GGUF:Q8_0"
    assert f"bielik:1.5b is {meant}" in ran.err
    assert "architecture" in command(hub, tmp_path, "show", "bielik:1.5b").out


def test_a_gated_repository_is_two_lines_on_stderr(hub: FakeHub, tmp_path: Path) -> None:
    hub.gated.add(REPOSITORY)
    ran = command(hub, tmp_path, "pull", f"hf.co/{REPOSITORY}")
    assert ran.code == 1
    assert ran.err.splitlines()[-2:] == [
        f"Error: repository {REPOSITORY} is gated: its licence must be accepted first",
        f"accept it at {hub.url}/{REPOSITORY} and set HF_TOKEN to your token",
    ]


def test_without_the_hub_what_is_here_stays(hub: FakeHub, tmp_path: Path) -> None:
    command(hub, tmp_path, "pull", f"hf.co/{REPOSITORY}")
    ran = command(hub, tmp_path, "pull", f"hf.co/{REPOSITORY}", HF_ENDPOINT="http://127.0.0.1:9")
    assert ran.code == 0
    assert "is here already; nothing answers at http://127.0.0.1:9" in ran.err
