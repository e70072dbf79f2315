"""The `ollama` package, unmodified, with functions and thoughts of a scripted model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import ollama
import pytest

from tests.api.stage import a_model
from tests.serving import Serving
from tests.stores import put

pytestmark = [
    pytest.mark.journey,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the client's own unclosed sockets
]
TEMPLATE = "{% if tools %}{{ tools }}{% endif %}<think></think><tool_call>{{ enable_thinking }}"
CALL = '<tool_call>{"name": "add", "arguments": {"b": 2, "a": 1}}</tool_call>'


def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: The first.
        b: The second.

    Returns:
        Their sum.
    """
    return a + b


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ollama.Client]:
    home: Path = tmp_path_factory.mktemp("scripted")
    put(home / "models", "thinker", a_model(**{"tokenizer.chat_template": TEMPLATE}))
    with (
        Serving(home, PUNA_ENGINE="scripted") as server,
        ollama.Client(server.url) as one,
    ):
        yield one


def said(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"say: {text}"}]


def test_the_model_is_known_to_think_and_to_call(client: ollama.Client) -> None:
    assert {"tools", "thinking"} <= set(client.show("thinker").capabilities or ())


def test_a_function_is_called_and_its_result_given_back(client: ollama.Client) -> None:
    messages: list[Any] = [*said(CALL)]
    reply = client.chat("thinker", messages, tools=[add])
    (call,) = reply.message.tool_calls or ()
    assert call.function.name == "add"
    assert json.dumps(dict(call.function.arguments)) == '{"b": 2, "a": 1}'
    result = {"role": "tool", "tool_name": "add", "content": str(add(**call.function.arguments))}
    last = client.chat("thinker", [*messages, reply.message, result], tools=[add])
    assert last.message.content == "echo: 3"


def test_thoughts_come_apart(client: ollama.Client) -> None:
    reply = client.chat("thinker", said("<think>Hm.</think>Yes."), think=True)
    assert (reply.message.thinking, reply.message.content) == ("Hm.", "Yes.")
    whole = client.generate("thinker", "say: <think>Hm.</think>Yes.", think=True)
    assert (whole.thinking, whole.response) == ("Hm.", "Yes.")


@pytest.mark.parametrize("think", [True, "low", "high", None])
def test_a_stream_of_thoughts_words_and_calls_joins(
    client: ollama.Client, think: bool | Literal["low", "high"] | None
) -> None:
    text = said(f"<think>One moment.</think>Here it is.{CALL}")
    chunks = list(client.chat("thinker", text, tools=[add], think=think, stream=True))
    assert "".join(chunk.message.thinking or "" for chunk in chunks) == "One moment."
    assert "".join(chunk.message.content or "" for chunk in chunks) == "Here it is."
    calls = [call for chunk in chunks for call in chunk.message.tool_calls or ()]
    assert [call.function.name for call in calls] == ["add"]


def test_a_format_holds_after_the_thought(client: ollama.Client) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    reply = client.chat("thinker", said("<think>Hm.</think>Yes."), think=True, format=schema)
    assert (reply.message.thinking, reply.message.content) == ("Hm.", '{"ok": true}')
