"""From a request to generate to its reply: load, unload, render, or answer; streamed or whole."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.responses import Response

from puna.node.answer import Ask
from puna.node.api.desk import Desk
from puna.node.api.ollama.convert import (
    Terms,
    Wishes,
    check_abilities,
    read_format,
)
from puna.node.api.ollama.lines import AnswerForm, AnswerWriter, Shape
from puna.node.api.once import in_time
from puna.node.api.streaming import JSON, Flow, reply_with
from puna.node.prompt import Subject, images_in
from puna.node.served import ServedModel
from puna.wire import ollama as wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request to generate, read and with its model found."""

    asked: wire.Generation
    terms: Terms
    model: ServedModel
    shape: Shape
    wishes: Wishes
    subject: Callable[[], Subject]
    """Read only when something is to be generated: a load needs no valid conversation."""
    is_empty: bool
    """Whether there is nothing to answer: the model is to be loaded, or unloaded."""
    tells_context: bool = False


async def reply_to(desk: Desk, call: Call) -> Response:
    """Return the reply to `call`. Raises whatever can be known before the model is there."""
    node, asked, keep_alive = desk.node, call.asked, call.terms.keep_alive
    if call.is_empty and keep_alive == 0:
        await node.unload(call.model)
        return Response(_marker(desk, call, "unload"), media_type=JSON)
    check_abilities(call.model, asked.model or "", call.wishes)
    parsed = node.options(call.model, asked.options or {})
    wanted = node.plan(call.model, parsed.options.loading)
    if call.is_empty:
        load = node.load(wanted, keep_alive=keep_alive)
        return in_time(desk, load, lambda _: _marker(desk, call, "load"))
    ask = Ask(
        wanted=wanted,
        subject=call.model.told(call.subject(), node.world.now().date()),
        form=call.model.form,
        options=parsed.options,
        keep_alive=keep_alive,
        grammar=read_format(asked.format),
        logprobs=call.terms.logprobs,
        truncate=node.truncates if asked.truncate is None else asked.truncate,
        shift=asked.shift is not False,
        tells_context=call.tells_context,
    )
    if asked.debug_render_only:
        return in_time(desk, node.render(ask), lambda text: _rendered(desk, call, text))
    form = AnswerForm(
        shape=call.shape,
        model=asked.model or "",
        now=node.world.now,
        tells_context=call.tells_context,
        ignored=parsed.ignored,
    )
    flow = Flow(node.answer(ask), desk.answers)
    return reply_with(flow, AnswerWriter(form), streams=asked.stream is not False)


def _marker(desk: Desk, call: Call, reason: str) -> bytes:
    """Return the reply to a load or an unload."""
    model, now = call.asked.model or "", desk.node.world.now()
    if call.shape is Shape.CHAT:
        message = wire.AssistantMessage(role="assistant", content="")
        return wire.ChatReply(
            model=model, created_at=now, message=message, done=True, done_reason=reason
        ).to_json()
    return wire.GenerateReply(
        model=model, created_at=now, response="", done=True, done_reason=reason
    ).to_json()


def _rendered(desk: Desk, call: Call, text: str) -> bytes:
    """Return the reply that shows the prompt instead of answering it."""
    model, now = call.asked.model or "", desk.node.world.now()
    images = len(images_in(call.subject()))
    shown = wire.DebugInfo(rendered_template=text, image_count=images)
    if call.shape is Shape.CHAT:
        message = wire.AssistantMessage(role="", content="")
        return wire.ChatReply(
            model=model, created_at=now, message=message, done=False, _debug_info=shown
        ).to_json()
    return wire.GenerateReply(
        model=model, created_at=now, response="", done=False, _debug_info=shown
    ).to_json()
