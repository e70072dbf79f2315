"""The official clients against `PUNA_ENGINE=scripted`, where every answer is known beforehand.

What a real model cannot show exactly: the very text of an answer, what many clients at once get,
and that a stream which is left or cut gives its place to the next.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anthropic
import ollama
import openai
import pytest

from tests.serving import Serving

pytestmark = [
    pytest.mark.journey,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the clients' own unclosed sockets
]

MODEL = "smollm2"


@pytest.fixture(scope="module")
def scripted(
    tmp_path_factory: pytest.TempPathFactory, no_settings_of_mine: Path
) -> Iterator[Serving]:
    """A server without weights."""
    assert no_settings_of_mine.exists()
    with Serving(tmp_path_factory.mktemp("scripted"), PUNA_ENGINE="scripted") as one:
        yield one


@pytest.fixture
async def openai_client(scripted: Serving) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{scripted.url}/v1", api_key="none", max_retries=0
    ) as one:
        yield one


@pytest.fixture
async def anthropic_client(scripted: Serving) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=scripted.url, api_key="none", max_retries=0
    ) as one:
        yield one


async def openai_says(client: openai.AsyncOpenAI, text: str) -> str:
    stream = await client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": text}], stream=True
    )
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


async def anthropic_says(client: anthropic.AsyncAnthropic, text: str) -> str:
    async with client.messages.stream(
        model=MODEL, max_tokens=100, messages=[{"role": "user", "content": text}]
    ) as stream:
        return "".join([part async for part in stream.text_stream])


async def response_says(client: openai.AsyncOpenAI, text: str) -> str:
    async with client.responses.stream(model=MODEL, input=text) as stream:
        return (await stream.get_final_response()).output_text


async def test_all_dialects_say_the_same(
    scripted: Serving,
    openai_client: openai.AsyncOpenAI,
    anthropic_client: anthropic.AsyncAnthropic,
) -> None:
    told = {
        await openai_says(openai_client, "count to 5"),
        await response_says(openai_client, "count to 5"),
        await anthropic_says(anthropic_client, "count to 5"),
        ollama.Client(scripted.url).generate(MODEL, "count to 5").response or "",
    }
    assert told == {"1 2 3 4 5"}


async def test_many_clients_at_once_each_get_their_own_answer(
    openai_client: openai.AsyncOpenAI, anthropic_client: anthropic.AsyncAnthropic
) -> None:
    asked = [f"question {n}" for n in range(12)]
    told = await asyncio.gather(
        *(openai_says(openai_client, text) for text in asked),
        *(anthropic_says(anthropic_client, text) for text in asked),
        *(response_says(openai_client, text) for text in asked),
    )
    assert told == [f"echo: {text}" for text in asked] * 3


async def test_several_answers_come_in_one_stream(openai_client: openai.AsyncOpenAI) -> None:
    stream = await openai_client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "hi"}], n=3, stream=True
    )
    texts = ["", "", ""]
    async for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == ["echo: hi"] * 3


async def test_prompts_as_a_list_are_answered_in_order(openai_client: openai.AsyncOpenAI) -> None:
    reply = await openai_client.completions.create(model=MODEL, prompt=["one", "two"], echo=True)
    assert [choice.text for choice in reply.choices] == ["oneecho: one", "twoecho: two"]


async def test_streams_that_are_left_give_their_place_to_the_next(
    openai_client: openai.AsyncOpenAI,
) -> None:
    for _ in range(8):
        stream = await openai_client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "count to 999999"}], stream=True
        )
        await anext(aiter(stream))
        await stream.close()
    assert await openai_says(openai_client, "hi") == "echo: hi"


async def test_a_server_that_stops_ends_a_stream_with_an_error(tmp_path: Path) -> None:
    with Serving(tmp_path, PUNA_ENGINE="scripted") as one:
        async with openai.AsyncOpenAI(base_url=f"{one.url}/v1", api_key="none") as client:
            stream = await client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": "count to 999999"}],
                max_tokens=10**8,
                stream=True,
            )
            chunks = aiter(stream)
            await anext(chunks)
            one.process.terminate()
            with pytest.raises(openai.APIError, match="the server is stopping"):
                async for _ in chunks:
                    pass
