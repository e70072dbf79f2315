"""The paths of Ollama's API. Each reads a body, asks the node one thing and writes the answer.

What a path takes and gives stands in `ENDPOINTS`, from which the application and its OpenAPI page
are made. Bodies are read by hand (`read_body`) because Ollama takes JSON under any Content-Type.
"""

import asyncio

from fastapi import Request
from starlette.responses import PlainTextResponse, Response

from puna.errors import NotFound
from puna.library.store import ModelNotFound
from puna.models.name import InvalidName, ModelName
from puna.models.option_text import go_quoted
from puna.node.api.body import read_body
from puna.node.api.desk import desk_of, required
from puna.node.api.endpoint import Endpoint
from puna.node.api.ollama import shelf
from puna.node.api.ollama.convert import (
    Wishes,
    chat_subject,
    check_generate,
    generate_subject,
    read_terms,
)
from puna.node.api.ollama.generation import Call, reply_to
from puna.node.api.ollama.lines import Shape
from puna.node.api.ollama.making import create, has_blob, take_blob
from puna.node.api.ollama.progress import progress_reply
from puna.node.api.streaming import JSON
from puna.version import OLLAMA_VERSION, __version__
from puna.wire import ollama as wire


async def greet(_request: Request) -> Response:
    """Say that a node is here, in the words that Ollama's clients look for."""
    return PlainTextResponse("Ollama is running")


async def version(_request: Request) -> Response:
    """Tell the Ollama version whose formats are spoken, and puna's own version."""
    return _json(wire.Version(version=OLLAMA_VERSION, puna=__version__))


async def tags(request: Request) -> Response:
    """List the models of the store, newest first."""
    library = desk_of(request).node.library
    return _json(await asyncio.to_thread(lambda: shelf.tags(library.list_models().models)))


async def running(request: Request) -> Response:
    """List the models in memory, longest expiry first."""
    node = desk_of(request).node
    now = node.world.now()
    entries = [shelf.running_entry(each, model, now) for each, model in node.running()]
    return _json(wire.Running(models=entries))


async def show(request: Request) -> Response:
    """Tell everything about one model."""
    asked = await read_body(request, wire.ShowRequest)
    node = desk_of(request).node
    name = required(asked.model or asked.name)
    return _json(await asyncio.to_thread(lambda: shelf.show(node.find(name).local, asked)))


async def copy(request: Request) -> Response:
    """Give a model a second name."""
    asked = await read_body(request, wire.CopyRequest)
    source = _name(asked.source, 'source "{}" is invalid')
    destination = _name(asked.destination, 'destination "{}" is invalid')
    try:
        await desk_of(request).node.copy(source, destination, typed=asked.source or "")
    except ModelNotFound as error:
        # Only here does Ollama quote the name so.
        missing = f"model {go_quoted(asked.source or '')} not found"
        raise NotFound(missing, hint=error.hint) from error
    return Response()


async def delete(request: Request) -> Response:
    """Remove a model's name, and the files that no other model uses."""
    asked = await read_body(request, wire.DeleteRequest)
    typed = required(asked.model or asked.name)
    await desk_of(request).node.remove(_name(typed, 'name "{}" is invalid'), typed=typed)
    return Response()


async def pull(request: Request) -> Response:
    """Fetch a model into the store, telling how far it is."""
    asked = await read_body(request, wire.PullRequest)
    desk = desk_of(request)
    name, insecure = asked.model or asked.name or "", bool(asked.insecure)
    events = desk.node.pull(name, insecure=insecure)
    return progress_reply(desk, events, streams=asked.stream is not False)


async def push(request: Request) -> Response:
    """Send a model to the registry in its name, telling how far it is."""
    asked = await read_body(request, wire.PushRequest)
    desk = desk_of(request)
    name, insecure = required(asked.model or asked.name), bool(asked.insecure)
    events = desk.node.push(name, insecure=insecure)
    return progress_reply(desk, events, streams=asked.stream is not False)


