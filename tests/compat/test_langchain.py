"""`langchain-ollama`, unmodified, against a server with a real model."""

import pytest
from langchain_ollama import ChatOllama, OllamaLLM
from pydantic import BaseModel

from tests.serving import Serving

pytestmark = [
    pytest.mark.model,
    pytest.mark.journey,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the client's own unclosed sockets
]


class Dog(BaseModel):
    """A dog."""

    name: str
    age: int


@pytest.fixture
def chat(server: Serving) -> ChatOllama:
    return ChatOllama(
        model="smollm2",
        base_url=server.url,
        num_predict=12,
        temperature=0,
        validate_model_on_init=True,
    )


def test_a_chat_model_answers_with_usage(chat: ChatOllama) -> None:
    message = chat.invoke("What is a hamburger?")
    assert "hamburger" in message.text.lower()
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] == 12
    assert message.response_metadata["done_reason"] == "length"


def test_a_chat_model_streams(chat: ChatOllama) -> None:
    texts = [chunk.text for chunk in chat.stream("Say hi")]
    assert len([text for text in texts if text]) > 1


async def test_a_chat_model_answers_without_blocking(chat: ChatOllama) -> None:
    assert (await chat.ainvoke("Say hi")).text


def test_a_batch_is_answered(chat: ChatOllama) -> None:
    assert len([message.text for message in chat.batch(["Say hi", "Say bye", "Count"])]) == 3


def test_structured_output_is_an_object(server: Serving) -> None:
    chat = ChatOllama(model="smollm2", base_url=server.url, num_predict=80, temperature=0)
    dog = chat.with_structured_output(Dog, method="json_schema").invoke("Rex is 3 years old.")
    assert isinstance(dog, Dog)


def test_a_completion_model_answers(server: Serving) -> None:
    model = OllamaLLM(model="smollm2", base_url=server.url, num_predict=5)
    assert model.invoke("Once upon a time")
