"""What a model writes, told apart while it is written: content, thoughts and calls of functions.

Half a tag is never shown, nothing is lost (a call that makes no sense is content), and where the
pieces were cut makes no difference: `tape` sees to that.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from puna.chat.calls import Call, read_bare, read_calls
from puna.chat.messages import Tool, ToolCall
from puna.chat.tape import Broken, Reading, Tape, first_of, held_back, written

_HARMONY_ENDS = ("<|end|>", "<|return|>", "<|call|>", "<|start|>")
_RECIPIENT_ENDS = ("<|eom|>", "<|eot|>", "<|start|>assistant")
_ATEM = "<atem:function_calls>"
_RECIPIENT = re.compile(r"to=(?:functions\.)?([^\s<]+)")
_CHANNEL = re.compile(r"<\|channel\|>\s*(\w+)")
_LONGEST_HEADER = 400
_MOST_BROKEN = 32
"""Calls that make no sense before no more are looked for: each may be read to the very end."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a family of models marks its thoughts and its calls."""

    thoughts: tuple[tuple[str, str], ...] = ()
    """What opens a thought, and what closes it."""
    marks: tuple[str, ...] = ()
    """What stands before calls; `calls.READERS` knows what comes after."""
    noise: tuple[str, ...] = ()
    """Tags that say nothing."""
    is_bare: bool = False
    """Whether calls can be JSON without any mark, at the beginning of the answer."""
    is_harmony: bool = False
    """Whether the answer is in gpt-oss's channels."""
    names_first: bool = False
    """Whether each part begins with a line that names its recipient, as functionary's do."""

    has_recipients: bool = False
    """Whether each part names who it is for: the model itself, the user, or a function."""

    @property
    def opening(self) -> str:
        """What stands before the answer itself, where that begins at once."""
        return " to=user<|message|>" if self.has_recipients else ""

    @property
    def may_think(self) -> bool:
        """Whether thoughts can be told from the rest."""
        return bool(self.thoughts) or self.is_harmony or self.has_recipients

    @property
    def has_tags(self) -> bool:
        """Whether anything but calls has to be told apart."""
        return self.may_think or bool(self.noise)

    @property
    def tags(self) -> tuple[str, ...]:
        """Every tag, for an engine that would leave out those that are special tokens."""
        pairs = (tag for pair in self.thoughts for tag in pair)
        own = ("<|channel|>", "<|message|>", "<|constrain|>", *_HARMONY_ENDS)
        inner = tuple(tag for mark in self.marks for tag in INNER_TAGS.get(mark, ()))
        named = ("<|start|>", "<|message|>", "<|eom|>", "<|eot|>") if self.has_recipients else ()
        channels = own if self.is_harmony else ()
        return (*pairs, *self.marks, *inner, *self.noise, *channels, *named)


