"""`pydantic-ai`, unmodified: its provider for OpenAI and the one for Ollama, with a real model."""

from collections.abc import AsyncIterator, Callable

import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, ModelHTTPError, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers import Provider
from pydantic_ai.providers.ollama import OllamaProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings

from tests.serving import Serving

pytestmark = [
    pytest.mark.model,
    pytest.mark.journey,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the client's own unclosed sockets
]

PROVIDERS: dict[str, Callable[[AsyncOpenAI], Provider[AsyncOpenAI]]] = {
    "openai": lambda client: OpenAIProvider(openai_client=client),
    "ollama": lambda client: OllamaProvider(openai_client=client),
}
BRIEF = ModelSettings(temperature=0, max_tokens=12)


class Dog(BaseModel):
    """A dog."""

    name: str
    age: int


@pytest.fixture
async def client(server: Serving) -> AsyncIterator[AsyncOpenAI]:
    """A client of this test alone: the one that a provider makes is kept beyond its event loop."""
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none") as one:
        yield one


@pytest.fixture(params=PROVIDERS)
def model(client: AsyncOpenAI, request: pytest.FixtureRequest) -> OpenAIChatModel:
    return OpenAIChatModel("smollm2", provider=PROVIDERS[request.param](client))


async def test_an_agent_answers_with_usage(model: OpenAIChatModel) -> None:
    done = await Agent(model, model_settings=BRIEF).run("What is a hamburger?")
    assert "hamburger" in done.output.lower()
    assert done.usage.output_tokens == 12


async def test_an_agent_streams(model: OpenAIChatModel) -> None:
    async with Agent(model, model_settings=BRIEF).run_stream("Say hi") as stream:
        texts = [text async for text in stream.stream_text(delta=True)]
    assert "".join(texts)


async def test_an_agent_remembers(model: OpenAIChatModel) -> None:
    agent = Agent(model, model_settings=BRIEF, instructions="Be brief.")
    first = await agent.run("My name is Ada.")
    second = await agent.run("Hello again", message_history=first.all_messages())
    assert len(second.all_messages()) == 4


async def test_an_agent_fills_a_shape(model: OpenAIChatModel) -> None:
    settings = ModelSettings(temperature=0, max_tokens=80)
    agent = Agent(model, output_type=NativeOutput(Dog), model_settings=settings)
    assert isinstance((await agent.run("Rex is a dog, 3 years old.")).output, Dog)


async def test_a_missing_model_is_its_own_error(client: AsyncOpenAI) -> None:
    provider = OllamaProvider(openai_client=client)
    with pytest.raises(ModelHTTPError) as missing:
        await Agent(OpenAIChatModel("none", provider=provider)).run("Hi")
    assert missing.value.status_code == 404
