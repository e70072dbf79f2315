"""`llama-index-llms-ollama`, unmodified, against a server with a real model."""

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.llms.ollama import Ollama

from tests.serving import Serving

pytestmark = [
    pytest.mark.model,
    pytest.mark.journey,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the client's own unclosed sockets
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of what it is made from
]


def a_model(server: Serving, *, json_mode: bool = False) -> Ollama:
    return Ollama(
        model="smollm2",
        base_url=server.url,
        request_timeout=60,
        context_window=2048,
        temperature=0,
        additional_kwargs={"num_predict": 12},
        json_mode=json_mode,
    )


def test_it_completes(server: Serving) -> None:
    assert "hamburger" in a_model(server).complete("What is a hamburger?").text.lower()


def test_it_chats(server: Serving) -> None:
    reply = a_model(server).chat([ChatMessage(role="user", content="What is a hamburger?")])
    assert "hamburger" in (reply.message.content or "").lower()


def test_it_streams(server: Serving) -> None:
    messages = [ChatMessage(role="user", content="Say hi")]
    texts = [chunk.delta for chunk in a_model(server).stream_chat(messages)]
    assert len([text for text in texts if text]) > 1


async def test_it_answers_without_blocking(server: Serving) -> None:
    assert (await a_model(server).acomplete("Say hi")).text


def test_json_mode_is_an_object(server: Serving) -> None:
    reply = a_model(server, json_mode=True).complete("A dog named Rex, as JSON.")
    assert reply.text.startswith("{")
