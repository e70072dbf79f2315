"""Live search on the Hugging Face hub: repositories with GGUF files, by downloads.

One request with a short timeout, made only when a person searches. Without a network, or where the
hub answers nonsense, the caller hears `Unreachable` and goes on with the curated list.
"""

import json
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

from puna.errors import Unavailable
from puna.models.name import InvalidName, ModelName
from puna.models.reference import HUB_HOST
from puna.net import Caller
from puna.settings import Address
from puna.text import one_line
from puna.units import Count
from puna.version import __version__

_TIMEOUT_S = 5.0
_MOST_BYTES = 4 << 20
_FACTS = ("downloads", "gated", "gguf", "likes", "tags")


class HubSilent(Unavailable):
    """The hub answered, and not with a list of models."""

    code = "hub_silent"


@dataclass(frozen=True, slots=True)
class Found:
    """A repository on the hub that holds GGUF files."""

    name: ModelName
    downloads: int
    likes: int
    parameters: Count
    """Zero where the hub does not know."""
    context: int
    licence: str
    languages: tuple[str, ...]
    is_gated: bool


def hub_caller(address: Address) -> Caller:
    """Return the caller for the hub. A search needs no token, so it carries none."""
    headers = {"User-Agent": f"puna/{__version__}"}
    return Caller(address.scheme, address.host, address.port, prefix=address.path, headers=headers)


def search_hub(words: str, hub: Address, *, most: int = 20) -> tuple[Found, ...]:
    """Return repositories with GGUF files for some words. Blocks for seconds at most.

    Raises `Unreachable` without a network, `HubSilent` for an answer that is no list of models.
    """
    query = [("search", words), ("filter", "gguf"), ("sort", "downloads"), ("direction", "-1")]
    query += [("limit", str(most)), *(("expand[]", fact) for fact in _FACTS)]
    caller = hub_caller(hub)
    with caller.request("GET", f"/api/models?{urlencode(query)}", timeout_s=_TIMEOUT_S) as answer:
        body = answer.read()
    if answer.status != HTTPStatus.OK:
        raise HubSilent(f"{caller.url} answered the search with HTTP status {answer.status}")
    return parse_found(body, caller.url)


def names_on_hub(words: str, hub: Address) -> tuple[ModelName, ...]:
    """Return repositories with GGUF files for some words; none where the hub cannot be asked."""
    try:
        return tuple(found.name for found in search_hub(words, hub, most=5))
    except Unavailable:
        return ()


def parse_found(body: bytes, url: str) -> tuple[Found, ...]:
    """Read the hub's list; what is no repository with a usable name is left out."""
    try:
        rows = json.loads(body) if len(body) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list):
        raise HubSilent(f"{url} answered the search with something that is no list of models")
    return tuple(found for row in rows if isinstance(row, dict) and (found := _found(row)))


def _found(row: dict[str, object]) -> Found | None:
    user, _, model = str(row.get("id", "")).partition("/")
    try:
        name = ModelName(model, namespace=user, host=HUB_HOST)
    except InvalidName:
        return None
    listed = row.get("tags")
    tags = (
        [one_line(tag, 40) for tag in listed if isinstance(tag, str)]
        if isinstance(listed, list)
        else []
    )
    gguf = row.get("gguf")
    facts = gguf if isinstance(gguf, dict) else {}
    return Found(
        name=name,
        downloads=_whole(row.get("downloads")),
        likes=_whole(row.get("likes")),
        parameters=Count(_whole(facts.get("total"))),
        context=_whole(facts.get("context_length")),
        licence=next(
            (tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), ""
        ),
        languages=tuple(tag for tag in tags if len(tag) == _LANGUAGE and tag.islower()),
        is_gated=bool(row.get("gated")),
    )


_LANGUAGE = 2
"""Letters of a language's code."""


def _whole(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
