"""Blobs come in, and models are made of them: `/api/blobs` and `/api/create`."""

import asyncio
from contextlib import ExitStack

from fastapi import Request
from pydantic import JsonValue
from starlette.responses import Response

from puna.errors import Invalid, NotFound
from puna.library.blobs import DigestMismatch
from puna.library.create import Recipe
from puna.library.store import ModelStore
from puna.library.threads import in_thread
from puna.models.digest import Digest, InvalidDigest
from puna.models.mix import Level
from puna.models.name import InvalidName, ModelName
from puna.node.api.body import read_body
from puna.node.api.desk import desk_of
from puna.node.api.ollama.convert import NotYet
from puna.node.api.ollama.progress import progress_reply
from puna.node.api.streaming import ClientVanished
from puna.wire import ollama as wire


async def has_blob(request: Request) -> Response:
    """Tell whether a blob is in the store."""
    digest = _digest(request)
    store = desk_of(request).node.library.store
    if await asyncio.to_thread(store.blobs.size, digest) is None:
        raise NotFound(f"blob {digest} is not in the store")
    return Response()


async def take_blob(request: Request) -> Response:
    """Take a blob into the store; the body is the blob, of any size."""
    digest = _digest(request)
    store = desk_of(request).node.library.store
    if await asyncio.to_thread(store.blobs.size, digest) is not None:
        return Response()
    try:
        await _receive(request, store, digest)
    except DigestMismatch as error:
        got = error.message.rpartition(" got ")[2]
        raise Invalid(f'digest mismatch, expected "{digest}", got "{got}"') from error
    return Response(status_code=201)


async def _receive(request: Request, store: ModelStore, digest: Digest) -> None:
    """Write the body to the disk as it comes; nothing stays of one that is cut or is not it."""
    stack = ExitStack()
    try:
        draft = await in_thread(stack.enter_context, store.draft())
        claimed = request.headers.get("content-length", "")
        if claimed.isdigit():
            await in_thread(draft.ensure_room, int(claimed))
        with draft.receive(digest) as incoming:
            has_more = True
            while has_more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientVanished("request canceled")
                has_more = message.get("more_body", False)
                if chunk := message.get("body", b""):
                    await in_thread(incoming.write, chunk)
    finally:
        await in_thread(stack.close)


def _digest(request: Request) -> Digest:
    text = str(request.path_params.get("digest", ""))
    try:
        return Digest.parse(text)
    except InvalidDigest as error:
        raise Invalid("invalid digest format", hint="it looks like sha256:<64 hex>") from error


async def create(request: Request) -> Response:
    """Make a model from another one, or from blobs that were sent before."""
    asked = await read_body(request, wire.CreateRequest)
    desk = desk_of(request)
    events = desk.node.create(read_recipe(asked), asked.from_ or "")
    return progress_reply(desk, events, streams=asked.stream is not False)


def read_recipe(asked: wire.CreateRequest) -> Recipe:
    """Return what is to be made. Raises `Invalid`, and `Unsupported` for what puna cannot do."""
    licenses = [asked.license] if isinstance(asked.license, str) else asked.license or []
    if asked.remote_host:
        raise NotYet("models on other hosts (remote_host) are not in this version of puna")
    claims = _claims(asked)
    said = tuple((each.role or "", each.content or "") for each in asked.messages or ())
    return Recipe(
        name=_name(asked),
        files=_digests(asked.files),
        adapters=_digests(asked.adapters),
        drafts=_digests(asked.draft_files),
        template=asked.template,
        system=asked.system,
        licenses=tuple(licenses),
        parameters=_parameters(asked.parameters or {}),
        messages=said or None,
        claims={name: value for name, value in claims.items() if value},
        level=_level(asked.quantize or asked.quantization),
        draft_level=_level(asked.draft_quantize),
    )


def _claims(asked: wire.CreateRequest) -> dict[str, object]:
    """Return the fields of the config that are asked for, by its own names for them."""
    info = asked.info or wire.CreateInfo()
    return {
        "renderer": asked.renderer,
        "parser": asked.parser,
        "requires": asked.requires,
        "capabilities": info.capabilities,
        "model_family": info.model_family,
        "base_name": info.base_name,
        "file_type": info.quantization_level,
        "model_type": info.parameter_size,
        "context_length": info.context_length,
        "embedding_length": info.embedding_length,
    }


def _level(text: str | None) -> Level | None:
    return Level.parse(text) if text else None


def _name(asked: wire.CreateRequest) -> ModelName:
    try:
        return ModelName.parse(asked.model or asked.name or "")
    except InvalidName as error:
        raise InvalidName("invalid model name", hint=error.hint) from error


def _digests(files: dict[str, str] | None) -> dict[str, Digest]:
    return {name: Digest.parse(digest) for name, digest in (files or {}).items()}


def _parameters(given: dict[str, JsonValue]) -> dict[str, object]:
    """Read a lone stop string as a list of one, as Modelfiles have it."""
    return {
        name: [value] if name == "stop" and isinstance(value, str) else value
        for name, value in given.items()
    }
