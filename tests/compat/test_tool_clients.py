"""Functions and thoughts through the official clients, with a scripted model that writes tags."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from anthropic.types import MessageParam, ToolParam
from langchain_openai import ChatOpenAI
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionToolParam,
)
from openai.types.responses import FunctionToolParam
from pydantic import SecretStr
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.ollama import OllamaProvider

from tests.api.stage import a_model
from tests.serving import Serving
from tests.stores import put

pytestmark = [
    pytest.mark.journey,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the clients' own unclosed sockets
]
TEMPLATE = "{% if tools %}{{ tools }}{% endif %}<think></think><tool_call>{{ enable_thinking }}"
CALL = '<tool_call>{"name": "add", "arguments": {"b": 2, "a": 1}}</tool_call>'
THOUGHT = "say: <think>Let me see.</think>Well."
SCHEMA: dict[str, object] = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}
ADD: ChatCompletionToolParam = {
    "type": "function",
    "function": {"name": "add", "description": "Add.", "parameters": SCHEMA},
}
ANTHROPIC_ADD: ToolParam = {"name": "add", "description": "Add.", "input_schema": SCHEMA}
RESPONSES_ADD: FunctionToolParam = {
    "type": "function",
    "name": "add",
    "parameters": SCHEMA,
    "strict": False,
}


@pytest.fixture(scope="module")
def thinking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    home: Path = tmp_path_factory.mktemp("thinking")
    put(home / "models", "thinker", a_model(**{"tokenizer.chat_template": TEMPLATE}))
    with Serving(home, PUNA_ENGINE="scripted") as server:
        yield server


@pytest.fixture
def chat(thinking: Serving) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{thinking.url}/v1", api_key="none", max_retries=0) as one:
        yield one


@pytest.fixture
def claude(thinking: Serving) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=thinking.url, api_key="none", max_retries=0) as one:
        yield one


def one_call(reply: ChatCompletion) -> ChatCompletionMessageFunctionToolCall:
    calls = list(reply.choices[0].message.tool_calls or ())
    assert len(calls) == 1
    assert calls[0].type == "function"
    return calls[0]


def test_openai_gets_a_call_and_gives_its_result(chat: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": f"say: {CALL}"}]
    reply = chat.chat.completions.create(model="thinker", messages=messages, tools=[ADD])
    message = reply.choices[0].message
    call = one_call(reply)
    assert reply.choices[0].finish_reason == "tool_calls"
    assert (call.function.name, call.function.arguments) == ("add", '{"b":2,"a":1}')
    result = {"role": "tool", "tool_call_id": call.id, "content": "3"}
    after = [*messages, message.model_dump(exclude_none=True), result]
    last = chat.chat.completions.create(model="thinker", messages=after, tools=[ADD])
    assert last.choices[0].message.content == "echo: 3"


def test_openai_puts_a_streamed_call_together(chat: openai.OpenAI) -> None:
    with chat.chat.completions.stream(
        model="thinker", messages=[{"role": "user", "content": f"say: {CALL}"}], tools=[ADD]
    ) as stream:
        reply = stream.get_final_completion()
    assert one_call(reply).function.name == "add"
    assert reply.choices[0].finish_reason == "tool_calls"


def test_openai_may_forbid_a_call(chat: openai.OpenAI) -> None:
    reply = chat.chat.completions.create(
        model="thinker",
        messages=[{"role": "user", "content": "hi"}],
        tools=[ADD],
        tool_choice="none",
    )
    assert reply.choices[0].message.tool_calls is None


def test_openai_may_name_the_function(chat: openai.OpenAI) -> None:
    reply = chat.chat.completions.create(
        model="thinker",
        messages=[{"role": "user", "content": "hi"}],
        tools=[ADD],
        tool_choice={"type": "function", "function": {"name": "add"}},
    )
    assert one_call(reply).function.name == "add"


def test_openai_hears_a_thought_apart(chat: openai.OpenAI) -> None:
    reply = chat.chat.completions.create(
        model="thinker", messages=[{"role": "user", "content": THOUGHT}], reasoning_effort="low"
    )
    message = reply.choices[0].message.model_dump()
    assert (message["reasoning"], message["content"]) == ("Let me see.", "Well.")


def test_a_response_has_a_call(chat: openai.OpenAI) -> None:
    reply = chat.responses.create(model="thinker", input=f"say: {CALL}", tools=[RESPONSES_ADD])
    (call,) = (item for item in reply.output if item.type == "function_call")
    assert (call.name, call.arguments) == ("add", '{"b":2,"a":1}')


def test_a_response_puts_thought_and_words_together(chat: openai.OpenAI) -> None:
    with chat.responses.stream(model="thinker", input=THOUGHT) as stream:
        reply = stream.get_final_response()
    assert [item.type for item in reply.output] == ["reasoning", "message"]
    assert reply.output_text == "Well."


def test_anthropic_gets_a_call_and_gives_its_result(claude: anthropic.Anthropic) -> None:
    messages: list[MessageParam] = [{"role": "user", "content": f"say: {CALL}"}]
    reply = claude.messages.create(
        model="thinker", max_tokens=100, messages=messages, tools=[ANTHROPIC_ADD]
    )
    (call,) = (block for block in reply.content if block.type == "tool_use")
    assert (reply.stop_reason, call.name, call.input) == ("tool_use", "add", {"b": 2, "a": 1})
    messages += [
        {"role": "assistant", "content": reply.content},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "3"}],
        },
    ]
    last = claude.messages.create(
        model="thinker", max_tokens=100, messages=messages, tools=[ANTHROPIC_ADD]
    )
    assert last.content[0].type == "text"
    assert last.content[0].text == "echo: 3"


def test_anthropic_puts_a_streamed_call_and_thought_together(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(
        model="thinker",
        max_tokens=100,
        messages=[{"role": "user", "content": f"{THOUGHT}{CALL}"}],
        tools=[ANTHROPIC_ADD],
        thinking={"type": "enabled", "budget_tokens": 1024},
    ) as stream:
        message = stream.get_final_message()
    assert [block.type for block in message.content] == ["thinking", "text", "tool_use"]


def test_anthropic_may_require_a_call(claude: anthropic.Anthropic) -> None:
    reply = claude.messages.create(
        model="thinker",
        max_tokens=100,
        messages=[{"role": "user", "content": "hi"}],
        tools=[ANTHROPIC_ADD],
        tool_choice={"type": "any"},
    )
    assert reply.stop_reason == "tool_use"


def test_tools_are_part_of_the_count(claude: anthropic.Anthropic) -> None:
    counted = claude.messages.count_tokens(
        model="thinker", messages=[{"role": "user", "content": "hi"}], tools=[ANTHROPIC_ADD]
    )
    assert counted.input_tokens > 0


def test_langchain_binds_a_function(thinking: Serving) -> None:
    model = ChatOpenAI(
        model="thinker", base_url=f"{thinking.url}/v1", api_key=SecretStr("none")
    ).bind_tools([dict(ADD)])
    (call,) = model.invoke(f"say: {CALL}").tool_calls
    assert (call["name"], call["args"]) == ("add", {"b": 2, "a": 1})


async def test_an_agent_of_pydantic_ai_uses_its_function(thinking: Serving) -> None:
    provider = OllamaProvider(base_url=f"{thinking.url}/v1")
    agent = Agent(OpenAIChatModel("thinker", provider=provider))

    @agent.tool_plain
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    assert (await agent.run(f"say: {CALL}")).output == "echo: 3"
