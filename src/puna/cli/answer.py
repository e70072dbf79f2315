"""Write one answer as it is made: thoughts and text on stdout, figures and warnings on stderr.

Ends with an empty line, as Ollama's answers do.
"""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

from puna.cli.language import ENGLISH, Language
from puna.cli.spinner import Spinner
from puna.cli.terminal import Terminal
from puna.cli.wrap import Wrap
from puna.node.asking import Chunk, Cut, Timings
from puna.units import Span

_FIGURES = 22


@dataclass(frozen=True, slots=True)
class Manner:
    """How answers are written."""

    wordwrap: bool = True
    verbose: bool = False
    hide_thinking: bool = False


@dataclass(slots=True)
class Answered:
    """What was said so far; complete unless `was_stopped`."""

    text: str = ""
    was_stopped: bool = False


class Speech:
    """Writes the chunks of one answer."""

    def __init__(self, terminal: Terminal, manner: Manner) -> None:
        self._terminal, self._manner = terminal, manner
        self._wrap: Wrap | None = self._new_wrap()
        self._held = ""
        self._is_thinking = False
        self._thought = ""

    def take(self, chunk: Chunk) -> None:
        """Write what a chunk says."""
        if chunk.thinking and not self._manner.hide_thinking:
            self._think(chunk.thinking)
        if chunk.text or chunk.tool_calls:
            self._stop_thinking()
            self._write(chunk.text)
        for call in chunk.tool_calls:
            self._write(
                f"Model called a non-existent function '{call.name}()'"
                f" with arguments: {call.arguments}"
            )

    def end(self) -> None:
        """Write what is still held, and the lines that end every answer."""
        self._stop_thinking()
        self._flush()
        self._terminal.write("\n\n")

    def _think(self, text: str) -> None:
        if not self._is_thinking:
            self._is_thinking = True
            self._terminal.grey(on=True)
            self._terminal.write(self._words("Thinking...") + "\n")
        self._thought += text
        self._write(text)

    def _stop_thinking(self) -> None:
        if not self._is_thinking:
            return
        self._is_thinking = False
        self._flush()
        done = self._words("...done thinking.") + "\n"
        self._terminal.write(done if self._thought.endswith("\n") else f"\n{done}")
        self._terminal.grey(on=False)
        self._terminal.write("\n")
        self._wrap = self._new_wrap()

    def _words(self, text: str) -> str:
        return self._terminal.screen_language.of(text)

    def _write(self, text: str) -> None:
        if self._wrap is None:
            self._terminal.write(text)
            return
        text = self._held + text
        self._held = "\r" if text.endswith("\r") else ""  # the first half of a line end, perhaps
        text = text.removesuffix("\r").replace("\r\n", "\n")
        if placed := self._wrap.feed(text):
            self._terminal.write(placed)

    def _flush(self) -> None:
        if self._wrap is not None and (placed := self._wrap.end()):
            self._terminal.write(placed)

    def _new_wrap(self) -> Wrap | None:
        if not self._terminal.out_is_screen:
            return None
        wraps = self._manner.wordwrap
        return Wrap(self._terminal.width - 1 if wraps else 10**9)


def speak(terminal: Terminal, chunks: Generator[Chunk], manner: Manner) -> Answered:
    """Write an answer to its end and return what was said. Ctrl-C stops the model."""
    answered = Answered()
    speech = Speech(terminal, manner)
    last = Chunk()
    with closing(chunks), Spinner(terminal) as spinner:
        try:
            for chunk in chunks:
                if chunk.text or chunk.thinking or chunk.tool_calls:
                    spinner.stop()
                answered.text += chunk.text  # first: an interrupt can come while it is written
                last = chunk
                speech.take(chunk)
        except KeyboardInterrupt:
            answered.was_stopped = True
    speech.end()
    if last.cut is not None:
        terminal.say(cut_line(last.cut))
    if manner.verbose and last.timings is not None:
        terminal.say(timing_block(last.timings, terminal.language))
    return answered


def cut_line(cut: Cut) -> str:
    """Say what was left out of a prompt that did not fit."""
    dropped = f", {cut.dropped_messages} earlier messages left out" if cut.dropped_messages else ""
    return (
        f"Note: the prompt was cut to fit the context of {cut.context} tokens:"
        f" {cut.kept_tokens} of {cut.prompt_tokens} tokens kept{dropped}"
    )


def timing_block(timings: Timings, language: Language = ENGLISH) -> str:
    """Return the lines of `--verbose`; a figure that is zero is left out."""
    rows = (
        ("total duration", str(timings.total), timings.total),
        ("load duration", str(timings.load), timings.load),
        ("prompt eval count", f"{int(timings.prompt_tokens)} token(s)", timings.prompt_tokens),
        ("prompt eval duration", str(timings.prompt_span), timings.prompt_span),
        (
            "prompt eval rate",
            _rate(timings.prompt_tokens, timings.prompt_span),
            timings.prompt_span,
        ),
        ("eval count", f"{int(timings.output_tokens)} token(s)", timings.output_tokens),
        ("eval duration", str(timings.output_span), timings.output_span),
        ("eval rate", _rate(timings.output_tokens, timings.output_span), timings.output_span),
    )
    shown = [(language.of(name), language.of(text)) for name, text, figure in rows if figure > 0]
    width = max((len(name) + 2 for name, _ in shown), default=0)
    return "\n".join(f"{name + ':':<{max(_FIGURES, width)}}{text}" for name, text in shown)


def _rate(tokens: int, span: Span) -> str:
    return f"{tokens / span.seconds:.2f} tokens/s" if span > 0 else ""
