"""Vectors as OpenAI's clients ask for them, and documents by fit as Jina's and Cohere's do."""

from base64 import b64encode
from collections.abc import Sequence

from fastapi import Request
from pydantic import JsonValue
from starlette.responses import Response

from puna.errors import Invalid
from puna.node.api.body import read_body
from puna.node.api.desk import desk_of, required
from puna.node.api.endpoint import Endpoint
from puna.node.api.once import in_time
from puna.node.api.vectors import check_embeds, check_reranks, cut_headers, vector_json
from puna.node.embedding import EmbedAsk, Embedding
from puna.node.engine.request import Purpose
from puna.node.engine.vectors import Input, Vector
from puna.node.reranking import RerankAsk, Reranking, best
from puna.wire import openai_vectors as wire

_FLOAT, _BASE64 = "float", "base64"
_PROBABILITIES = frozenset({"qwen3", "qwen3moe"})
"""Families whose rerankers say how likely it is that a document fits; others give any number."""


async def embeddings(request: Request) -> Response:
    """Return a vector for each text or list of tokens."""
    asked = await read_body(request, wire.OpenAIEmbeddingsRequest)
    name = required(asked.model)
    inputs, form = read_inputs(asked.input), _read_form(asked.encoding_format)
    desk = desk_of(request)
    model = desk.node.find(name)
    check_embeds(model, name)
    ask = EmbedAsk(
        wanted=desk.node.plan(model, model.options.loading, Purpose.EMBED),
        inputs=inputs,
        truncate=desk.node.truncates,
        dimensions=_positive("dimensions", asked.dimensions),
    )
    return in_time(
        desk,
        desk.node.embed(ask),
        lambda found: _embedded(name, found, form),
        lambda found: cut_headers(found.cuts),
    )


async def rerank(request: Request) -> Response:
    """Return documents by how well they fit a query, best first."""
    asked = await read_body(request, wire.RerankRequest)
    name = required(asked.model)
    if not asked.query:
        raise Invalid("query is required")
    documents = _read_documents(asked.documents)
    most = _positive("top_n", asked.top_n) or None
    desk = desk_of(request)
    model = desk.node.find(name)
    check_reranks(model, name)
    ask = RerankAsk(
        wanted=desk.node.plan(model, model.options.loading, Purpose.EMBED),
        query=asked.query,
        documents=documents,
        truncate=desk.node.truncates,
        is_probability=model.header.architecture in _PROBABILITIES,
    )
    shown = documents if asked.return_documents else ()
    return in_time(
        desk,
        desk.node.rerank(ask),
        lambda found: _ranked(name, found, most, shown),
        lambda found: cut_headers(found.cuts),
    )


def read_inputs(value: JsonValue) -> tuple[Input, ...]:
    """Return what is to be embedded: texts, or tokens as they are. Raises `Invalid`."""
    if isinstance(value, str):
        return (_text(value),)
    if not isinstance(value, list) or not value:
        raise Invalid("input must be a text, a list of texts, or tokens, and not empty")
    if all(_is_token(each) for each in value):
        return (_tokens(value),)
    return tuple(_text(each) if isinstance(each, str) else _tokens(each) for each in value)


def _text(text: str) -> str:
    if not text:
        raise Invalid("input must not be an empty text")
    return text


def _tokens(value: JsonValue) -> tuple[int, ...]:
    if not isinstance(value, list) or not value or not all(_is_token(each) for each in value):
        raise Invalid("input must be a text, a list of texts, or tokens, and not empty")
    return tuple(each for each in value if isinstance(each, int))


def _is_token(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _read_form(value: str | None) -> str:
    if value not in {None, _FLOAT, _BASE64}:
        raise Invalid("encoding_format must be float or base64")
    return value or _FLOAT


def _positive(name: str, value: int | None) -> int:
    if value is not None and value < 1:
        raise Invalid(f"{name} must be at least 1, not {value}")
    return value or 0


def _read_documents(values: Sequence[JsonValue] | None) -> tuple[str, ...]:
    """Return the documents, which may be objects with a text. Raises `Invalid`."""
    if not values:
        raise Invalid("documents must be a list of texts, and not empty")
    texts = [each.get("text") if isinstance(each, dict) else each for each in values]
    found = tuple(each for each in texts if isinstance(each, str))
    if len(found) != len(texts):
        raise Invalid("documents must be texts, or objects with a text")
    return found


def _embedded(model: str, found: Embedding, form: str) -> bytes:
    """Write the reply of `/v1/embeddings`; by hand, for the vectors are most of it."""
    rest = wire.OpenAIEmbeddingsReply(
        object="list", data=[], model=model, usage=_usage(found.tokens)
    ).to_json()
    entries = (
        b'{"object":"embedding","embedding":%b,"index":%d}' % (_vector(each, form), index)
        for index, each in enumerate(found.vectors)
    )
    before, key, after = rest.partition(b'"data":')
    return before + key + b"[" + b",".join(entries) + b"]" + after.removeprefix(b"[]")


def _vector(vector: Vector, form: str) -> bytes:
    if form == _BASE64:
        return b'"%b"' % b64encode(vector.tobytes())
    return vector_json(vector)


def _ranked(model: str, found: Reranking, most: int | None, documents: Sequence[str]) -> bytes:
    return wire.RerankReply(
        model=model,
        results=[
            wire.RankedEntry(
                index=place,
                relevance_score=found.scores[place],
                document=wire.RankedDocument(text=documents[place]) if documents else None,
            )
            for place in best(found, most)
        ],
        usage=_usage(found.tokens),
    ).to_json()


def _usage(tokens: int) -> wire.EmbeddingUsage:
    return wire.EmbeddingUsage(prompt_tokens=tokens, total_tokens=tokens)


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/v1/embeddings",
        call=embeddings,
        takes=wire.OpenAIEmbeddingsRequest,
        gives=wire.OpenAIEmbeddingsReply,
    ),
    Endpoint(
        method="POST",
        path="/v1/rerank",
        call=rerank,
        takes=wire.RerankRequest,
        gives=wire.RerankReply,
    ),
)
