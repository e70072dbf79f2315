"""Images that a request links to: fetched only where it is allowed, and from public places only."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import JsonValue

from puna.chat.images import BadImage
from puna.node.api.desk import Desk
from puna.node.api.links import bring_images, slots_in
from puna.origin import Nearness
from tests.api.stage import Reply, Stage, a_model, staged
from tests.api.test_images import EYES
from tests.fakes.registry import FakeRegistry, a_registry
from tests.pictures import a_picture, as_url

RED = a_picture("red")
NOT_ALLOWED = "image URLs are not currently supported, please use base64 encoded data instead"


def near(address: str) -> Nearness:
    """Play the internet at 127.0.0.1."""
    return Nearness.PUBLIC if address == "127.0.0.1" else Nearness.OWN


@pytest.fixture
def web() -> Iterator[FakeRegistry]:
    with a_registry() as server:
        server.answers["/red.png"] = lambda talk: talk.say(RED)
        yield server


@pytest_asyncio.fixture
async def allowing(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path, image_urls=True) as stage:
        stage.add_model("eyes", a_model(), [("projector", EYES)])
        yield stage


async def brought(stage: Stage, *links: str) -> list[JsonValue]:
    """Bring images as if 127.0.0.1 were the internet; return what the parts link to then."""
    parts: list[JsonValue] = [{"type": "input_image", "image_url": link} for link in links]
    await bring_images(Desk(stage.node, nearness=near), [parts])
    return [part["image_url"] for part in parts if isinstance(part, dict)]


async def asked(stage: Stage, path: str, content: object) -> Reply:
    turn = {"role": "user", "content": content}
    return await stage.ask(
        "POST", path, {"model": "eyes", "max_tokens": 5, "messages": [turn], "input": [turn]}
    )


def test_links_are_found_as_every_client_writes_them() -> None:
    link = "https://x/y.png"
    content: JsonValue = [
        {"type": "text", "text": link},
        {"type": "image_url", "image_url": {"url": link}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_image", "image_url": link.upper()},
        {"type": "image", "source": {"type": "url", "url": link}},
        {"type": "tool_result", "content": [{"type": "image", "source": {"url": link}}]},
        {"type": "message", "content": [{"type": "input_image", "image_url": link}]},
    ]
    assert [holder[field] for holder, field in slots_in(content)] == [
        link,
        link.upper(),
        link,
        link,
        link,
    ]


async def test_a_link_becomes_the_image(allowing: Stage, web: FakeRegistry) -> None:
    link = f"{web.url}/red.png"
    assert await brought(allowing, link, link) == [as_url(RED)] * 2
    assert [each.path for each in web.asked] == ["/red.png"]


async def test_a_redirect_is_followed(allowing: Stage, web: FakeRegistry) -> None:
    web.answers["/to"] = lambda talk: talk.say(b"", 302, {"Location": "/red.png"})
    assert await brought(allowing, f"{web.url}/to") == [as_url(RED)]


async def test_a_redirect_into_this_network_is_not(allowing: Stage, web: FakeRegistry) -> None:
    port = web.url.rpartition(":")[2]
    elsewhere = {"Location": f"http://127.0.0.2:{port}/red.png"}
    web.answers["/to"] = lambda talk: talk.say(b"", 302, elsewhere)
    with pytest.raises(BadImage, match="inside this network or machine"):
        await brought(allowing, f"{web.url}/to")
    assert [each.path for each in web.asked] == ["/to"]


async def test_endless_redirects_end(allowing: Stage, web: FakeRegistry) -> None:
    web.answers["/to"] = lambda talk: talk.say(b"", 302, {"Location": "/to"})
    with pytest.raises(BadImage, match="too many redirects"):
        await brought(allowing, f"{web.url}/to")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"hello", 200, "invalid image input: this is no image"),
        (RED, 404, "answers 404"),
        (bytes(21_000_000), 200, "sent more than 20 MB"),
    ],
)
async def test_what_brings_no_image_is_one_clear_line(
    allowing: Stage, web: FakeRegistry, body: bytes, status: int, words: str
) -> None:
    web.answers["/x"] = lambda talk: talk.say(body, status)
    with pytest.raises(BadImage, match=words):
        await brought(allowing, f"{web.url}/x")


async def test_too_many_links_are_refused(allowing: Stage) -> None:
    with pytest.raises(BadImage, match="links to 21 images"):
        await brought(allowing, *(f"http://127.0.0.1/{n}.png" for n in range(21)))


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "169.254.169.254", "10.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "localhost"],
)
async def test_this_machine_and_its_network_are_never_asked(allowing: Stage, address: str) -> None:
    part = {"type": "image_url", "image_url": {"url": f"http://{address}:9/x.png"}}
    reply = await asked(allowing, "/v1/chat/completions", [part])
    assert reply.status == 400
    assert "inside this network or machine" in str(reply.error)


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/v1/chat/completions", {"type": "image_url", "image_url": {"url": "http://x.test/y"}}),
        ("/v1/responses", {"type": "input_image", "image_url": "https://x.test/y"}),
        ("/v1/messages", {"type": "image", "source": {"type": "url", "url": "http://x.test/y"}}),
        (
            "/v1/messages/count_tokens",
            {"type": "image", "source": {"type": "url", "url": "http://x"}},
        ),
    ],
)
async def test_nothing_is_fetched_unless_it_is_allowed(
    stage: Stage, path: str, part: object
) -> None:
    stage.add_model("eyes", a_model(), [("projector", EYES)])
    reply = await asked(stage, path, [part])
    assert reply.status == 400
    assert NOT_ALLOWED in str(reply.error)
    assert "PUNA_IMAGE_URLS=1" in reply.headers["Puna-Hint"]


async def test_many_clients_may_link_at_once(allowing: Stage, web: FakeRegistry) -> None:
    replies = await asyncio.gather(*(brought(allowing, f"{web.url}/red.png") for _ in range(4)))
    assert replies == [[as_url(RED)]] * 4
