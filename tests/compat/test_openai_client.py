"""The `openai` package, unmodified, against a server with a real model."""

from collections.abc import AsyncIterator, Iterator

import httpx
import openai
import pytest
from pydantic import BaseModel

from tests.serving import Serving

pytestmark = [
    pytest.mark.model,
    pytest.mark.journey,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the client's own unclosed sockets
]

MODEL = "smollm2"


class Dog(BaseModel):
    """A dog."""

    name: str
    age: int


@pytest.fixture
def client(server: Serving) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as one:
        yield one


@pytest.fixture
async def waiting(server: Serving) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as one:
        yield one


def test_chat_answers_with_usage(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "What is a hamburger? One sentence."}],
        max_completion_tokens=12,
        temperature=0,
    )
    assert "hamburger" in (reply.choices[0].message.content or "").lower()
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage is not None
    assert (reply.usage.completion_tokens, reply.usage.prompt_tokens > 20) == (12, True)


def test_a_stream_says_the_same_as_a_whole_answer(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Say hi"}],
        max_tokens=12,
        temperature=0,
    )
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Say hi"}],
        max_tokens=12,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens


def test_several_answers_differ_and_repeat_with_a_seed(client: openai.OpenAI) -> None:
    def told() -> list[str | None]:
        reply = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Tell me a story."}],
            max_tokens=10,
            temperature=1.5,
            seed=42,
            n=3,
        )
        return [choice.message.content for choice in reply.choices]

    first = told()
    assert (len(set(first)), told()) == (3, first)


def test_a_biased_token_is_said(client: openai.OpenAI) -> None:
    def first_token(bias: dict[str, int]) -> str:
        reply = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "What is a hamburger?"}],
            max_tokens=1,
            temperature=0,
            logit_bias=bias,
        )
        return reply.choices[0].message.content or ""

    assert first_token({"33": 100}) == "1"
    assert first_token({}) != first_token({"33": 100})


def test_a_shape_is_parsed(client: openai.OpenAI) -> None:
    reply = client.chat.completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": "Rex is a dog, 3 years old."}],
        response_format=Dog,
        max_tokens=60,
        temperature=0,
    )
    assert isinstance(reply.choices[0].message.parsed, Dog)


def test_any_object_is_json(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "A dog named Rex, as JSON with name."}],
        response_format={"type": "json_object"},
        max_tokens=20,
        temperature=0,
    )
    assert (reply.choices[0].message.content or "").startswith("{")


def test_logprobs_come_with_alternatives(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Say hi"}],
        max_tokens=3,
        temperature=0,
        logprobs=True,
        top_logprobs=2,
    )
    told = reply.choices[0].logprobs
    assert told is not None
    assert [len(token.top_logprobs) for token in told.content or ()] == [2, 2, 2]


def test_completions_go_on_from_prompts(client: openai.OpenAI) -> None:
    reply = client.completions.create(
        model=MODEL, prompt=["Once", "Twice"], max_tokens=4, logprobs=1, temperature=0
    )
    assert [choice.index for choice in reply.choices] == [0, 1]
    assert reply.choices[0].logprobs is not None
    assert "".join(reply.choices[0].logprobs.tokens or ()) == reply.choices[0].text


def test_a_completion_streams(client: openai.OpenAI) -> None:
    stream = client.completions.create(model=MODEL, prompt="Once", max_tokens=4, stream=True)
    assert [chunk.choices[0].finish_reason for chunk in stream][-1] == "length"


def test_a_response_is_answered(client: openai.OpenAI) -> None:
    reply = client.responses.create(
        model=MODEL,
        instructions="Be brief.",
        input="What is a hamburger?",
        max_output_tokens=12,
        temperature=0,
    )
    assert "hamburger" in reply.output_text.lower()
    assert reply.usage is not None
    assert (reply.status, reply.usage.output_tokens) == ("incomplete", 12)


def test_a_response_is_put_together_from_its_stream(client: openai.OpenAI) -> None:
    with client.responses.stream(
        model=MODEL, input="Say hi", max_output_tokens=8, temperature=0
    ) as stream:
        numbers = [event.sequence_number for event in stream]
        reply = stream.get_final_response()
    assert numbers == list(range(len(numbers)))
    assert reply.output_text


def test_a_response_has_a_shape(client: openai.OpenAI) -> None:
    reply = client.responses.parse(
        model=MODEL,
        input="Rex is a dog, 3 years old.",
        text_format=Dog,
        max_output_tokens=60,
        temperature=0,
    )
    assert isinstance(reply.output_parsed, Dog)


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert "smollm2:latest" in [model.id for model in client.models.list()]
    assert client.models.retrieve("smollm2:latest").owned_by == "library"


def test_errors_are_the_clients_own(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="model 'none' not found"):
        client.models.retrieve("none")
    with pytest.raises(openai.BadRequestError, match="is too short"):
        client.chat.completions.create(model=MODEL, messages=[])
    with pytest.raises(openai.BadRequestError, match="n must be between"):
        client.completions.create(model=MODEL, prompt="x", n=1000)


async def test_it_works_without_blocking(waiting: openai.AsyncOpenAI) -> None:
    stream = await waiting.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Say hi"}],
        max_tokens=4,
        stream=True,
    )
    assert [chunk async for chunk in stream][-1].choices[0].finish_reason == "length"


async def test_a_stream_that_is_left_frees_the_model(waiting: openai.AsyncOpenAI) -> None:
    stream = await waiting.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Count to a thousand."}],
        max_tokens=100_000,
        stream=True,
    )
    async for _ in stream:
        break
    await stream.close()
    assert (await waiting.models.list()).data


def test_bytes_of_a_stream_are_events(server: Serving) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2}
    reply = httpx.post(f"{server.url}/v1/chat/completions", json={**body, "stream": True})
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.text.endswith("data: [DONE]\n\n")
