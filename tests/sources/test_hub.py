"""Looking a repository of the hub up: pages, renames, what is refused, where the token goes."""

from collections.abc import Iterator

import pytest

from puna.errors import PunaError
from puna.library.sources.hub import Hub, HubRepository, HubSettings, NotOnHub, open_hub
from puna.models.digest import digest_of
from puna.models.name import ModelName
from puna.net import Unreachable
from puna.settings import load_settings
from tests.fakes.hub import COMMIT, FakeHub, running_hub

NAME = ModelName("Tiny-GGUF", namespace="maker", host="hf.co")


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with running_hub() as fake:
        fake.repositories["maker/Tiny-GGUF"] = {"tiny.gguf": b"weights", "README.md": b"# Tiny"}
        yield fake


async def look_up(fake: FakeHub, name: ModelName = NAME, *, token: str = "") -> HubRepository:
    async with open_hub(HubSettings(root=fake.url, token=token)) as site:
        return await site.repository(name)


async def test_large_files_have_digests_and_small_ones_have_none(hub: FakeHub) -> None:
    found = await look_up(hub)
    assert {file.path: file.digest for file in found.files} == {
        "tiny.gguf": digest_of(b"weights"),
        "README.md": None,
    }
    assert found.name == "maker/Tiny-GGUF"


async def test_files_are_listed_at_the_commit_of_the_revision(hub: FakeHub) -> None:
    await look_up(hub)
    assert [heard.path for heard in hub.heard] == [
        "/api/models/maker/Tiny-GGUF/revision/main",
        f"/api/models/maker/Tiny-GGUF/tree/{COMMIT}?recursive=true",
    ]


async def test_a_long_list_comes_in_pages(hub: FakeHub) -> None:
    hub.repositories["maker/Tiny-GGUF"] = {f"{n:02}.gguf": b"x" for n in range(25)}
    hub.page = 10
    assert len((await look_up(hub)).files) == 25


async def test_pages_that_lead_elsewhere_do_not_get_the_token(hub: FakeHub) -> None:
    hub.page, hub.next_page = 1, f"http://127.0.0.1:{hub.cdn_port}/maker/Tiny-GGUF/tiny.gguf"
    with pytest.raises(PunaError, match="lists no files of maker/Tiny-GGUF"):
        await look_up(hub, token="hf_secret")
    assert [heard.token for heard in hub.on("cdn")] == [""]


async def test_a_repository_that_was_renamed_is_followed(hub: FakeHub) -> None:
    hub.renamed["maker/Old-GGUF"] = "maker/Tiny-GGUF"
    found = await look_up(hub, ModelName("Old-GGUF", namespace="maker", host="hf.co"))
    assert [file.path for file in found.files] == ["tiny.gguf", "README.md"]


async def test_a_small_text_is_read_whole(hub: FakeHub) -> None:
    async with open_hub(HubSettings(root=hub.url)) as site:
        repository = await site.repository(NAME)
        assert await repository.text("README.md") == b"# Tiny"


@pytest.mark.parametrize(
    ("token", "advice"),
    [("", "check its name, or set HF_TOKEN if it is private"), ("hf_x", "check its name")],
)
async def test_what_is_not_there_or_not_shown_is_one_error(
    hub: FakeHub, token: str, advice: str
) -> None:
    other = ModelName("Other", namespace="maker", host="hf.co")
    with pytest.raises(NotOnHub, match="repository maker/Other is not on the hub") as caught:
        await look_up(hub, other, token=token)
    assert caught.value.hint == advice


async def test_a_hub_that_does_not_answer_is_said() -> None:
    async with open_hub(HubSettings(root="http://127.0.0.1:9")) as site:
        assert isinstance(site, Hub)
        with pytest.raises(Unreachable, match=r"nothing answers at http://127\.0\.0\.1:9"):
            await site.repository(NAME)


@pytest.mark.parametrize(
    ("endpoint", "root", "has_registry"),
    [
        ("", "https://huggingface.co", True),
        ("https://huggingface.co/", "https://huggingface.co", True),
        ("https://mirror.example/hf", "https://mirror.example/hf", False),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080", False),
    ],
)
def test_the_hub_itself_has_a_registry_and_mirrors_have_none(
    endpoint: str, root: str, has_registry: bool
) -> None:
    environ = {"PUNA_HOME": "/nonexistent", "HF_ENDPOINT": endpoint, "HF_TOKEN": "hf_x"}
    found = HubSettings.of(load_settings(environ).node)
    assert (found.root, found.has_registry, found.token) == (root, has_registry, "hf_x")
