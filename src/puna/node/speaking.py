"""From what an engine generates to what an answer says: content, thoughts, calls.

A model that neither thinks nor calls functions pays nothing: its pieces pass as they are. A grammar
and a thought exclude each other, so an answer with both is made in two parts: the model thinks
freely, and then goes on from its own thought with the grammar on.
"""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from puna.chat.forcing import opening_of_call, schema_of_call
from puna.chat.forms import choose_parser, opened_thought
from puna.chat.marks import Illustrated
from puna.chat.messages import NO_TOOLS, Think, ToolCall, ToolMode, ToolUse
from puna.chat.output import Form, Mused, OutputParser, Part, Said
from puna.node.counting import count_illustrated
from puna.node.engine.engine import Engine
from puna.node.engine.request import Completion, Finish, Grammar, Piece, StopReason
from puna.units import Span
from puna.world import World

_TAIL = 200
_SWITCH = re.compile(r"\benable_thinking\b|\bthinking\b")
_FINAL = "<|channel|>final<|message|>"
_BARE = Form(is_bare=True)


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of what the model thinks before it answers."""

    piece: Piece


@dataclass(frozen=True, slots=True)
class Called:
    """A function call that the model has written out in full; `index` counts from 0."""

    call: ToolCall
    index: int


Spoken = Piece | Thought | Called | Finish
"""A bare `Piece` is content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """How one answer is to be made and read."""

    form: Form
    prompt: str
    """Its text."""
    tools: ToolUse = NO_TOOLS
    think: Think | None = None
    template: str = ""
    """The template that has made the prompt, if it can be told not to think."""

    @property
    def is_forced(self) -> bool:
        """Whether a function must be called."""
        return self.tools.mode is ToolMode.REQUIRED and bool(self.tools.tools)

    @property
    def is_plain(self) -> bool:
        """Whether the answer is what the engine generates, without anything to tell apart."""
        return not (self.form.has_tags or self.tools.tools)

    @property
    def may_think(self) -> bool:
        """Whether the answer may begin with a thought."""
        return self.form.may_think and (self.think is None or self.think.on)

    @property
    def silencer(self) -> str:
        """What closes a thought before it begins, where the template does not see to that."""
        if self.think is None or self.think.on:
            return ""
        if self.form.is_harmony:
            return "" if self.tools.tools and not self.is_forced else _FINAL
        if closer := opened_thought(self.form, self.prompt[-_TAIL:]):
            return f"\n{closer}\n\n"
        if not self.form.thoughts or _SWITCH.search(self.template):
            return ""
        opener, closer = self.form.thoughts[0]
        return f"{opener}\n\n{closer}\n\n" if opener in self.template else ""


async def speak(
    engine: Engine, completion: Completion, speech: Speech, world: World
) -> AsyncGenerator[Spoken, None]:
    """Yield what the answer says, then one `Finish`. Closing the iterator stops the engine."""
    form, tail = speech.form, speech.prompt[-_TAIL:]
    if silencer := speech.silencer:
        completion = await _extended(engine, completion, silencer)
        tail = silencer
        form = Form() if silencer == _FINAL else form
    grammar = completion.grammar
    if speech.is_forced:
        grammar = Grammar(schema_of_call(speech.tools))
    talk = _Talk(engine, completion, world)
    if grammar is not None:
        first = OutputParser(form, inside=opened_thought(form, tail)) if speech.may_think else None
        opening = opening_of_call(form) if speech.is_forced else ""
        second = OutputParser(_BARE, speech.tools.tools) if speech.is_forced else None
        parts = talk.in_two_parts(first, second, grammar, form=form, opening=opening)
    else:
        parts = talk.read(choose_parser(form, speech.tools, tail=tail), shown=form.tags)
    index = 0
    async with aclosing(parts):
        async for item in parts:
            if not isinstance(item, Called):
                yield item
                continue
            yield Called(replace(item.call, id=f"call_{world.token()[:8]}"), index)
            index += 1
            if not speech.tools.parallel:
                break
        else:
            return
    yield await talk.cut_short()


