"""A request to generate, read from whatever dialect, and the questions to the node that it becomes.

Several answers to one prompt (`n`) and several prompts are questions of their own, computed
together; with a seed, each answer has the next one, so that they differ and can be repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from puna.models.options import Options
from puna.node.answer import Ask
from puna.node.api.ollama.convert import Wishes, check_abilities, thinking_of
from puna.node.engine.request import Grammar
from puna.node.node import Node
from puna.node.prompt import Conversation, Subject
from puna.node.served import ServedModel
from puna.units import Span

_SEEDS = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a client wants to be generated."""

    name: str
    """The model, as the client wrote it."""
    wishes: Wishes
    subjects: tuple[Subject, ...]
    options: Mapping[str, object] = field(default_factory=dict)
    keep_alive: Span | None = None
    grammar: Grammar | None = None
    logprobs: int | None = None
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    count: int = 1
    """Answers to each subject."""
    truncate: bool | None = None
    counts: bool = False
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """The questions, and what was asked for and will have no effect."""

    asks: tuple[Ask, ...]
    ignored: tuple[str, ...]


def plan(node: Node, model: ServedModel, wish: Wish) -> Plan:
    """Return the questions to `node`. Raises what can be known before the model is loaded."""
    check_abilities(model, wish.name, wish.wishes)
    parsed = node.options(model, wish.options)
    today = node.world.now().date()
    first = Ask(
        wanted=node.plan(model, parsed.options.loading),
        subject=wish.subjects[0],
        form=model.form,
        options=parsed.options,
        keep_alive=wish.keep_alive,
        grammar=wish.grammar,
        logprobs=wish.logprobs,
        truncate=node.truncates if wish.truncate is None else wish.truncate,
        logit_bias=wish.logit_bias,
        counts=wish.counts,
    )
    asks = tuple(
        replace(
            first,
            subject=model.told(_thinking(model, subject), today),
            options=_seeded(parsed.options, number),
        )
        for subject in wish.subjects
        for number in range(wish.count)
    )
    return Plan(asks, (*parsed.ignored, *wish.ignored))


def _thinking(model: ServedModel, subject: Subject) -> Subject:
    """Let a model that can think do so, unless it was told not to."""
    if not isinstance(subject, Conversation):
        return subject
    return replace(subject, think=thinking_of(model, subject.think))


def _seeded(options: Options, number: int) -> Options:
    if number == 0 or options.sampling.seed < 0:
        return options
    seed = (options.sampling.seed + number) % _SEEDS
    return replace(options, sampling=replace(options.sampling, seed=seed))
