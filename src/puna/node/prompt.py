"""Make a prompt that fits: which messages are kept, what is cut, and what is said about it.

The rule is Ollama's: the oldest messages go first, never a system message and never the last one;
if that is not enough, the beginning (`num_keep` tokens) and the end stay, so that about half of
the context is used. Unlike Ollama, nothing is cut in silence: a `Cut` carries the numbers. The
decisions are pure (`split`, `Search`, `drop_oldest`); only `prepare` asks the engine.

Images go with the message that they belong to. What is left with images in it and is still too long
is refused and not cut in the middle, where half an image would be left.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from puna.chat.forcing import told_of_tools
from puna.chat.forms import takes_tools
from puna.chat.images import Image, check_inside
from puna.chat.marks import Illustrated, Marks, cut_at_given_marks
from puna.chat.messages import NO_TOOLS, Message, Role, Think, ToolMode, ToolUse
from puna.chat.template import GoPrompt, write_prompt
from puna.errors import Invalid
from puna.node.counting import BLOCK, blocks, count_illustrated
from puna.node.engine.engine import Engine

_SPARE = 16
"""Tokens that a tokenizer may add to a text: a beginning, an end, a blank."""
_CHARS_A_TOKEN = 8
"""More than tokens have on the whole: a longer text will not fit, so it is not tokenised whole."""


class PromptTooLong(Invalid):
    """The prompt does not fit the context, and the caller wants it whole or not at all."""

    code = "prompt_too_long"


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages that become a prompt by the model's template, put after earlier tokens."""

    messages: tuple[Message, ...]
    before: tuple[int, ...] = ()
    tools: ToolUse = NO_TOOLS
    think: Think | None = None
    """None leaves it to the model."""
    written_by: GoPrompt | None = None
    """The Go template that writes the prompt; None leaves it to the file's own."""
    suffix: str = ""
    """What is to follow the answer, where the model fills a gap."""


@dataclass(frozen=True, slots=True)
class Verbatim:
    """A prompt that the caller has written out, template and all, put after earlier tokens."""

    text: str
    before: tuple[int, ...] = ()
    images: tuple[Image, ...] = ()
    """`[img-0]` in the text stands for the first; those without a mark stand in front."""


Subject = Conversation | Verbatim


@dataclass(frozen=True, slots=True)
class Frame:
    """The context that a prompt has to fit in, and what may be done to make it fit."""

    context: int
    num_keep: int
    truncate: bool = True
    shift: bool = True
    counts: bool = True
    """Whether the tokens must be known even of a prompt that surely fits."""

    @property
    def room(self) -> int:
        """The most tokens that a prompt can have: one must be left for the answer."""
        return self.context - 1


@dataclass(frozen=True, slots=True)
class Cut:
    """What was cut from a prompt that did not fit."""

    prompt_tokens: int
    kept_tokens: int
    context_length: int
    dropped_messages: int
    is_estimate: bool = False
    """`prompt_tokens` is an estimate: to count ten megabytes would take the engine ten seconds."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that fits, and what was cut from it."""

    tokens: tuple[int, ...] | None
    """None where the text itself can go to the engine: it is so short that it surely fits, or it
    has images, which are no tokens."""
    text: str
    cut: Cut | None = None
    illustrated: Illustrated | None = None
    """The prompt, if it has images; the text has `[img-0]` for the first one then."""
    size: int | None = None
    """How many tokens it has with its images; without images, its tokens tell."""

    @property
    def counted(self) -> int | None:
        """How many tokens it has, images included; None where that was not asked for."""
        return self.size if self.tokens is None else len(self.tokens)

    @property
    def given(self) -> tuple[int, ...] | str | Illustrated:
        """What goes to the engine."""
        if self.illustrated is not None:
            return self.illustrated
        return self.text if self.tokens is None else self.tokens


def images_in(subject: Subject) -> tuple[Image, ...]:
    """Return every image of a prompt, in the order in which the turns have them."""
    if isinstance(subject, Verbatim):
        return subject.images
    return tuple(each for message in subject.messages for each in message.images)


def split(*, context: int, num_keep: int) -> tuple[int, int]:
    """Return how many tokens stay at the beginning and at the end when a prompt is cut.

    Together they fill the context up to half of what `num_keep` leaves of it.
    """
    head = max(0, min(num_keep, context - 4))
    return head, context - (context - head) // 2 - head


def droppable(messages: Sequence[Message]) -> tuple[int, ...]:
    """Return the positions of the messages that may go, oldest first."""
    return tuple(
        place for place, message in enumerate(messages[:-1]) if message.role is not Role.SYSTEM
    )


def drop_oldest(messages: Sequence[Message], count: int) -> tuple[Message, ...]:
    """Return the messages without the oldest `count` of those that may go."""
    gone = set(droppable(messages)[:count])
    return tuple(message for place, message in enumerate(messages) if place not in gone)


