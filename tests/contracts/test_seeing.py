"""What every engine promises of images: the scripted one, and llama.cpp with a projector.

The real one is SmolLM2 with a projector of random numbers: it understands nothing of what it sees,
and sees it all the same.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from puna.chat.images import BadImage, Image, ImageKind, read_image
from puna.chat.marks import Illustrated
from puna.errors import Invalid
from puna.node.counting import count_illustrated
from puna.node.engine.engine import Engine, EngineFactory
from puna.node.engine.process import llama_factory
from puna.node.engine.request import Completion, Finish, Piece, StopReason
from puna.node.engine.scripted import scripted_factory
from puna.node.engine.seeing import check_room
from puna.units import Size
from puna.world import RealWorld
from tests.contracts.test_engine import GREEDY, a_spec
from tests.pictures import a_picture, an_image, write_projector

pytestmark = pytest.mark.asyncio(loop_scope="module")
REAL = pytest.param("real", marks=pytest.mark.model)
only_real = pytest.mark.parametrize("engine", [REAL], indirect=True)
"""The script knows the sizes of images and nothing else."""


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=["scripted", REAL],
)
async def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Engine]:
    factories: dict[str, EngineFactory] = {
        "scripted": scripted_factory(RealWorld()),
        "real": llama_factory(RealWorld(), threads=2),
    }
    projector = write_projector(tmp_path_factory.mktemp("eyes") / "mmproj.gguf")
    loaded = await factories[request.param](a_spec(projector=projector))
    yield loaded
    await loaded.stop()


async def answer(
    engine: Engine, *parts: str | Image, most: int = 4
) -> tuple[list[tuple[str, float]], Finish]:
    """Return the text and probability of each token, and the end."""
    completion = Completion(Illustrated(parts), GREEDY, max_tokens=most, logprobs=1)
    chosen: list[tuple[str, float]] = []
    async with aclosing(engine.complete(completion)) as items:
        async for item in items:
            if isinstance(item, Piece):
                chosen += [(each.chosen.token, each.chosen.logprob) for each in item.logprobs]
            else:
                return chosen, item
    raise AssertionError("an answer without an end")


async def test_an_engine_with_a_projector_says_that_it_sees(engine: Engine) -> None:
    assert engine.facts.sees_images


@pytest.mark.parametrize("kind", list(ImageKind))
async def test_every_format_is_seen_and_counted(engine: Engine, kind: ImageKind) -> None:
    image = an_image("red", (60, 40), kind)
    prompt = Illustrated(("What is ", image, "?"))
    _, finish = await answer(engine, *prompt.parts)
    assert finish.prompt_tokens == await count_illustrated(engine, prompt)
    assert await engine.image_tokens(image) > 0


async def test_several_images_are_counted(engine: Engine) -> None:
    parts = ("Compare ", an_image("red"), " with ", an_image("blue", (300, 30), "jpeg"), ".")
    _, finish = await answer(engine, *parts)
    assert finish.prompt_tokens == await count_illustrated(engine, Illustrated(parts))


async def test_an_image_may_come_first(engine: Engine) -> None:
    prompt = Illustrated(("", an_image(), "What is it?"))
    _, finish = await answer(engine, *prompt.parts)
    assert finish.prompt_tokens == await count_illustrated(engine, prompt)


@only_real
async def test_different_images_have_different_answers_whatever_is_cached(engine: Engine) -> None:
    red, blue, again = [
        (await answer(engine, "Look: ", an_image(colour), " It is"))
        for colour in ("red", "blue", "red")
    ]
    assert red[0] == again[0]
    assert red[0] != blue[0]
    _, finish = await answer(engine, "Look: ", an_image("red"), " It is")
    assert finish.cached_tokens > await engine.image_tokens(an_image("red"))


async def test_an_answer_with_images_ends_where_the_context_does(tmp_path: Path) -> None:
    engine = await scripted_factory(RealWorld())(a_spec(projector=tmp_path))
    _, finish = await answer(engine, "", an_image(), "<|user|>\ncount to 1000", most=1000)
    assert finish.prompt_tokens + finish.output_tokens == engine.facts.context
    assert (finish.reason, finish.shifted) == (StopReason.LENGTH, False)
    await engine.stop()


@only_real
async def test_a_damaged_image_of_a_known_size_is_refused_as_well(engine: Engine) -> None:
    whole = a_picture("red", (90, 70))
    good = read_image(whole, "images[0]")
    await engine.image_tokens(good)
    bad = read_image(whole[:60], "images[1]")
    with pytest.raises(BadImage, match=r"images\[1\]: the png image cannot be decoded"):
        await answer(engine, "", good, " and ", bad, "?")


@only_real
async def test_a_damaged_image_is_refused_by_its_place(engine: Engine) -> None:
    for kind in ("png", "webp"):
        half = a_picture("red", (500, 300), kind)
        image = read_image(half[: max(40, len(half) // 2)], "images[7]")
        with pytest.raises(BadImage, match=rf"images\[7\]: the {kind} image cannot be decoded"):
            await engine.image_tokens(image)


async def test_an_engine_without_a_projector_sees_nothing() -> None:
    engine = await scripted_factory(RealWorld())(a_spec())
    with pytest.raises(Invalid, match="sees no images"):
        await answer(engine, "", an_image(), "?")
    await engine.stop()


@pytest.mark.parametrize(("size", "free"), [((4000, 4000), 0), ((8000, 8000), 640_000_000)])
async def test_an_image_that_memory_holds_is_decoded(size: tuple[int, int], free: int) -> None:
    check_room(Image(b"", ImageKind.PNG, *size), Size(free))


async def test_an_image_that_memory_cannot_hold_is_refused() -> None:
    image = Image(b"", ImageKind.PNG, 8000, 8000, "images[0]")
    with pytest.raises(BadImage, match="takes 640 MB of memory, and 100 MB are free"):
        check_room(image, Size(100_000_000))
