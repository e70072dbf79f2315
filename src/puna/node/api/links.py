"""Images that a request links to, fetched before it is read: only where the node's owner allows it.

Who may name an address to be fetched looks through the node's eyes. So it is off by itself, leads
to public addresses only, over redirects too, and brings one image of a limited size.
"""

import asyncio
from collections.abc import Iterable, Iterator
from http import HTTPStatus

from pydantic import JsonValue

from puna.chat.images import BadImage, read_image
from puna.errors import PunaError
from puna.fetcher import Fetcher, Question
from puna.node.api.desk import Desk
from puna.node.api.parts import is_link
from puna.origin import Nearness, Origin, web_url
from puna.settings import read_proxies
from puna.text import one_line
from puna.units import Size
from puna.version import __version__

_MOST_BYTES = Size(20_000_000)
_MOST_LINKS = 20
_MOST_REDIRECTS = 3
_WHOLE_S = 60.0
"""How long all images of a request may take."""

Slot = tuple[dict[str, JsonValue], str]
"""An object of a request, and the field in it that links to an image."""


async def bring_images(desk: Desk, contents: Iterable[JsonValue]) -> None:
    """Put each linked image into the request itself, if the node may fetch. Raises `BadImage`.

    What is not fetched stays a link, which is refused where it is read.
    """
    if not desk.node.settings.image_urls:
        return
    slots = [slot for content in contents for slot in slots_in(content)]
    links = list(dict.fromkeys(str(holder[field]) for holder, field in slots))
    if not links:
        return
    if len(links) > _MOST_LINKS:
        raise BadImage(f"the request links to {len(links)} images, at most {_MOST_LINKS} are taken")
    brought = await fetch_all(links, desk)
    for holder, field in slots:
        holder[field] = brought[str(holder[field])]


def slots_in(content: JsonValue) -> Iterator[Slot]:
    """Yield where a content links to an image, as OpenAI's and Anthropic's clients write it."""
    if isinstance(content, list):
        for each in content:
            yield from slots_in(each)
    if not isinstance(content, dict):
        return
    for name in ("image_url", "source"):
        value = content.get(name)
        if isinstance(value, str) and is_link(value):
            yield content, name
        if isinstance(value, dict) and is_link(str(value.get("url"))):
            yield value, "url"
    for name in ("content", "output"):
        yield from slots_in(content.get(name))


async def fetch_all(links: list[str], desk: Desk) -> dict[str, str]:
    """Return the data URL of each link's image. Raises `BadImage`."""
    agent = f"puna/{__version__}"
    async with Fetcher(agent=agent, proxies=read_proxies(), nearness=desk.nearness) as fetcher:
        try:
            async with asyncio.timeout(_WHOLE_S):
                return {link: await _fetched(link, fetcher) for link in links}
        except TimeoutError as error:
            raise BadImage(f"the images took longer than {_WHOLE_S:.0f} seconds") from error


async def _fetched(link: str, fetcher: Fetcher) -> str:
    shown = one_line(link, 100)
    try:
        content = await _content(link, fetcher)
    except PunaError as error:
        raise BadImage(f"image {shown} cannot be fetched: {error.message}") from error
    image = read_image(content, f"image {shown}")
    return f"data:image/{image.kind};base64,{image.base64}"


async def _content(link: str, fetcher: Fetcher) -> bytes:
    url, sent_by = web_url(link), None
    for _ in range(_MOST_REDIRECTS + 1):
        question = Question(url=url, sent_by=sent_by, nearest=Nearness.PUBLIC)
        async with fetcher.ask(question) as reply:
            if reply.is_redirect:
                url, sent_by = reply.place(), Origin.of(url)
                continue
            if reply.status != HTTPStatus.OK:
                raise BadImage(f"{reply.origin} answers {reply.status}")
            return await reply.read(_MOST_BYTES)
    raise BadImage("it leads through too many redirects")