class _Talk:
    """One answer, in one or two completions, and what they took together."""

    def __init__(self, engine: Engine, completion: Completion, world: World) -> None:
        self._engine = engine
        self._first = self._now = completion
        self._world = world
        self._began = world.elapsed()
        self._tokens = 0
        self._earlier_tokens = 0

    async def in_two_parts(
        self,
        first: OutputParser | None,
        second: OutputParser | None,
        grammar: Grammar,
        *,
        form: Form,
        opening: str,
    ) -> AsyncGenerator[Spoken, None]:
        """Let the model think, and go on from its thought with the grammar on."""
        self._now = replace(self._first, grammar=None)
        if first is not None:
            said, finish = "", None
            async with aclosing(self._pieces(form.tags)) as items:
                async for item in items:
                    if isinstance(item, Finish):
                        finish = item
                        break
                    said += item.text
                    for part in first.feed(item.text):
                        if isinstance(part, Mused):
                            yield Thought(replace(item, text=part.text))
                    if first.thought_end is not None:
                        break
            if finish is not None and finish.reason is StopReason.LENGTH:
                yield finish
                return
            opening = _thought_so_far(first, form, said) + opening
            self._earlier_tokens = self._tokens
        else:
            opening = form.opening + opening
        left = max(0, self._first.max_tokens - self._tokens)
        self._now = replace(self._first, max_tokens=left, grammar=grammar)
        if opening:
            self._now = await _extended(self._engine, self._now, opening)
        async with aclosing(self.read(second)) as spoken:
            async for each in spoken:
                yield each

    async def read(
        self, parser: OutputParser | None, *, shown: tuple[str, ...] = ()
    ) -> AsyncGenerator[Spoken, None]:
        """Generate, and tell apart what is said."""
        reader = _PieceReader(parser) if parser is not None else None
        async with aclosing(self._pieces(shown if reader else ())) as items:
            async for item in items:
                if isinstance(item, Finish):
                    for each in reader.end() if reader else ():
                        yield each
                    yield await self._whole(item)
                elif reader is None:
                    yield item
                else:
                    for each in reader.read(item):
                        yield each

    async def cut_short(self) -> Finish:
        """Return the end of an answer that was stopped because it said enough."""
        return Finish(
            reason=StopReason.STOP,
            prompt_tokens=await self._prompt_tokens(),
            output_tokens=self._tokens,
            prompt_span=Span(0),
            output_span=Span(self._world.elapsed() - self._began),
        )

    async def _pieces(self, shown: tuple[str, ...]) -> AsyncGenerator[Piece | Finish, None]:
        now = replace(self._now, shown=shown) if shown else self._now
        async with aclosing(self._engine.complete(now)) as items:
            async for item in items:
                if isinstance(item, Piece):
                    self._tokens += len(item.tokens)
                yield item

    async def _whole(self, finish: Finish) -> Finish:
        if self._now is self._first or not (self._earlier_tokens or self._now != self._first):
            return finish
        return replace(
            finish,
            prompt_tokens=await self._prompt_tokens(),
            output_tokens=finish.output_tokens + self._earlier_tokens,
            output_span=Span(self._world.elapsed() - self._began - finish.prompt_span),
        )

    async def _prompt_tokens(self) -> int:
        prompt = self._first.prompt
        if isinstance(prompt, Illustrated):
            return await count_illustrated(self._engine, prompt)
        if isinstance(prompt, str):
            return len(await self._engine.tokenize(prompt, add_special=True))
        return len(prompt)


class _PieceReader:
    """Feeds pieces to a parser; tokens and probabilities go out with the text they belong to."""

    def __init__(self, parser: OutputParser) -> None:
        self._parser = parser
        self._fed = 0
        self._held: list[tuple[int, Piece]] = []

    def read(self, piece: Piece) -> Sequence[Spoken]:
        """Return what a piece completes."""
        self._fed += len(piece.text)
        self._held.append((self._fed, piece))
        parts = self._parser.feed(piece.text)
        return self._spoken(parts, self._fed - self._parser.unread)

    def end(self) -> Sequence[Spoken]:
        """Return what was held back, and tokens that have brought no text."""
        spoken = self._spoken(self._parser.end(), self._fed)
        left = self._due("", self._fed)
        return (*spoken, left) if left.tokens or left.logprobs else spoken

    def _spoken(self, parts: Sequence[Part], until: int) -> Sequence[Spoken]:
        spoken: list[Spoken] = []
        for part in parts:
            if isinstance(part, Said):
                spoken.append(self._due(part.text, until))
            elif isinstance(part, Mused):
                spoken.append(Thought(self._due(part.text, until)))
            else:
                spoken.append(Called(part, 0))
        return spoken

    def _due(self, text: str, until: int) -> Piece:
        due = [piece for end, piece in self._held if end <= until]
        self._held = self._held[len(due) :]
        return Piece(
            text,
            tuple(token for piece in due for token in piece.tokens),
            tuple(chosen for piece in due for chosen in piece.logprobs),
        )


def _thought_so_far(parser: OutputParser, form: Form, said: str) -> str:
    """Return what the model has thought, closed, and what leads to its answer."""
    end = parser.thought_end
    if form.is_harmony:
        thought = said if end is None else said[:end]
        if not thought:
            return _FINAL
        closed = thought if thought.endswith("<|end|>") else f"{thought}<|end|>"
        return f"{closed}<|start|>assistant{_FINAL}"
    if form.has_recipients:
        thought = said if end is None else said[:end]
        closed = thought if thought.endswith("<|eom|>") else f"{thought}<|eom|>"
        return f"{closed}<|start|>assistant{form.opening}" if thought else form.opening
    if end is None:
        return f"{said}\n{form.thoughts[0][1]}\n\n" if said.strip() else ""
    return f"{said[:end]}\n\n" if said[:end].strip() else ""


async def _extended(engine: Engine, completion: Completion, text: str) -> Completion:
    """Return a completion that goes on after some more text."""
    prompt = completion.prompt
    if isinstance(prompt, Illustrated):
        return replace(completion, prompt=prompt.followed_by(text))
    if isinstance(prompt, str):
        prompt = await engine.tokenize(prompt, add_special=True)
    more = await engine.tokenize(text, add_special=False)
    return replace(completion, prompt=(*prompt, *more))