@dataclass(frozen=True, slots=True)
class Search:
    """The search for the fewest messages to drop, with few tries and none much too long.

    Dropping `too_few` is not enough. Dropping `enough` is; at the start it is one more than can be
    dropped, and if it stays that, nothing is enough. The guess comes from the sizes of the
    messages, so the answer lies near it: tries step away from it, doubling, and bisect once both
    ends are known.
    """

    guess: int
    enough: int
    too_few: int = 0
    stride: int = 1
    is_above_known: bool = False
    is_below_known: bool = False

    @property
    def next_try(self) -> int | None:
        """How many messages to drop next; None when `enough` is the answer."""
        if self.enough - self.too_few <= 1:
            return None
        if self.is_above_known and self.is_below_known:
            return (self.too_few + self.enough) // 2
        place = self.guess
        if self.is_above_known:
            place = self.enough - self.stride
        elif self.is_below_known:
            place = self.too_few + self.stride
        return min(max(place, self.too_few + 1), self.enough - 1)

    def told(self, *, fits: bool) -> "Search":
        """Return the search after the outcome of `next_try`."""
        tried = self.next_try
        if tried is None:
            return self
        stride = self.stride * 2
        if fits:
            return replace(self, enough=tried, is_above_known=True, stride=stride)
        return replace(self, too_few=tried, is_below_known=True, stride=stride)


def guess_drops(messages: Sequence[Message], *, surplus: float) -> int:
    """Return how many of the oldest messages hold `surplus` of all the text, from 0 to 1."""
    sizes = [len(messages[place].content) for place in droppable(messages)]
    wanted = surplus * sum(len(message.content) for message in messages)
    reached = 0
    for count, size in enumerate(sizes, start=1):
        reached += size
        if reached >= wanted:
            return count
    return len(sizes)


async def prepare(engine: Engine, subject: Subject, frame: Frame) -> Prompt:
    """Return the prompt for `subject`, cut if it must be and may be. Raises `PromptTooLong`."""
    before = subject.before
    await _check_images(engine, subject)
    text = await _text_of(engine, subject)
    if isinstance(text, str) and not (before or frame.counts) and _surely_fits(text, frame):
        return Prompt(None, text)
    whole = await _measure(engine, text, frame, add_special=not before)
    if len(before) + whole.count <= frame.room:
        return whole.prompt(before)
    total = len(before) + whole.count
    if not frame.truncate:
        raise _too_long(whole, total, frame)
    dropped, kept = 0, whole
    if isinstance(subject, Conversation) and not before:
        dropped, kept = await _drop_until_it_fits(engine, subject, frame, whole)
        if kept.count <= frame.room:
            cut = Cut(total, kept.count, frame.context, dropped, whole.is_estimate)
            return replace(kept.prompt(), cut=cut)
    if not frame.shift or kept.illustrated is not None:
        raise _too_long(whole, total, frame)
    tokens = await _middle_cut(engine, before, kept, frame)
    cut = Cut(total, len(tokens), frame.context, dropped, whole.is_estimate)
    return Prompt(tokens, kept.text, cut)


async def count(engine: Engine, subject: Subject) -> int:
    """Return how many tokens the prompt for `subject` has, be it too long or not."""
    await _check_images(engine, subject)
    text = await _text_of(engine, subject)
    if isinstance(text, Illustrated):
        return await count_illustrated(engine, text)
    total = len(subject.before)
    for block in blocks(text) if len(text) > BLOCK else (text,):
        total += len(await engine.tokenize(block, add_special=not total))
    return total


async def _check_images(engine: Engine, subject: Subject) -> None:
    """Look at the images before anything decodes them. Raises `Invalid`."""
    if images := images_in(subject):
        if not engine.facts.sees_images:
            raise Invalid(
                "this model was loaded without what makes it see images",
                hint="its file has that part in a form that llama.cpp does not read: get one from "
                "hf.co, with its mmproj file",
            )
        await asyncio.to_thread(check_inside, images)


def _too_long(whole: "_Written", count: int, frame: Frame) -> PromptTooLong:
    about = "about " if whole.is_estimate else ""
    return PromptTooLong(
        "the prompt is longer than the context length currently available: "
        f"it has {about}{count} tokens{_of_images(whole)}, and a context of {frame.context} "
        f"holds at most {frame.room} of prompt",
        hint="send less, raise the option num_ctx, or let it be cut with truncate and shift",
    )


def _of_images(whole: "_Written") -> str:
    count = len(whole.illustrated.images) if whole.illustrated else 0
    return f" with {count} image{'s' if count > 1 else ''}" if count else ""


@dataclass(frozen=True, slots=True)
class _Written:
    """A prompt's text and its size; the tokens themselves unless there are far too many."""

    text: str
    count: int
    has_special: bool = True
    tokens: tuple[int, ...] | None = None
    illustrated: Illustrated | None = None

    @property
    def is_estimate(self) -> bool:
        """Whether the count is an estimate, which is only so far beyond the room."""
        return self.tokens is None and self.illustrated is None

    def prompt(self, before: tuple[int, ...] = ()) -> Prompt:
        """Return it as a prompt, after earlier tokens."""
        if self.illustrated is not None:
            return Prompt(None, self.text, illustrated=self.illustrated, size=self.count)
        return Prompt((*before, *(self.tokens or ())), self.text)


