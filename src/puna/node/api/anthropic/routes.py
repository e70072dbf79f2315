"""The paths of Anthropic's API: each reads a body, asks the node one thing, writes the answer."""

from fastapi import Request
from starlette.responses import Response

from puna.node.api.anthropic.convert import message_wish, prompt_wish
from puna.node.api.anthropic.messages import MessageForm, MessageWriter
from puna.node.api.body import read_body
from puna.node.api.desk import desk_of, required
from puna.node.api.dialect import EVENTS
from puna.node.api.endpoint import Endpoint
from puna.node.api.links import bring_images
from puna.node.api.once import in_time
from puna.node.api.streaming import BARE_JSON, Flow, reply_with
from puna.node.api.wishes import plan
from puna.wire import anthropic as wire

_ID_DIGITS = 24


async def messages(request: Request) -> Response:
    """Answer a conversation, as Anthropic's messages do."""
    asked = await read_body(request, wire.MessagesRequest)
    desk = desk_of(request)
    await bring_images(desk, [each.content for each in asked.messages or ()])
    model = desk.node.find(required(asked.model))
    planned = plan(desk.node, model, message_wish(asked, model))
    form = MessageForm(
        id=f"msg_{desk.node.world.token()[:_ID_DIGITS]}",
        model=asked.model or "",
        stops=tuple(asked.stop_sequences or ()),
        ignored=planned.ignored,
    )
    flow, writer = Flow(desk.node.answer(planned.asks[0]), desk.answers), MessageWriter(form)
    return reply_with(
        flow, writer, streams=bool(asked.stream), stream_type=EVENTS, whole_type=BARE_JSON
    )


async def count_tokens(request: Request) -> Response:
    """Count the tokens of a conversation as the model would see it."""
    asked = await read_body(request, wire.CountRequest)
    desk = desk_of(request)
    await bring_images(desk, [each.content for each in asked.messages or ()])
    model = desk.node.find(required(asked.model))
    planned = plan(desk.node, model, prompt_wish(asked, model))
    counting = desk.node.count(planned.asks[0])
    return in_time(desk, counting, lambda tokens: wire.Count(input_tokens=tokens).to_json())


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/v1/messages",
        call=messages,
        takes=wire.MessagesRequest,
        gives=wire.MessageReply,
        streams=True,
    ),
    Endpoint(
        method="POST",
        path="/v1/messages/count_tokens",
        call=count_tokens,
        takes=wire.CountRequest,
        gives=wire.Count,
    ),
)
