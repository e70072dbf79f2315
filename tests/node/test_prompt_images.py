"""Images in prompts: what is counted, what is dropped, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from puna.chat.images import BadImage
from puna.chat.marks import Illustrated
from puna.chat.messages import Message, Role, Think
from puna.chat.output import Form
from puna.errors import Invalid
from puna.models.options import Sampling
from puna.node.engine.engine import Engine
from puna.node.engine.request import Completion, Finish, LoadSpec
from puna.node.engine.scripted import scripted_factory
from puna.node.prompt import Conversation, Frame, PromptTooLong, Verbatim, count, prepare
from puna.node.speaking import Speech, speak
from puna.units import Size
from puna.world import RealWorld
from tests.chat.test_images import a_bomb
from tests.pictures import an_image

SMALL, LARGE = an_image("red", (32, 32)), an_image("red", (640, 640))
SPEC = LoadSpec(Path("m"), context=64, slots=1, memory=Size(0), projector=Path("eyes"))
FRAME = Frame(context=64, num_keep=4)
ASKED = Message(Role.USER, "what?", images=(SMALL,))


async def an_engine(**changes: object) -> Engine:
    return await scripted_factory(RealWorld())(replace(SPEC, **changes))  # type: ignore[arg-type]


async def test_a_prompt_with_images_is_counted_before_it_is_computed() -> None:
    engine = await an_engine()
    prompt = await prepare(engine, Conversation((ASKED,)), FRAME)
    assert prompt.illustrated is not None
    assert prompt.illustrated.images == (SMALL,)
    assert (prompt.tokens, prompt.cut) == (None, None)
    assert prompt.counted == await count(engine, Conversation((ASKED,)))
    assert "[img-0]what?" in prompt.text


async def test_old_turns_go_with_their_images() -> None:
    turns = (Message(Role.USER, "old", images=(LARGE, SMALL)), Message(Role.ASSISTANT, "yes"))
    prompt = await prepare(await an_engine(), Conversation((*turns, ASKED)), FRAME)
    assert prompt.illustrated is not None
    assert prompt.illustrated.images == (SMALL,)
    assert prompt.cut is not None
    assert prompt.cut.dropped_messages == 1
    assert prompt.cut.kept_tokens == prompt.counted


@pytest.mark.parametrize(
    "subject",
    [
        Conversation((replace(ASKED, images=(LARGE,)),)),
        Conversation((replace(ASKED, content="word " * 200),)),
        Verbatim("what?", images=(LARGE,)),
    ],
)
async def test_what_is_left_too_long_is_refused_and_never_cut_inside(
    subject: Conversation | Verbatim,
) -> None:
    with pytest.raises(PromptTooLong, match="with 1 image, and a context of 64"):
        await prepare(await an_engine(), subject, FRAME)


async def test_without_images_a_prompt_is_cut_as_ever() -> None:
    subject = Conversation((Message(Role.USER, "word " * 200),))
    prompt = await prepare(await an_engine(), subject, FRAME)
    assert prompt.cut is not None
    assert prompt.counted == prompt.cut.kept_tokens == len(prompt.tokens or ())


async def test_an_engine_that_sees_nothing_is_not_asked() -> None:
    with pytest.raises(Invalid, match="without what makes it see"):
        await prepare(await an_engine(projector=None), Conversation((ASKED,)), FRAME)


async def test_an_image_is_looked_through_before_it_is_decoded() -> None:
    subject = Conversation((replace(ASKED, images=(a_bomb(),)),))
    with pytest.raises(BadImage, match="holds more"):
        await prepare(await an_engine(), subject, FRAME)


async def test_what_is_put_into_the_models_mouth_follows_the_last_text() -> None:
    engine = await an_engine()
    prompt = Illustrated(("<|user|>\nlook ", SMALL, " here\n<|assistant|>\n"))
    completion = Completion(prompt, Sampling(), max_tokens=9)
    form = Form(thoughts=(("<think>", "</think>"),))
    speech = Speech(
        form=form, prompt=prompt.text, think=Think(on=False), template="<think></think>"
    )
    items = [item async for item in speak(engine, completion, speech, RealWorld())]
    (end,) = [item for item in items if isinstance(item, Finish)]
    plain = [item async for item in engine.complete(completion) if isinstance(item, Finish)]
    assert end.prompt_tokens > plain[0].prompt_tokens
