"""From what an engine generates to what an answer says: passes, limits, tokens, probabilities."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from puna.chat.forms import form_of
from puna.chat.messages import NO_TOOLS, Think, Tool, ToolMode, ToolUse
from puna.models.options import Sampling
from puna.node.engine.request import Completion, Finish, Grammar, LoadSpec, Piece, StopReason
from puna.node.engine.scripted import Script, ScriptedEngine
from puna.node.speaking import Called, Speech, Spoken, Thought, speak
from puna.units import Size
from tests.worlds import FakeWorld

QWEN = "{{ tools }}<think></think><tool_call>{{ enable_thinking }}"
R1 = "<think></think>"
GPT_OSS = "{{ tools }}<|channel|><|message|>"
WEATHER = Tool("get_weather", "", {"properties": {"city": {"type": "string"}}})
CALL = '<tool_call>{"name": "get_weather", "arguments": {"city": "Oslo"}}</tool_call>'
ANY = Grammar()
PROMPT = "Hello."
OFF = Think(on=False)


class Listener(ScriptedEngine):
    """An engine that remembers what it was asked to go on from."""

    def __init__(self, answer: Callable[[str], str]) -> None:
        spec = LoadSpec(Path("/models/none.gguf"), context=500, slots=1, memory=Size(1))
        super().__init__(spec, Script(answer=self._heard), FakeWorld())
        self.prompts: list[str] = []
        self._reply = answer

    def _heard(self, prompt: str) -> str:
        self.prompts.append(prompt)
        return self._reply(prompt)


def speech(template: str = QWEN, tools: ToolUse = NO_TOOLS, think: Think | None = None) -> Speech:
    form = form_of(template)
    return Speech(form=form, prompt=PROMPT, tools=tools, think=think, template=template)


async def listen(
    engine: ScriptedEngine,
    asked: Speech,
    *,
    limit: int = 400,
    grammar: Grammar | None = None,
    logprobs: int | None = None,
) -> list[Spoken]:
    prompt = await engine.tokenize(PROMPT, add_special=True)
    completion = Completion(prompt, Sampling(), limit, grammar=grammar, logprobs=logprobs)
    return [item async for item in speak(engine, completion, asked, FakeWorld())]


def content(items: list[Spoken]) -> str:
    return "".join(item.text for item in items if isinstance(item, Piece))


def thought(items: list[Spoken]) -> str:
    return "".join(item.piece.text for item in items if isinstance(item, Thought))


def end(items: list[Spoken]) -> Finish:
    finish = items[-1]
    assert isinstance(finish, Finish)
    assert sum(isinstance(item, Finish) for item in items) == 1
    return finish


async def test_a_model_without_tags_is_passed_on_as_it_is() -> None:
    items = await listen(Listener(lambda _: "<think>a</think> b"), speech("{{ messages }}"))
    assert content(items) == "<think>a</think> b"


async def test_every_token_is_passed_on_once() -> None:
    text = f"<think>Hm.</think>\n\nYes. {CALL}\n"
    engine = Listener(lambda _: text)
    items = await listen(engine, speech(tools=ToolUse((WEATHER,))), logprobs=0)
    pieces = [item.piece if isinstance(item, Thought) else item for item in items]
    tokens = [token for each in pieces if isinstance(each, Piece) for token in each.tokens]
    assert await engine.detokenize(tokens) == text
    assert end(items).output_tokens == len(tokens)
    chosen = [one for each in pieces if isinstance(each, Piece) for one in each.logprobs]
    assert len(chosen) == len(tokens)


async def test_probabilities_come_with_their_own_text() -> None:
    items = await listen(Listener(lambda _: "a <tool b"), speech(), logprobs=0)
    for piece in items[:-1]:
        assert isinstance(piece, Piece)
        assert "".join(each.chosen.token for each in piece.logprobs).startswith(piece.text[:1])


async def test_calls_have_ids_and_numbers() -> None:
    items = await listen(Listener(lambda _: CALL * 2), speech(tools=ToolUse((WEATHER,))))
    calls = [item for item in items if isinstance(item, Called)]
    assert [each.index for each in calls] == [0, 1]
    assert all(each.call.id.startswith("call_") for each in calls)
    assert len({len(each.call.id) for each in calls}) == 1


async def test_one_call_is_enough_where_no_more_are_wanted() -> None:
    tools = ToolUse((WEATHER,), parallel=False)
    items = await listen(Listener(lambda _: f"{CALL} {CALL} and more"), speech(tools=tools))
    assert sum(isinstance(item, Called) for item in items) == 1
    assert (end(items).reason, end(items).prompt_tokens) == (StopReason.STOP, 3)
    assert end(items).output_tokens < 60


async def test_the_answer_goes_on_from_the_thought_with_the_grammar_on() -> None:
    engine = Listener(lambda _: "<think>Hm.</think>Never seen.")
    items = await listen(engine, speech(), grammar=ANY)
    assert (thought(items), content(items)) == ("Hm.", "{}")
    assert engine.prompts == [PROMPT]
    assert end(items).prompt_tokens == 3
    assert end(items).output_tokens > 2


async def test_a_model_that_does_not_think_keeps_to_the_grammar_at_once() -> None:
    items = await listen(Listener(lambda _: "Never seen."), speech(), grammar=ANY)
    assert (thought(items), content(items)) == ("", "{}")


async def test_a_thought_that_ends_with_the_answer_is_followed_by_one() -> None:
    items = await listen(Listener(lambda _: "<think>Hm."), speech(), grammar=ANY)
    assert (thought(items), content(items)) == ("Hm.", "{}")


async def test_a_thought_that_fills_the_limit_leaves_no_answer() -> None:
    engine = Listener(lambda _: "<think>a b c d e f")
    items = await listen(engine, speech(), limit=4, grammar=ANY)
    assert (end(items).reason, content(items)) == (StopReason.LENGTH, "")


async def test_channels_are_followed_by_the_final_one() -> None:
    text = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>X"
    items = await listen(Listener(lambda _: text), speech(GPT_OSS), grammar=ANY)
    assert (thought(items), content(items)) == ("Hm.", "{}")


@pytest.mark.parametrize(
    ("template", "prompt", "silencer"),
    [
        (QWEN, PROMPT, ""),
        (R1, PROMPT, "<think>\n\n</think>\n\n"),
        (R1, "<think>\n", "\n</think>\n\n"),
        (GPT_OSS, PROMPT, "<|channel|>final<|message|>"),
        ("{{ messages }}", PROMPT, ""),
    ],
)
def test_a_model_is_kept_from_thinking_where_its_template_cannot(
    template: str, prompt: str, silencer: str
) -> None:
    asked = replace(speech(template, think=OFF), prompt=prompt)
    assert asked.silencer == silencer
    assert replace(asked, think=None).silencer == ""


async def test_a_silenced_model_goes_on_from_its_closed_thought() -> None:
    engine = Listener(lambda _: "Yes.")
    items = await listen(engine, speech(R1, think=OFF))
    assert content(items) == "Yes."
    assert engine.prompts == [f"{PROMPT}<think>\n\n</think>\n\n"]


@pytest.mark.parametrize("template", [QWEN, "{{ tools }}", "{{ messages }}", GPT_OSS])
async def test_a_forced_call_is_made_by_every_form(template: str) -> None:
    tools = ToolUse((WEATHER,), mode=ToolMode.REQUIRED)
    items = await listen(Listener(lambda _: "Nothing."), speech(template, tools))
    (called,) = [item for item in items if isinstance(item, Called)]
    assert (called.call.name, called.call.arguments) == ("get_weather", '{"city":"text"}')
    assert content(items) == ""


async def test_a_forced_call_follows_a_thought() -> None:
    tools = ToolUse((WEATHER,), mode=ToolMode.REQUIRED)
    items = await listen(Listener(lambda _: "<think>Hm.</think>No."), speech(tools=tools))
    assert thought(items) == "Hm."
    assert sum(isinstance(item, Called) for item in items) == 1
