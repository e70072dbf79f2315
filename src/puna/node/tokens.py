"""Texts as the numbers that a model reads: what is asked, and what comes back."""

from dataclasses import dataclass

from puna.node.scheduler.state import Wanted
from puna.units import Span


@dataclass(frozen=True, slots=True)
class TokenAsk:
    """Whose tokens they are."""

    wanted: Wanted
    keep_alive: Span | None = None


@dataclass(frozen=True, slots=True)
class Tokenized:
    """A text and its tokens."""

    text: str
    tokens: tuple[int, ...]
    load_span: Span
