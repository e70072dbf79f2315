"""What tests of pulls and pushes share."""

from collections.abc import AsyncGenerator
from pathlib import Path

from puna.library.library import Library
from puna.models.name import ModelName
from puna.models.reference import parse_reference
from puna.origin import Nearness
from puna.progress import Progress


def pulling(library: Library, name: str, *, insecure: bool = True) -> AsyncGenerator[Progress]:
    """Pull a model as a person would."""
    return library.pull(parse_reference(name, cwd=Path("/")), insecure=insecure)


async def pulled(library: Library, name: str, *, insecure: bool = True) -> list[Progress]:
    """Pull a model and return every event."""
    return [event async for event in pulling(library, name, insecure=insecure)]


async def pushed(library: Library, name: str, *, insecure: bool = True) -> list[Progress]:
    """Push a model and return every event."""
    return [event async for event in library.push(ModelName.parse(name), insecure=insecure)]


def as_if_public(address: str) -> Nearness:
    """Take 127.0.0.1 for a public address, and the rest of loopback for what it is."""
    return Nearness.PUBLIC if address == "127.0.0.1" else Nearness.OWN
