"""The vendors' clients send images to a real model with a projector of random numbers."""

import urllib.request
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import anthropic
import ollama
import openai
import pytest
from anthropic.types import MessageParam
from langchain_core.messages import HumanMessage
from langchain_ollama import ChatOllama

from tests.pictures import a_picture, as_text, as_url, write_projector
from tests.serving import Serving

pytestmark = [
    pytest.mark.model,
    pytest.mark.journey,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the clients' own unclosed sockets
]

MODEL = "eyes"
TOKENS = 16
"""What one image takes."""
RED, BLUE = a_picture("red"), a_picture("blue", (90, 30), "jpeg")


@pytest.fixture(scope="module")
def seeing(server: Serving, tmp_path_factory: pytest.TempPathFactory) -> Serving:
    """The server, with SmolLM2 and a projector as the model `eyes`."""
    content = write_projector(tmp_path_factory.mktemp("eyes") / "mmproj.gguf").read_bytes()
    digest = f"sha256:{sha256(content).hexdigest()}"
    urllib.request.urlopen(server.url + f"/api/blobs/{digest}", content, timeout=60).close()  # noqa: S310
    files = {"mmproj.gguf": digest}
    made = server.ask("/api/create", {"model": MODEL, "from": "smollm2", "files": files})
    assert made.last == {"status": "success"}
    return server


@pytest.fixture
def client(seeing: Serving) -> Iterator[ollama.Client]:
    with ollama.Client(seeing.url) as one:
        yield one


@pytest.fixture
def openai_client(seeing: Serving) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{seeing.url}/v1", api_key="none", max_retries=0) as one:
        yield one


@pytest.fixture
def anthropic_client(seeing: Serving) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=seeing.url, api_key="none", max_retries=0) as one:
        yield one


def ollama_chat(client: ollama.Client, *images: object) -> ollama.ChatResponse:
    turn = {"role": "user", "content": "What is it?", "images": list(images)}
    return client.chat(MODEL, [turn], options={"num_predict": 4, "temperature": 0})


def test_the_ollama_client_sends_files_bytes_and_text(
    client: ollama.Client, tmp_path: Path
) -> None:
    file = tmp_path / "red.png"
    file.write_bytes(RED)
    replies = [ollama_chat(client, each) for each in (file, RED, as_text(RED))]
    counts = {reply.prompt_eval_count for reply in replies}
    plain = ollama_chat(client).prompt_eval_count or 0
    assert len({reply.message.content for reply in replies}) == 1
    assert counts == {plain + TOKENS}


def test_the_ollama_client_sees_that_different_images_differ(client: ollama.Client) -> None:
    said = [
        client.generate(MODEL, "It is", images=[each], options={"num_predict": 8, "temperature": 0})
        for each in (RED, BLUE, RED)
    ]
    texts = [reply.response for reply in said]
    assert texts[0] == texts[2] != texts[1]


def test_the_ollama_client_is_told_that_a_model_sees_nothing(client: ollama.Client) -> None:
    assert "vision" in (client.show(MODEL).capabilities or [])
    with pytest.raises(ollama.ResponseError, match="does not support vision") as caught:
        client.chat("smollm2", [{"role": "user", "content": "What?", "images": [RED]}])
    assert caught.value.status_code == 400


def openai_usage(client: openai.OpenAI, *parts: dict[str, object]) -> int:
    content = [{"type": "text", "text": "What is it?"}, *parts]
    reply = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": content}],  # type: ignore[misc,list-item]
        max_completion_tokens=4,
    )
    assert reply.usage is not None
    return reply.usage.prompt_tokens


def test_the_openai_client_sends_parts(openai_client: openai.OpenAI) -> None:
    parts: list[dict[str, object]] = [
        {"type": "image_url", "image_url": {"url": as_url(RED), "detail": "low"}},
        {"type": "image_url", "image_url": {"url": as_url(BLUE, "jpeg")}},
    ]
    plain = openai_usage(openai_client)
    assert openai_usage(openai_client, parts[0]) == plain + TOKENS
    assert openai_usage(openai_client, *parts) == plain + 2 * TOKENS


def test_the_openai_client_sends_images_to_responses(openai_client: openai.OpenAI) -> None:
    words = {"type": "input_text", "text": "What is it?"}
    image = {"type": "input_image", "image_url": as_url(RED), "detail": "auto"}

    def asked(*content: object) -> int:
        reply = openai_client.responses.create(
            model=MODEL,
            input=[{"role": "user", "content": list(content)}],  # type: ignore[list-item,misc]
            max_output_tokens=4,
        )
        assert reply.usage is not None
        return reply.usage.input_tokens

    assert asked(words, image) == asked(words) + TOKENS


def test_the_openai_client_is_told_what_is_no_image(openai_client: openai.OpenAI) -> None:
    part: dict[str, object] = {"type": "image_url", "image_url": {"url": as_url(b"hello")}}
    with pytest.raises(openai.BadRequestError, match=r"messages\[0\].content\[1\]: invalid image"):
        openai_usage(openai_client, part)


def test_the_anthropic_client_sends_blocks_and_counts_them(
    anthropic_client: anthropic.Anthropic,
) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": as_text(RED)}
    blocks = [{"type": "image", "source": source}, {"type": "text", "text": "What is it?"}]
    turns: list[MessageParam] = [{"role": "user", "content": blocks}]  # type: ignore[misc,list-item]
    plain: list[MessageParam] = [{"role": "user", "content": "What is it?"}]
    counted = anthropic_client.messages.count_tokens(model=MODEL, messages=turns).input_tokens
    without = anthropic_client.messages.count_tokens(model=MODEL, messages=plain).input_tokens
    reply = anthropic_client.messages.create(model=MODEL, max_tokens=4, messages=turns)
    assert reply.usage.input_tokens == counted == without + TOKENS


def test_langchain_sends_images(seeing: Serving) -> None:
    model = ChatOllama(model=MODEL, base_url=seeing.url, num_predict=4, temperature=0)
    parts: list[str | dict[str, object]] = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": as_url(RED)},
    ]
    seen, blind = (
        model.invoke([HumanMessage(content=each)]).response_metadata["prompt_eval_count"]
        for each in (parts, parts[:1])
    )
    assert seen == blind + TOKENS
