import asyncio
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from puna.chat.messages import Message, Role
from puna.errors import Invalid
from puna.models.options import Sampling
from puna.node.engine.engine import EngineDied, LoadFailed
from puna.node.engine.request import Completion, Finish, Grammar, LoadSpec, Piece, StopReason
from puna.node.engine.scripted import Script, ScriptedEngine, scripted_factory
from puna.units import Size, Span
from tests.worlds import FakeWorld, settle

SPEC = LoadSpec(Path("/models/none.gguf"), context=200, slots=2, memory=Size(7))
ECHO = Script()


def engine(script: Script = ECHO, world: FakeWorld | None = None) -> ScriptedEngine:
    return ScriptedEngine(SPEC, script, world or FakeWorld())


async def answer(engine: ScriptedEngine, text: str, **completion: object) -> tuple[str, Finish]:
    prompt = await engine.tokenize(text, add_special=True)
    request = Completion(prompt, Sampling(), 1000, **completion)  # type: ignore[arg-type]
    *pieces, finish = [part async for part in engine.complete(request)]
    assert isinstance(finish, Finish)
    return "".join(piece.text for piece in pieces if isinstance(piece, Piece)), finish


async def test_it_echoes_the_last_turn() -> None:
    subject = engine()
    prompt = await subject.render(
        [Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Hello, llama!")]
    )

    assert (await answer(subject, prompt))[0] == "echo: Hello, llama!"


async def test_it_counts() -> None:
    assert (await answer(engine(), "count to 12"))[0] == "1 2 3 4 5 6 7 8 9 10 11 12"


async def test_a_script_decides_the_answer() -> None:
    assert (await answer(engine(Script(answer=str.upper)), "abc"))[0] == "ABC"


@given(st.text())
async def test_every_text_survives_its_tokens(text: str) -> None:
    subject = engine()
    tokens = await subject.tokenize(text, add_special=False)

    assert await subject.detokenize(tokens) == text


@given(st.integers())
async def test_every_number_is_a_token_or_refused(token: int) -> None:
    subject = engine()
    try:
        text = await subject.detokenize([token])
    except Invalid:
        return
    assert isinstance(text, str)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (None, "{}"),
        ('{"type": "object", "properties": {"a": {"type": "integer"}}}', '{"a": 1}'),
        ('{"properties": {"a": {"type": "array", "items": {"enum": ["x"]}}}}', '{"a": ["x"]}'),
        ('{"const": 3}', "3"),
        ('{"type": "boolean"}', "true"),
    ],
)
async def test_a_schema_gets_an_example(schema: str | None, text: str) -> None:
    assert (await answer(engine(), "x", grammar=Grammar(schema)))[0] == text


async def test_tokens_take_their_time() -> None:
    world = FakeWorld()
    subject = engine(Script(token_span=Span.of(ms=10)), world)
    request = asyncio.create_task(answer(subject, "count to 5"))

    await world.advance(Span.of(ms=40))
    assert not request.done()
    await world.advance(Span.of(ms=10))

    assert (await request)[1].output_span == Span.of(ms=50)


async def test_a_load_takes_its_time() -> None:
    world = FakeWorld()
    load = asyncio.ensure_future(
        scripted_factory(world, Script(load_span=Span.of(seconds=3)))(SPEC)
    )

    await world.advance(Span.of(seconds=2))
    assert not load.done()
    await world.advance(Span.of(seconds=1))
    assert load.done()


async def test_a_load_can_fail() -> None:
    with pytest.raises(LoadFailed, match="no room"):
        await scripted_factory(FakeWorld(), Script(load_failure="no room"))(SPEC)


async def test_a_script_can_depend_on_the_model() -> None:
    load = scripted_factory(FakeWorld(), lambda spec: Script(answer=lambda _: spec.weights.name))
    subject = await load(SPEC)
    prompt = await subject.tokenize("x", add_special=True)

    first = await anext(subject.complete(Completion(prompt, Sampling(), 50)))

    assert isinstance(first, Piece)
    assert first.text == "none"


async def test_it_can_die_in_the_middle() -> None:
    subject = engine(Script(dies_after=3))

    with pytest.raises(EngineDied, match="the script says so"):
        await answer(subject, "count to 20")


async def test_a_death_reaches_a_request_that_waits() -> None:
    subject = engine(Script(token_span=Span.of(hours=1)))
    request = asyncio.create_task(answer(subject, "count to 20"))
    await settle()

    subject.die("killed by a test")

    with pytest.raises(EngineDied, match="killed by a test"):
        await request


async def test_a_cut_answer_says_so() -> None:
    subject = engine()
    prompt = await subject.tokenize("count to 100", add_special=True)

    *_, finish = [part async for part in subject.complete(Completion(prompt, Sampling(), 4))]

    assert isinstance(finish, Finish)
    assert finish.reason is StopReason.LENGTH
    assert finish.output_tokens == 4
