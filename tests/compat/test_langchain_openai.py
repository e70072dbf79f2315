"""`langchain-openai`, unmodified, against a server with a real model."""

import pytest
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel, SecretStr

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


def a_chat(server: Serving, limit: int = 12) -> ChatOpenAI:
    return ChatOpenAI(
        model="smollm2",
        base_url=f"{server.url}/v1",
        api_key=SecretStr("none"),
        temperature=0,
        max_completion_tokens=limit,
    )


def test_a_chat_model_answers_with_usage(server: Serving) -> None:
    message = a_chat(server).invoke("What is a hamburger? One sentence.")
    assert "hamburger" in message.text.lower()
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] == 12
    assert message.response_metadata["finish_reason"] == "length"


def test_a_chat_model_streams(server: Serving) -> None:
    chunks = list(a_chat(server).stream("Say hi"))
    assert len([chunk.text for chunk in chunks if chunk.text]) > 1


async def test_a_chat_model_answers_without_blocking(server: Serving) -> None:
    assert (await a_chat(server).ainvoke("Say hi")).text


def test_structured_output_is_an_object(server: Serving) -> None:
    chat = a_chat(server, limit=80).with_structured_output(Dog, method="json_schema")
    assert isinstance(chat.invoke("Rex is a dog, 3 years old."), Dog)


def test_several_answers_are_generated(server: Serving) -> None:
    chat = ChatOpenAI(
        model="smollm2",
        base_url=f"{server.url}/v1",
        api_key=SecretStr("none"),
        max_completion_tokens=4,
        n=2,
    )
    assert len(chat.generate([[HumanMessage("Say hi")]]).generations[0]) == 2


def test_a_completion_model_answers(server: Serving) -> None:
    model = OpenAI(
        model="smollm2", base_url=f"{server.url}/v1", api_key=SecretStr("none"), max_tokens=5
    )
    assert model.invoke("Once upon a time")