async def _text_of(engine: Engine, subject: Subject) -> str | Illustrated:
    """Return what is asked, written out by the model's template, images in their places."""
    images = images_in(subject)
    if isinstance(subject, Verbatim):
        return cut_at_given_marks(subject.text, images) if images else subject.text
    if not images:
        return await _templated(engine, subject)
    marks = Marks.of(subject.messages)
    marked = replace(subject, messages=tuple(marks.placed(subject.messages)))
    return marks.cut(await _templated(engine, marked))


async def _templated(engine: Engine, subject: Conversation) -> str:
    """Use the model's template; a base model has none and goes on from the bare text."""
    messages, go = subject.messages, subject.written_by
    if subject.tools.mode is ToolMode.REQUIRED and subject.tools.tools:
        template = engine.facts.chat_template
        has_place = "tools" in go.template.names if go else takes_tools(template)
        messages = messages if has_place else told_of_tools(messages, subject.tools)
    if go is not None:
        return await asyncio.to_thread(
            write_prompt,
            go,
            messages,
            tools=subject.tools,
            think=subject.think,
            suffix=subject.suffix,
        )
    if engine.facts.has_chat_template:
        return await engine.render(messages, tools=subject.tools, think=subject.think)
    return "\n\n".join(message.content for message in messages)


def _surely_fits(text: str, frame: Frame) -> bool:
    """Tell whether a text fits without counting: no token is shorter than a byte."""
    return len(text) <= frame.room and len(text.encode()) + _SPARE <= frame.room


async def _measure(
    engine: Engine, text: str | Illustrated, frame: Frame, *, add_special: bool
) -> _Written:
    if isinstance(text, Illustrated):
        size = await count_illustrated(engine, text)
        return _Written(text.text, size, illustrated=text)
    if len(text) > max(BLOCK, frame.room * _CHARS_A_TOKEN):
        count = read = 0
        for block in blocks(text):
            count += len(await engine.tokenize(block, add_special=add_special and not count))
            read += len(block)
            if count > frame.room:
                return _Written(text, count * len(text) // read, add_special, None)
    tokens = await engine.tokenize(text, add_special=add_special)
    return _Written(text, len(tokens), add_special, tokens)


async def _drop_until_it_fits(
    engine: Engine, subject: Conversation, frame: Frame, whole: _Written
) -> tuple[int, _Written]:
    """Return how many messages went and what is left, which may still be too long."""
    messages = subject.messages
    most = len(droppable(messages))
    guess = guess_drops(messages, surplus=1 - frame.room / whole.count)
    search = Search(guess, enough=most + 1)
    fitting: dict[int, _Written] = {}
    while (count := search.next_try) is not None:
        attempt = await _attempt(engine, _without(subject, count), frame)
        fits = attempt is not None and attempt.count <= frame.room
        if fits and attempt is not None:
            fitting = {count: attempt}
        search = search.told(fits=fits)
    if search.enough in fitting:
        return search.enough, fitting[search.enough]
    if most == 0:
        return 0, whole
    return most, await _written(engine, _without(subject, most), frame)


def _without(subject: Conversation, count: int) -> Conversation:
    return replace(subject, messages=drop_oldest(subject.messages, count))


async def _attempt(engine: Engine, subject: Conversation, frame: Frame) -> _Written | None:
    """Measure a shortened conversation; None if its template refuses it, as some do."""
    try:
        return await _written(engine, subject, frame)
    except Invalid:
        return None


async def _written(engine: Engine, subject: Conversation, frame: Frame) -> _Written:
    text = await _text_of(engine, subject)
    return await _measure(engine, text, frame, add_special=True)


async def _middle_cut(
    engine: Engine, before: tuple[int, ...], written: _Written, frame: Frame
) -> tuple[int, ...]:
    """Keep the beginning and the end of a prompt that no dropping makes fit."""
    begins = () if before else await engine.tokenize("", add_special=True)
    keep = frame.num_keep + len(begins) if frame.num_keep >= 0 else frame.context
    head, tail = split(context=frame.context, num_keep=keep)
    if written.tokens is not None:
        tokens = (*before, *written.tokens)
        return (*tokens[:head], *tokens[len(tokens) - tail :])
    start = await engine.tokenize(written.text[:BLOCK], add_special=written.has_special)
    return (*(*before, *start)[:head], *await _last_tokens(engine, written.text, tail))


async def _last_tokens(engine: Engine, text: str, count: int) -> tuple[int, ...]:
    length = count * _CHARS_A_TOKEN
    tokens = await engine.tokenize(text[-length:], add_special=False)
    while len(tokens) < count and length < len(text):
        length *= 4
        tokens = await engine.tokenize(text[-length:], add_special=False)
    return tokens[len(tokens) - count :] if len(tokens) > count else tokens
