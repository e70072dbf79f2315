"""The paths that turn texts into vectors and into tokens, as Ollama's clients ask for them."""

from collections.abc import Mapping

from fastapi import Request
from pydantic import JsonValue
from starlette.responses import Response

from puna.errors import Invalid, NotFound
from puna.models.details import Capability
from puna.models.options import Options
from puna.node.api.body import read_body
from puna.node.api.desk import Desk, desk_of
from puna.node.api.endpoint import Endpoint
from puna.node.api.ollama.convert import read_keep_alive
from puna.node.api.once import in_time
from puna.node.api.vectors import check_embeds, cut_headers, vector_json, vectors_json
from puna.node.embedding import EmbedAsk, Embedding
from puna.node.engine.request import Purpose
from puna.node.served import ServedModel
from puna.node.tokens import TokenAsk, Tokenized
from puna.wire import vectors as wire

_RAW_FAMILIES = frozenset({"bert", "nomic-bert", "nomic-bert-moe"})
"""Families of which `/api/embeddings` gives the vectors as the model makes them."""


async def embed(request: Request) -> Response:
    """Return a vector for each text; load the model if there is none."""
    asked = await read_body(request, wire.EmbedRequest)
    inputs = read_inputs(asked.input)
    desk, keep_alive = desk_of(request), read_keep_alive(asked.keep_alive)
    model = _found(desk, asked.model)
    check_embeds(model, asked.model or "")
    parsed = desk.node.options(model, asked.options or {})
    ask = EmbedAsk(
        wanted=desk.node.plan(model, parsed.options.loading, Purpose.EMBED),
        inputs=inputs,
        keep_alive=keep_alive,
        truncate=desk.node.truncates if asked.truncate is None else asked.truncate,
        most_tokens=_most_tokens(asked.options or {}, parsed.options),
        dimensions=_dimensions(asked.dimensions),
    )
    return in_time(
        desk,
        desk.node.embed(ask),
        lambda found: _embedded(asked.model or "", found, parsed.ignored),
        lambda found: cut_headers(found.cuts, parsed.ignored),
    )


async def embeddings(request: Request) -> Response:
    """Return the vector of one text, the older way; load the model if there is no text."""
    asked = await read_body(request, wire.EmbeddingsRequest)
    desk, keep_alive = desk_of(request), read_keep_alive(asked.keep_alive)
    model = _found(desk, asked.model)
    check_embeds(model, asked.model or "")
    parsed = desk.node.options(model, asked.options or {})
    ask = EmbedAsk(
        wanted=desk.node.plan(model, parsed.options.loading, Purpose.EMBED),
        inputs=(asked.prompt,) if asked.prompt else (),
        keep_alive=keep_alive,
        truncate=False,
        normalize=model.header.architecture not in _RAW_FAMILIES,
    )
    return in_time(
        desk,
        desk.node.embed(ask),
        lambda found: b'{"embedding":' + vector_json(*found.vectors or ((),)) + b"}",
        lambda found: cut_headers(found.cuts, parsed.ignored),
    )


async def tokenize(request: Request) -> Response:
    """Return the tokens of a text, by the model's own tokenizer."""
    asked = await read_body(request, wire.TokenizeRequest)
    desk = desk_of(request)
    if asked.content is None:
        raise Invalid("content is required", hint='send {"model": "...", "content": "..."}')
    work = desk.node.tokenize(
        _token_ask(desk, asked), asked.content, add_special=asked.add_special is True
    )
    return in_time(desk, work, lambda found: _tokens(asked.model or "", found))


async def detokenize(request: Request) -> Response:
    """Return the text of tokens."""
    asked = await read_body(request, wire.DetokenizeRequest)
    desk = desk_of(request)
    if asked.tokens is None:
        raise Invalid("tokens is required", hint='send {"model": "...", "tokens": [...]}')
    work = desk.node.detokenize(_token_ask(desk, asked), tuple(asked.tokens))
    return in_time(desk, work, lambda found: _text(asked.model or "", found))


def read_inputs(value: JsonValue) -> tuple[str, ...]:
    """Return the texts of `input`: one, several, or none. Raises `Invalid`."""
    if value is None or value == "":
        return ()
    values = value if isinstance(value, list) else [value]
    texts = tuple(each for each in values if isinstance(each, str))
    if len(texts) != len(values):
        raise Invalid("invalid input type")
    return texts


def _most_tokens(given: Mapping[str, object], options: Options) -> int | None:
    """Return the context that was asked for, though one that is larger may be loaded.

    A context of 0 is automatic for a chat; here Ollama means it, and no text fits.
    """
    return 0 if given.get("num_ctx") == 0 else options.loading.num_ctx


def _dimensions(value: int | None) -> int:
    if value is not None and value < 0:
        raise Invalid(f"dimensions must be 0 or more, not {value}")
    return value or 0


def _found(desk: Desk, name: str | None) -> ServedModel:
    if not name:
        raise NotFound("model '' not found")
    return desk.node.find(name)


def _token_ask(desk: Desk, asked: wire.ModelBody) -> TokenAsk:
    """Have the model loaded for what it is mostly used for, since tokens are the same."""
    keep_alive, model = read_keep_alive(asked.keep_alive), _found(desk, asked.model)
    purpose = Purpose.ANSWER if Capability.COMPLETION in model.abilities else Purpose.EMBED
    parsed = desk.node.options(model, asked.options or {})
    return TokenAsk(desk.node.plan(model, parsed.options.loading, purpose), keep_alive)


def _embedded(model: str, found: Embedding, ignored: tuple[str, ...]) -> bytes:
    """Write the reply of `/api/embed`; by hand, for the vectors are most of it."""
    rest = wire.EmbedReply(
        model=model,
        embeddings=[],
        total_duration=found.total_span,
        load_duration=found.load_span,
        prompt_eval_count=found.tokens,
        truncated=[
            wire.TruncatedText(
                index=each.index,
                tokens=each.tokens,
                kept_tokens=each.kept_tokens,
                is_estimate=each.is_estimate,
            )
            for each in found.cuts
        ],
        ignored=list(ignored),
    ).to_json()
    before, key, after = rest.partition(b'"embeddings":')
    return before + key + vectors_json(found.vectors) + after.removeprefix(b"[]")


def _tokens(model: str, found: Tokenized) -> bytes:
    return wire.TokenizeReply(
        model=model,
        tokens=list(found.tokens),
        count=len(found.tokens),
        load_duration=found.load_span,
    ).to_json()


def _text(model: str, found: Tokenized) -> bytes:
    return wire.DetokenizeReply(
        model=model, content=found.text, load_duration=found.load_span
    ).to_json()


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/embed",
        call=embed,
        takes=wire.EmbedRequest,
        gives=wire.EmbedReply,
    ),
    Endpoint(
        method="POST",
        path="/api/embeddings",
        call=embeddings,
        takes=wire.EmbeddingsRequest,
        gives=wire.EmbeddingsReply,
    ),
    Endpoint(
        method="POST",
        path="/api/tokenize",
        call=tokenize,
        takes=wire.TokenizeRequest,
        gives=wire.TokenizeReply,
    ),
    Endpoint(
        method="POST",
        path="/api/detokenize",
        call=detokenize,
        takes=wire.DetokenizeRequest,
        gives=wire.DetokenizeReply,
    ),
)
