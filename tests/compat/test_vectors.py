"""Clients that ask for vectors, unmodified, against a server with the real MiniLM and SmolLM2."""

import pytest
from langchain_ollama import OllamaEmbeddings
from ollama import Client, ResponseError
from openai import OpenAI

from tests.embedders import write_minilm
from tests.serving import Serving

pytestmark = [
    pytest.mark.model,
    pytest.mark.journey,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the clients' own unclosed sockets
]
FOOD = "A man is eating food."
MEAL = "A man eats a meal."
BONDS = "Bond yields rose after the central bank raised its rates."


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_minilm(tmp_path_factory.mktemp("minilm") / "minilm.gguf"))


def cosine(first: list[float], second: list[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))


def test_ollamas_client_embeds(server: Serving, minilm: str) -> None:
    reply = Client(server.url).embed(minilm, [FOOD, MEAL, BONDS])
    food, meal, bonds = (list(each) for each in reply.embeddings)
    assert cosine(food, meal) == pytest.approx(0.908, abs=0.003)
    assert abs(cosine(food, bonds)) < 0.1
    assert reply.prompt_eval_count


def test_ollamas_client_embeds_the_older_way(server: Serving, minilm: str) -> None:
    reply = Client(server.url).embeddings(minilm, "why is the sky blue?")
    assert reply.embedding[0] == pytest.approx(0.0664, abs=1e-3)


def test_ollamas_client_hears_of_a_text_that_is_too_long(server: Serving, minilm: str) -> None:
    with pytest.raises(ResponseError, match="the input length exceeds the context length"):
        Client(server.url).embed(minilm, "word " * 600, truncate=False)


def test_a_model_that_answers_embeds_as_well(server: Serving) -> None:
    reply = Client(server.url).embed("smollm2", [FOOD, MEAL, BONDS], dimensions=64)
    food, meal, bonds = (list(each) for each in reply.embeddings)
    assert len(food) == 64
    assert cosine(food, meal) > cosine(food, bonds)


def test_langchain_embeds(server: Serving, minilm: str) -> None:
    model = OllamaEmbeddings(model=minilm, base_url=server.url)
    assert len(model.embed_documents([FOOD, MEAL])) == 2
    assert len(model.embed_query(FOOD)) == 384


def test_openais_client_embeds(server: Serving, minilm: str) -> None:
    client = OpenAI(base_url=f"{server.url}/v1", api_key="x")
    reply = client.embeddings.create(model=minilm, input=[FOOD, MEAL], dimensions=100)
    assert [len(each.embedding) for each in reply.data] == [100, 100]
    assert reply.usage.prompt_tokens == 16
    whole = client.embeddings.create(model=minilm, input=FOOD, encoding_format="float")
    assert len(whole.data[0].embedding) == 384
