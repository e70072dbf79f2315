"""The `anthropic` package, unmodified, against a server with a real model."""

from collections.abc import Iterator

import anthropic
import pytest
from anthropic.types import MessageParam
from pydantic import BaseModel

from tests.serving import Serving

pytestmark = [
    pytest.mark.model,
    pytest.mark.journey,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the client's own unclosed sockets
]

MODEL = "smollm2"
COLD = {"temperature": 0, "top_k": 1}
"""The newest client no longer has these as words of its own; older ones and other clients do."""
QUESTION: list[MessageParam] = [{"role": "user", "content": "What is a hamburger? One sentence."}]


class Dog(BaseModel):
    """A dog."""

    name: str
    age: int


@pytest.fixture
def client(server: Serving) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0) as one:
        yield one


def test_a_message_is_answered_with_usage(client: anthropic.Anthropic) -> None:
    reply = client.messages.create(
        model=MODEL, max_tokens=12, messages=QUESTION, system="Be brief.", extra_body=COLD
    )
    assert reply.content[0].type == "text"
    assert "hamburger" in reply.content[0].text.lower()
    assert (reply.stop_reason, reply.usage.output_tokens) == ("max_tokens", 12)


def test_tokens_are_counted_as_the_answer_counts_them(client: anthropic.Anthropic) -> None:
    counted = client.messages.count_tokens(model=MODEL, messages=QUESTION, system="Be brief.")
    reply = client.messages.create(model=MODEL, max_tokens=1, messages=QUESTION, system="Be brief.")
    assert counted.input_tokens == reply.usage.input_tokens > 20


def test_a_stream_is_put_together(client: anthropic.Anthropic) -> None:
    with client.messages.stream(
        model=MODEL, max_tokens=12, messages=QUESTION, extra_body=COLD
    ) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    assert message.content[0].type == "text"
    assert message.content[0].text == text
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 12)


def test_raw_events_are_typed(client: anthropic.Anthropic) -> None:
    stream = client.messages.create(model=MODEL, max_tokens=2, messages=QUESTION, stream=True)
    kinds = [event.type for event in stream]
    assert (kinds[0], kinds[-2:]) == ("message_start", ["message_delta", "message_stop"])


def test_a_stop_sequence_is_named(client: anthropic.Anthropic) -> None:
    reply = client.messages.create(
        model=MODEL, max_tokens=40, messages=QUESTION, stop_sequences=["amburger"], extra_body=COLD
    )
    assert (reply.stop_reason, reply.stop_sequence) == ("stop_sequence", "amburger")


def test_a_conversation_with_blocks_is_answered(client: anthropic.Anthropic) -> None:
    messages: list[MessageParam] = [
        {"role": "user", "content": [{"type": "text", "text": "My name is Ada."}]},
        {"role": "assistant", "content": "Hello Ada!"},
        {"role": "user", "content": "What is my name?"},
    ]
    reply = client.messages.create(model=MODEL, max_tokens=12, messages=messages, extra_body=COLD)
    assert reply.content[0].type == "text"
    assert reply.content[0].text


def test_errors_are_the_clients_own(client: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as missing:
        client.messages.create(model="none", max_tokens=1, messages=QUESTION)
    assert str(missing.value.request_id).startswith("req_")
    with pytest.raises(anthropic.BadRequestError, match="messages is required"):
        client.messages.create(model=MODEL, max_tokens=1, messages=[])


async def test_it_works_without_blocking(server: Serving) -> None:
    async with (
        anthropic.AsyncAnthropic(base_url=server.url, api_key="none") as client,
        client.messages.stream(model=MODEL, max_tokens=4, messages=QUESTION) as stream,
    ):
        message = await stream.get_final_message()
    assert message.usage.output_tokens == 4


def test_a_shape_is_parsed(client: anthropic.Anthropic) -> None:
    reply = client.messages.parse(
        model=MODEL,
        max_tokens=60,
        messages=[{"role": "user", "content": "Rex is a dog, 3 years old."}],
        output_format=Dog,
        extra_body=COLD,
    )
    assert isinstance(reply.parsed_output, Dog)
