"""One answer, from the wait for the model to the last token: what is asked, and what comes back.

Free of any dialect: the API's dialects translate to `Ask` and from `Event`. The lease is held for
exactly as long as the iterator is open, so closing it frees the model, whatever the reason.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field

from puna.chat.forms import form_of
from puna.chat.output import Form
from puna.models.options import Options
from puna.node.engine.engine import Engine
from puna.node.engine.request import Completion, Finish, Grammar, Piece, StopReason
from puna.node.learning import learn_form
from puna.node.prompt import Conversation, Frame, Prompt, Subject, prepare
from puna.node.refrain import Refrain
from puna.node.scheduler.scheduler import Scheduler
from puna.node.scheduler.state import Wanted
from puna.node.speaking import Called, Speech, Spoken, Thought, speak
from puna.units import Span
from puna.world import World

__all__ = ["Called", "Thought"]

_ANSWER_CONTEXTS = 10
_FILL_CONTEXT = -2
_NO_LIMIT = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One generation that a client wants."""

    wanted: Wanted
    subject: Subject
    options: Options
    keep_alive: Span | None = None
    grammar: Grammar | None = None
    logprobs: int | None = None
    truncate: bool = True
    shift: bool = True
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    form: Form | None = None
    """How the answer marks thoughts and calls; None tells it from the engine's template."""
    tells_context: bool = False
    """Whether the tokens of the prompt are wanted at the end."""
    counts: bool = False
    """Whether the tokens of the prompt must be counted before the answer begins."""


@dataclass(frozen=True, slots=True)
class Begun:
    """The model is loaded and the prompt is ready."""

    prompt: Prompt
    load_span: Span


@dataclass(frozen=True, slots=True)
class Ended:
    """The answer is complete."""

    finish: Finish
    load_span: Span
    total_span: Span
    prompt_tokens: tuple[int, ...] = ()
    """Empty unless they were wanted, and where images are among them."""


Event = Begun | Piece | Thought | Called | Ended
"""A bare `Piece` is content: what the answer says."""


async def answer(scheduler: Scheduler, ask: Ask, world: World) -> AsyncGenerator[Event, None]:
    """Yield `Begun`, then pieces, then `Ended`. Closing the iterator stops the computation."""
    start = world.elapsed()
    async with scheduler.lease(ask.wanted, keep_alive=ask.keep_alive) as lease:
        load_span = Span(world.elapsed() - start)
        prompt = await prepare(lease.engine, ask.subject, frame_for(lease.engine, ask))
        yield Begun(prompt, load_span)
        completion = _completion(ask, prompt, context=lease.engine.facts.context)
        spoken = await _spoken(lease.engine, completion, ask, prompt, world)
        if ask.options.num_predict == _NO_LIMIT:
            spoken = _without_refrain(spoken, lease.engine, prompt, world)
        async with aclosing(spoken) as items:
            async for item in items:
                if isinstance(item, Finish):
                    tokens = await _tokens_of(lease.engine, prompt) if ask.tells_context else ()
                    yield Ended(item, load_span, Span(world.elapsed() - start), tokens)
                else:
                    yield item


async def _without_refrain(
    spoken: AsyncGenerator[Spoken, None], engine: Engine, prompt: Prompt, world: World
) -> AsyncGenerator[Spoken, None]:
    """Yield what is said, and end it where a model says one piece over and over."""
    began, first, count, refrain = world.elapsed(), 0, 0, Refrain()
    async with aclosing(spoken) as items:
        async for item in items:
            yield item
            if isinstance(item, Called | Finish):
                continue
            piece = item.piece if isinstance(item, Thought) else item
            first = first or world.elapsed()
            count += len(piece.tokens)
            if refrain.goes_on(piece.text):
                break
        else:
            return
    counted = prompt.counted
    yield Finish(
        reason=StopReason.LENGTH,
        prompt_tokens=len(await _tokens_of(engine, prompt)) if counted is None else counted,
        output_tokens=count,
        prompt_span=Span(first - began),
        output_span=Span(world.elapsed() - first),
    )


async def _spoken(
    engine: Engine, completion: Completion, ask: Ask, prompt: Prompt, world: World
) -> AsyncGenerator[Spoken, None]:
    """Generate by the form of the model's answers; a prompt written by the client has none."""
    if not isinstance(ask.subject, Conversation):
        return engine.complete(completion)
    template = engine.facts.chat_template
    form = form_of(template) if ask.form is None else ask.form
    if ask.form is None and ask.subject.tools.tools and form.is_bare and not form.marks:
        form = await learn_form(engine, form)
    speech = Speech(
        form=form,
        prompt=prompt.text,
        tools=ask.subject.tools,
        think=ask.subject.think,
        template=template if ask.form is None else "",
    )
    if speech.is_plain:
        return engine.complete(completion)
    return speak(engine, completion, speech, world)


def frame_for(engine: Engine, ask: Ask) -> Frame:
    """Return the context of a loaded engine, with what the client allows to be cut."""
    return Frame(
        context=engine.facts.context,
        num_keep=ask.options.sampling.num_keep,
        truncate=ask.truncate,
        shift=ask.shift,
        counts=ask.counts or not ask.shift or ask.options.num_predict == _FILL_CONTEXT,
    )


async def _tokens_of(engine: Engine, prompt: Prompt) -> tuple[int, ...]:
    if prompt.illustrated is not None:
        return ()
    if prompt.tokens is not None:
        return prompt.tokens
    return await engine.tokenize(prompt.text, add_special=True)


def _completion(ask: Ask, prompt: Prompt, *, context: int) -> Completion:
    return Completion(
        prompt=prompt.given,
        sampling=ask.options.sampling,
        max_tokens=most_tokens(ask.options.num_predict, context=context, used=prompt.counted or 0),
        grammar=ask.grammar,
        logprobs=ask.logprobs,
        shift=ask.shift,
        logit_bias=ask.logit_bias,
        adapters=ask.wanted.own_adapters,
    )


def most_tokens(num_predict: int, *, context: int, used: int) -> int:
    """Return the limit that `num_predict` means: -2 fills the context, -1 stops at ten contexts."""
    if num_predict == _FILL_CONTEXT:
        return context - used
    return num_predict if num_predict >= 0 else context * _ANSWER_CONTEXTS
