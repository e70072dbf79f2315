"""A chat template without an end: it ends its engine, and nobody waits for it."""

import asyncio
from collections.abc import Mapping

import pytest

from puna.node.engine.events import EngineFailed
from puna.node.engine.rendering import Renderings, TemplateRefused


class Bomb:
    """An engine whose template goes round in circles until it is stopped."""

    def __init__(self) -> None:
        self.stopped = asyncio.Event()

    async def stop(self) -> None:
        self.stopped.set()

    async def ask(self) -> Mapping[str, object]:
        await asyncio.Event().wait()
        return {}


async def a_prompt() -> Mapping[str, object]:
    return {"prompt": "hello"}


async def a_refusal() -> Mapping[str, object]:
    raise EngineFailed("roles must alternate")


async def test_a_prompt_is_what_the_engine_answers() -> None:
    bomb = Bomb()
    assert await Renderings(bomb.stop).prompt(a_prompt) == "hello"
    assert not bomb.stopped.is_set()


async def test_a_template_without_an_end_is_stopped_with_its_engine() -> None:
    bomb = Bomb()
    with pytest.raises(TemplateRefused, match="took more than 0 seconds and was stopped"):
        await Renderings(bomb.stop, patience_s=0.01).prompt(bomb.ask)
    assert bomb.stopped.is_set()


async def test_it_is_stopped_too_when_the_client_has_left() -> None:
    bomb = Bomb()
    renderings = Renderings(bomb.stop, patience_s=0.05)
    asking = asyncio.create_task(renderings.prompt(bomb.ask))
    await asyncio.sleep(0)
    asking.cancel()
    async with asyncio.timeout(60):
        await bomb.stopped.wait()
    assert asking.cancelled()


async def test_closing_gives_up_what_is_being_written() -> None:
    bomb = Bomb()
    renderings = Renderings(bomb.stop)
    asking = asyncio.create_task(renderings.prompt(bomb.ask))
    await asyncio.sleep(0)
    await renderings.close()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_what_a_template_says_is_the_refusal() -> None:
    with pytest.raises(TemplateRefused, match="roles must alternate"):
        await Renderings(Bomb().stop).prompt(a_refusal)