async def generate(request: Request) -> Response:
    """Answer a prompt; load the model if the prompt is empty, or unload it if `keep_alive` is 0."""
    asked = await read_body(request, wire.GenerateRequest)
    desk, terms = desk_of(request), read_terms(asked)
    if not asked.model:
        raise NotFound("model '' not found")
    model = desk.node.find(asked.model)
    check_generate(asked)
    call = Call(
        asked=asked,
        terms=terms,
        model=model,
        shape=Shape.GENERATE,
        wishes=Wishes(
            verb="generate",
            images=bool(asked.images),
            insert=bool(asked.suffix),
            think=terms.think,
            template=not (asked.raw or asked.template),
        ),
        subject=lambda: generate_subject(
            asked, model, terms.think, today=desk.node.world.now().date()
        ),
        is_empty=not (asked.prompt or asked.images),
        tells_context=not asked.raw,
    )
    return await reply_to(desk, call)


async def chat(request: Request) -> Response:
    """Answer a conversation; load the model if it is empty, or unload it if `keep_alive` is 0."""
    asked = await read_body(request, wire.ChatRequest)
    desk, terms, messages = desk_of(request), read_terms(asked), asked.messages or []
    model = desk.node.find(required(asked.model))
    call = Call(
        asked=asked,
        terms=terms,
        model=model,
        shape=Shape.CHAT,
        wishes=Wishes(
            verb="chat",
            images=any(message.images for message in messages),
            tools=bool(asked.tools),
            is_forced=asked.tool_choice not in (None, "auto", "none"),
            think=terms.think,
        ),
        subject=lambda: chat_subject(asked, model, terms.think),
        is_empty=not messages,
    )
    return await reply_to(desk, call)


def _json(reply: wire.Reply) -> Response:
    return Response(reply.to_json(), media_type=JSON)


def _name(text: str | None, complaint: str) -> ModelName:
    try:
        return ModelName.parse(text or "")
    except InvalidName as error:
        raise InvalidName(complaint.format(text or ""), hint=error.hint) from error


ENDPOINTS = (
    Endpoint(method="GET", path="/", call=greet),
    Endpoint(method="HEAD", path="/", call=greet),
    Endpoint(method="GET", path="/api/version", call=version, gives=wire.Version),
    Endpoint(method="HEAD", path="/api/version", call=version),
    Endpoint(method="GET", path="/api/tags", call=tags, gives=wire.Tags),
    Endpoint(method="HEAD", path="/api/tags", call=tags),
    Endpoint(method="GET", path="/api/ps", call=running, gives=wire.Running),
    Endpoint(method="POST", path="/api/show", call=show, takes=wire.ShowRequest, gives=wire.Show),
    Endpoint(
        method="POST",
        path="/api/generate",
        call=generate,
        takes=wire.GenerateRequest,
        gives=wire.GenerateReply,
        streams=True,
    ),
    Endpoint(
        method="POST",
        path="/api/chat",
        call=chat,
        takes=wire.ChatRequest,
        gives=wire.ChatReply,
        streams=True,
    ),
    Endpoint(method="POST", path="/api/copy", call=copy, takes=wire.CopyRequest),
    Endpoint(method="DELETE", path="/api/delete", call=delete, takes=wire.DeleteRequest),
    Endpoint(
        method="POST",
        path="/api/create",
        call=create,
        takes=wire.CreateRequest,
        gives=wire.PullProgress,
        streams=True,
    ),
    Endpoint(method="HEAD", path="/api/blobs/{digest:path}", call=has_blob),
    Endpoint(method="POST", path="/api/blobs/{digest:path}", call=take_blob),
    Endpoint(
        method="POST",
        path="/api/pull",
        call=pull,
        takes=wire.PullRequest,
        gives=wire.PullProgress,
        streams=True,
    ),
    Endpoint(
        method="POST",
        path="/api/push",
        call=push,
        takes=wire.PushRequest,
        gives=wire.PullProgress,
        streams=True,
    ),
)