INNER_TAGS = {
    "[TOOL_CALLS]": ("[ARGS]", "[CALL_ID]"),
    "<tool_call>": ("</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
    "<|tool_call|>": ("<|/tool_call|>",),
    "<|tool_call>": ("<tool_call|>", '<|"|>'),
    "<start_function_call>": ("<end_function_call>", "<escape>"),
    "<|START_ACTION|>": ("<|END_ACTION|>",),
    "<|tool_call_start|>": ("<|tool_call_end|>",),
    "<|tools_prefix|>": ("<|tools_suffix|>",),
    "<｜tool▁calls▁begin｜>": (
        "<｜tool▁calls▁end｜>",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁sep｜>",
    ),
    "<|tool_calls_section_begin|>": (
        "<|tool_calls_section_end|>",
        "<|tool_call_begin|>",
        "<|tool_call_end|>",
        "<|tool_call_argument_begin|>",
    ),
}
"""The tags within and after calls, by the mark before them."""


@dataclass(frozen=True, slots=True)
class Said:
    """Some of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Mused:
    """Some of a thought."""

    text: str


Part = Said | Mused | ToolCall


class OutputParser:
    """One answer. With `inside`, it begins within a thought, which that text will close."""

    def __init__(self, form: Form, tools: Sequence[Tool] = (), *, inside: str = "") -> None:
        self._form = form
        self._tools = tuple(tools)
        self._inside = inside
        self._tape = Tape()
        self._out: list[Part] = []
        self._space = ""
        self._is_trimming = False
        self._seen = 0
        self.thought_end: int | None = None
        """How many characters the thought took, tags included; None while it may go on."""
        self._run = self._begin()
        next(self._run, None)

    @property
    def unread(self) -> int:
        """How many characters at the end have not come out as a part yet."""
        return len(self._tape.rest) + len(self._space)

    def feed(self, text: str) -> tuple[Part, ...]:
        """Return what a piece of the answer completes."""
        self._seen += len(text)
        self._tape.add(text)
        next(self._run, None)
        return self._given()

    def end(self) -> tuple[Part, ...]:
        """Return what was held back, now that nothing more comes."""
        self._tape.is_over = True
        next(self._run, None)
        self._emit(Said, self._space if not self._is_trimming else "")
        self._space = ""
        return self._given()

    def _given(self) -> tuple[Part, ...]:
        given, self._out = tuple(self._out), []
        return given

    def _begin(self) -> Reading[None]:
        if self._form.is_harmony:
            yield from self._harmony()
            return
        if self._form.has_recipients:
            yield from self._recipients()
            return
        if self._form.names_first and self._tools:
            yield from self._named_parts()
            return
        pairs = dict(self._form.thoughts)
        if self._inside:
            yield from self._think(self._inside)
        before = yield from self._tape.space()
        while closer := pairs.get((yield from self._tape.accept(*pairs)), ""):
            yield from self._think(closer)
            before = yield from self._tape.space()
        self._say(before)
        self.thought_end = self._seen - len(self._tape.rest)
        yield from self._speak()

    def _think(self, closer: str) -> Reading[None]:
        """Read a thought; some models forget to close it before they call a function."""
        cuts = tuple(mark for mark in self._form.marks if mark == "<tool_call>" and self._tools)
        self._trim()
        found = yield from self._stream((closer, *cuts), Mused)
        if found in cuts:
            self._tape.at -= len(found)
        self._trim()

    def _speak(self) -> Reading[None]:
        marks = self._form.marks if self._tools else ()
        if self._form.is_bare and self._tools:
            yield from self._bare()
        broken = 0
        while mark := (yield from self._stream((*marks, *self._form.noise), Said)):
            if mark in self._form.noise:
                self._trim()
                continue
            start = self._tape.at
            try:
                calls = yield from read_calls(self._tape, mark, self._tools)
            except Broken:
                self._tape.at = start
                self._say(mark)
                broken += 1
                marks = marks if broken < _MOST_BROKEN else ()
            else:
                self._call(calls)

    def _bare(self) -> Reading[None]:
        start = self._tape.at
        while True:
            try:
                calls = yield from read_bare(self._tape, self._tools)
            except Broken:
                self._tape.at = start
                return
            self._call(calls)
            yield from self._tape.space()
            start = self._tape.at
            yield from self._tape.accept(";", ",")

    def _harmony(self) -> Reading[None]:
        """Read `<|channel|>name<|message|>text<|end|>` and so on; the first header may be short."""
        tape = self._tape
        if self._inside:
            yield from self._stream(_HARMONY_ENDS, Mused)
        while not (tape.is_over and not tape.rest.strip()):
            start, header = tape.at, ""
            try:
                header, _ = yield from tape.until("<|message|>", most=_LONGEST_HEADER)
            except Broken:
                tape.at = start
                self.thought_end = self._seen - len(tape.rest)
                yield from self._stream((), Said)
                return
            recipient = _RECIPIENT.search(header)
            channel = _CHANNEL.search(header)
            if recipient and self._tools:
                yield from self._harmony_call(recipient[1], start)
                continue
            is_thought = channel is not None and channel[1] == "analysis"
            if not is_thought and self.thought_end is None:
                self.thought_end = self._seen - len(tape.text) + start
            self._trim()
            yield from self._stream(_HARMONY_ENDS, Mused if is_thought else Said)
            self._trim()

    def _harmony_call(self, name: str, start: int) -> Reading[None]:
        tape = self._tape
        body = tape.at
        self.thought_end = self.thought_end or self._seen - len(tape.text) + start
        try:
            yield from tape.space()
            arguments = yield from tape.json()
            if not isinstance(arguments, dict):
                raise Broken("no object")  # noqa: TRY301 - the same answer to every trouble
        except Broken:
            tape.at = body
            yield from self._stream(_HARMONY_ENDS, Said)
            return
        self._call([(name, arguments)])
        yield from tape.space()
        yield from tape.accept(*_HARMONY_ENDS)

    def _recipients(self) -> Reading[None]:
        """Read ` to=self<|message|>text<|eom|><|start|>assistant to=user<|message|>` and so on."""
        tape = self._tape
        while not (tape.is_over and not tape.rest.strip()):
            start = tape.at
            try:
                header, _ = yield from tape.until("<|message|>", most=_LONGEST_HEADER)
            except Broken:
                tape.at = start
                yield from self._stream((), Said)
                return
            self._trim()
            if header.rpartition("to=")[2].strip() == "self":
                yield from self._stream(_RECIPIENT_ENDS, Mused)
                continue
            if self.thought_end is None:
                self.thought_end = self._seen - len(tape.text) + start
            yield from self._atem()
            yield from self._stream(_RECIPIENT_ENDS, Said)

    def _atem(self) -> Reading[None]:
        """Read calls of known functions, if the part begins with them."""
        tape, start = self._tape, self._tape.at
        names = {tool.name for tool in self._tools}
        yield from tape.space()
        if not (names and (yield from tape.accept(_ATEM))):
            tape.at = start
            return
        try:
            found = yield from read_calls(tape, _ATEM, self._tools)
        except Broken:
            found = ()
        calls = [(_own_name(name, names), arguments) for name, arguments in found]
        if calls and all(name in names for name, _ in calls):
            self._call(calls)
        else:
            tape.at = start

    def _named_parts(self) -> Reading[None]:
        """Read `all`, a line's end and content, or a function's name, a line's end and JSON."""
        tape = self._tape
        names = {tool.name for tool in self._tools}
        self.thought_end = 0
        while not (tape.is_over and not tape.rest):
            start = tape.at
            try:
                head, _ = yield from tape.until("\n", most=_LONGEST_HEADER)
                name = head.removeprefix(">>>").strip()
                if name in names:
                    yield from tape.space()
                    arguments = yield from tape.json()
                    if isinstance(arguments, dict):
                        self._call([(name, arguments)])
                        yield from tape.space()
                        yield from tape.accept(">>>")
                        continue
                if name != "all":
                    tape.at = start
            except Broken:
                tape.at = start
            yield from self._stream((">>>",), Said)

    def _stream(self, ends: Sequence[str], kind: type[Said | Mused]) -> Reading[str]:
        """Pass text on until one of `ends`; return which, or "" at the end of everything."""
        tape = self._tape
        while True:
            place, end = first_of(tape.rest, ends)
            if end:
                self._pass(kind, tape.take(place))
                tape.take(len(end))
                return end
            kept = 0 if tape.is_over else held_back(tape.rest, ends)
            self._pass(kind, tape.take(len(tape.rest) - kept))
            if tape.is_over:
                return ""
            tape.forget()
            yield

    def _pass(self, kind: type[Said | Mused], text: str) -> None:
        """Pass text on, without white space at its end until more follows."""
        if self._is_trimming:
            text = text.lstrip()
        if not text:
            return
        self._is_trimming = False
        solid = text.rstrip()
        if solid:
            self._emit(kind, self._space + solid)
            self._space = ""
        self._space += text[len(solid) :]

    def _say(self, text: str) -> None:
        self._pass(Said, text)

    def _emit(self, kind: type[Said | Mused], text: str) -> None:
        if not text:
            return
        last = self._out[-1] if self._out else None
        if isinstance(last, kind):
            self._out[-1] = kind(last.text + text)
        else:
            self._out.append(kind(text))

    def _trim(self) -> None:
        """Drop white space here: what came before was of another kind than what comes now."""
        self._space = ""
        self._is_trimming = True

    def _call(self, calls: Sequence[Call]) -> None:
        self._trim()
        self._out += [ToolCall(name, written(arguments)) for name, arguments in calls]


def _own_name(name: str, names: set[str]) -> str:
    """Return the function that is meant: `read.read` is `read`, in a space of its own name."""
    space, _, own = name.partition(".")
    return own if name not in names and space == own else name
