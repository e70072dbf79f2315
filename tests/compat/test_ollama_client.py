"""The `ollama` package, unmodified, against a server with a real model."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import ollama
import pytest

from tests.serving import Serving

pytestmark = [
    pytest.mark.model,
    pytest.mark.journey,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the client's own unclosed sockets
]

QUESTION = [{"role": "user", "content": "What is a hamburger? One sentence."}]
BRIEF = {"num_predict": 12, "temperature": 0, "seed": 1}
DOG = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture
def client(server: Serving) -> Iterator[ollama.Client]:
    with ollama.Client(server.url) as one:
        yield one


def test_chat_answers_with_its_counters(client: ollama.Client) -> None:
    reply = client.chat("smollm2", QUESTION, options=BRIEF)
    assert "hamburger" in (reply.message.content or "").lower()
    assert (reply.done_reason, reply.eval_count) == ("length", 12)
    assert (reply.prompt_eval_count or 0) > 20
    assert (reply.total_duration or 0) >= (reply.eval_duration or 0) > 0


def test_a_stream_says_the_same_as_a_whole_answer(client: ollama.Client) -> None:
    whole = client.chat("smollm2", QUESTION, options=BRIEF).message.content
    chunks = list(client.chat("smollm2", QUESTION, options=BRIEF, stream=True))
    assert "".join(chunk.message.content or "" for chunk in chunks) == whole
    assert [chunk.done for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


def test_generate_streams_and_gives_a_context_to_go_on(client: ollama.Client) -> None:
    *_, last = client.generate("smollm2", "My name is Ada.", options=BRIEF, stream=True)
    assert last.context
    more = client.generate("smollm2", "And yours?", context=last.context, options=BRIEF)
    assert more.context
    assert list(more.context[: len(last.context)]) == list(last.context)


def test_a_seed_repeats_an_answer(client: ollama.Client) -> None:
    options = {"num_predict": 12, "temperature": 1.5, "seed": 42}
    texts = {client.generate("smollm2", "A story:", options=options).response for _ in range(2)}
    assert len(texts) == 1


def test_a_schema_is_kept(client: ollama.Client) -> None:
    messages = [{"role": "user", "content": "A dog named Rex, three years old, as JSON."}]
    reply = client.chat("smollm2", messages, format=DOG, options={**BRIEF, "num_predict": 60})
    assert set(json.loads(reply.message.content or "")) == {"name", "age"}


def test_an_object_has_the_properties_of_its_schema_and_no_others(client: ollama.Client) -> None:
    """As with Ollama: pydantic's schemas do not say `additionalProperties`."""
    schema = {key: value for key, value in DOG.items() if key != "additionalProperties"}
    options = {**BRIEF, "num_predict": 80}
    reply = client.generate("smollm2", "Rex, dog, 3", format=schema, options=options)
    assert set(json.loads(reply.response or "")) == {"name", "age"}


def test_logprobs_come_with_alternatives(client: ollama.Client) -> None:
    reply = client.chat("smollm2", QUESTION, logprobs=True, top_logprobs=3, options=BRIEF)
    assert reply.logprobs is not None
    assert len(reply.logprobs) == 12
    first = reply.logprobs[0]
    assert len(first.top_logprobs or []) == 3
    assert first.logprob <= 0


def test_lists_and_facts(client: ollama.Client) -> None:
    names = {model.model for model in client.list().models}
    card = client.show("smollm2")
    assert {"smollm2:latest", "smollm2:135m"} <= names
    assert card.capabilities == ["completion"]
    assert card.details is not None
    assert card.details.parameter_size == "134.52M"
    assert card.modelinfo is not None
    assert card.modelinfo["llama.context_length"] == 8192


def running_models(client: ollama.Client) -> dict[str | None, ollama.ProcessResponse.Model]:
    """What `ollama ps` lists, by name: tests before may have left models of their own."""
    return {model.model: model for model in client.ps().models}


def test_a_running_model_can_be_stopped(client: ollama.Client) -> None:
    client.generate("smollm2:135m", keep_alive=0)  # the same weights, under the name first used
    client.generate("smollm2", keep_alive="10m")
    running = running_models(client)["smollm2:latest"]
    assert running.expires_at is not None
    assert running.expires_at > datetime.now(UTC)
    client.generate("smollm2", keep_alive=0)
    assert "smollm2:latest" not in running_models(client)


def test_a_copy_can_be_used_and_deleted(client: ollama.Client) -> None:
    assert client.copy("smollm2", "mine").status == "success"
    assert client.generate("mine", "Hi", options=BRIEF).response
    assert client.delete("mine").status == "success"
    assert "mine:latest" not in {model.model for model in client.list().models}


def test_a_pull_of_what_is_here_succeeds(client: ollama.Client) -> None:
    *_, last = client.pull("smollm2", stream=True)
    assert last.status == "success"


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"model": "nope"}, 404, "model 'nope' not found"),
        ({"think": True}, 400, '"smollm2" does not support thinking'),
        ({"options": {"top_k": "many"}}, 500, 'option "top_k" must be of type integer'),
        ({"format": "xml"}, 500, "invalid format"),
    ],
)
def test_errors_arrive_as_the_client_s_own(
    client: ollama.Client, fields: dict[str, object], status: int, text: str
) -> None:
    body = {"model": "smollm2", "messages": QUESTION, "stream": False, **fields}
    with pytest.raises(ollama.ResponseError, match=text) as refusal:
        client._request_raw("POST", "/api/chat", json=body)  # type: ignore[no-untyped-call]
    assert refusal.value.status_code == status


async def test_the_asynchronous_client_streams(server: Serving) -> None:
    client = ollama.AsyncClient(server.url)
    chunks = await client.chat("smollm2", QUESTION, options=BRIEF, stream=True)
    assert "".join([chunk.message.content or "" async for chunk in chunks])
    await client.close()  # type: ignore[no-untyped-call]


def test_ten_megabytes_hold_up_no_other_client(server: Serving) -> None:
    """The engine's process reads the long prompt; other clients are answered meanwhile."""
    with ThreadPoolExecutor() as pool:
        prompt = "lorem ipsum dolor " * 600_000
        body = {"model": "smollm2", "prompt": prompt, "stream": False}
        body["options"] = {"num_ctx": 256, "num_predict": 2}  # to compute little is enough
        big = pool.submit(lambda: json.loads(server.open("/api/generate", body).read()))
        small = 0
        while not big.done():
            server.open("/api/version").read()
            small += 1
    assert big.result()["truncated"]["prompt_tokens"] > 600_000
    assert small >= 20


def test_a_model_without_training_for_it_calls_a_function_when_it_must(server: Serving) -> None:
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    }
    function = {"name": "get_weather", "description": "Weather", "parameters": parameters}
    body = {
        "model": "smollm2",
        "messages": [{"role": "user", "content": "What will the weather be in Oslo in 3 days?"}],
        "tools": [{"type": "function", "function": function}],
        "tool_choice": "required",
        "stream": False,
        "options": {"temperature": 0, "num_predict": 100},
    }
    message = json.loads(server.open("/api/chat", body).read())["message"]
    (call,) = message["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert isinstance(call["function"]["arguments"]["city"], str)
    assert isinstance(call["function"]["arguments"]["days"], int)
    assert message["content"] == ""
