"""The paths of OpenAI's API. Each reads a body, asks the node one thing and writes the answer."""

import asyncio
from collections.abc import Sequence

from fastapi import Request
from starlette.responses import Response

from puna.library.local import LocalModel
from puna.node.api.body import read_body
from puna.node.api.choices import Told, together
from puna.node.api.desk import Desk, desk_of, required
from puna.node.api.dialect import EVENTS
from puna.node.api.endpoint import Endpoint
from puna.node.api.links import bring_images
from puna.node.api.openai.chat import ChatWriter
from puna.node.api.openai.convert import chat_wish, completion_wish, read_prompts
from puna.node.api.openai.form import Form
from puna.node.api.openai.items import namespaces, response_wish
from puna.node.api.openai.responses import ResponseForm, ResponseWriter
from puna.node.api.openai.text import TextWriter
from puna.node.api.streaming import BARE_JSON, Flow, Writer, reply_with
from puna.node.api.wishes import Plan, Wish, plan
from puna.wire import openai as wire
from puna.wire.responses import Response as ResponseReply, ResponsesRequest

_ID_DIGITS = 24


async def chat_completions(request: Request) -> Response:
    """Answer a conversation, as OpenAI's chat completions do."""
    asked = await read_body(request, wire.ChatRequest)
    desk = desk_of(request)
    await bring_images(desk, [each.content for each in asked.messages or ()])
    model = desk.node.find(required(asked.model))
    wish = chat_wish(asked, model)
    planned = plan(desk.node, model, wish)
    writer = ChatWriter(_form(desk, asked, wish, planned, "chatcmpl"))
    return _reply(desk, planned, writer, stream=bool(asked.stream))


async def completions(request: Request) -> Response:
    """Go on from a text, or from several, as OpenAI's completions do."""
    asked = await read_body(request, wire.CompletionRequest)
    desk = desk_of(request)
    model = desk.node.find(required(asked.model))
    wish = completion_wish(asked, model)
    planned = plan(desk.node, model, wish)
    echoes = [str(prompt) for prompt in read_prompts(asked.prompt)] if asked.echo else []
    writer = TextWriter(_form(desk, asked, wish, planned, "cmpl"), echoes)
    return _reply(desk, planned, writer, stream=bool(asked.stream))


async def responses(request: Request) -> Response:
    """Answer a conversation, as OpenAI's responses do; nothing is kept."""
    asked = await read_body(request, ResponsesRequest)
    desk = desk_of(request)
    await bring_images(desk, [asked.input])
    world = desk.node.world
    model = desk.node.find(required(asked.model))
    planned = plan(desk.node, model, response_wish(asked, model))
    form = ResponseForm(
        id=f"resp_{world.token()}",
        created=int(world.now().timestamp()),
        asked=asked,
        new_id=world.token,
        namespaces=namespaces(asked),
        ignored=planned.ignored,
    )
    flow, writer = Flow(desk.node.answer(planned.asks[0]), desk.answers), ResponseWriter(form)
    return reply_with(
        flow, writer, streams=bool(asked.stream), stream_type=EVENTS, whole_type=BARE_JSON
    )


def _form(desk: Desk, asked: wire.Generation, wish: Wish, planned: Plan, prefix: str) -> Form:
    options = asked.stream_options
    return Form(
        id=f"{prefix}-{desk.node.world.token()[:_ID_DIGITS]}",
        model=asked.model or "",
        created=int(desk.node.world.now().timestamp()),
        choices=len(planned.asks),
        each=wish.count,
        includes_usage=options is not None and bool(options.include_usage),
        ignored=planned.ignored,
    )


def _reply(desk: Desk, planned: Plan, writer: Writer[Told], *, stream: bool) -> Response:
    answers = together([desk.node.answer(ask) for ask in planned.asks])
    return reply_with(
        Flow(answers, desk.answers),
        writer,
        streams=stream,
        stream_type=EVENTS,
        whole_type=BARE_JSON,
    )


async def models(request: Request) -> Response:
    """List the models of the store, newest first."""
    library = desk_of(request).node.library
    found: Sequence[LocalModel] = await asyncio.to_thread(lambda: library.list_models().models)
    listed = wire.Models(object="list", data=[_entry(each, each.label) for each in found])
    return Response(listed.to_json(), media_type=BARE_JSON)


async def model(request: Request) -> Response:
    """Tell about one model."""
    name = request.path_params["model"]
    found = await asyncio.to_thread(desk_of(request).node.find, name)
    return Response(_entry(found.local, name).to_json(), media_type=BARE_JSON)


def _entry(found: LocalModel, name: str) -> wire.Model:
    return wire.Model(
        id=name,
        object="model",
        created=int(found.modified_at.timestamp()),
        owned_by=found.name.namespace,
    )


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/v1/chat/completions",
        call=chat_completions,
        takes=wire.ChatRequest,
        gives=wire.ChatReply,
        streams=True,
    ),
    Endpoint(
        method="POST",
        path="/v1/completions",
        call=completions,
        takes=wire.CompletionRequest,
        gives=wire.CompletionReply,
        streams=True,
    ),
    Endpoint(
        method="POST",
        path="/v1/responses",
        call=responses,
        takes=ResponsesRequest,
        gives=ResponseReply,
        streams=True,
    ),
    Endpoint(method="GET", path="/v1/models", call=models, gives=wire.Models),
    Endpoint(method="GET", path="/v1/models/{model:path}", call=model, gives=wire.Model),
)
