"""A question about labels, what is found, and who finds it: values, the same for every path."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from puna.errors import Invalid


class NotLabels(Invalid):
    """The labels cannot be told apart, or there are too few."""

    code = "not_labels"


class ComputePath(StrEnum):
    """What computes the answers."""

    FLOAT = "float"
    """puna's own forward pass in 32-bit floats."""
    KERNELS = "kernels"
    """llama.cpp's kernels for the file's own types, asked through its C API."""
    CARD = "card"
    """The same kernels, with all of the model on graphics cards."""
    SLOTS = "slots"
    """Requests to llama.cpp's server, one a text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelQuestion:
    """The words around every text, and the labels as they would stand right after them."""

    prefix: str
    labels: tuple[str, ...]
    suffix: str = ""
    blank: str = ""
    """A text that says nothing; what the model thinks of the labels there is its bias."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which path computes, and why that one, in words for people."""

    path: ComputePath
    why: str
    build: str = ""
    """The programs whose numbers these are; other builds may differ in the last digits."""


@dataclass(frozen=True, slots=True)
class LabelScores:
    """For each text the logarithm of each label's probability, the labels' adding up to 1."""

    rows: tuple[tuple[float, ...] | None, ...]
    """In the order of the texts; none where the text was refused."""
    tokens: int = 0
    """Tokens of all prompts, as if each were computed alone."""
    computed: int = 0
    """Tokens that were really computed."""
    refusals: Mapping[int, str] = field(default_factory=dict)
    """Why a text has no answer, by its place."""


class LabelScorer(Protocol):
    """A model that was loaded for one question. Raises `EngineDied` once it is gone."""

    @property
    def choice(self) -> Choice:
        """What computes, and why."""

    @property
    def baseline(self) -> tuple[float, ...]:
        """The labels' logarithms after the blank text."""

    async def score(self, texts: Sequence[str]) -> LabelScores:
        """Score many texts; equal ones are computed once. Calls may run side by side."""

    async def stop(self) -> None:
        """End what computes. Calling it again does nothing."""


def check_labels(question: LabelQuestion) -> None:
    """Raise `NotLabels` for fewer than two labels, an empty one, or one that is there twice."""
    labels = question.labels
    if len(labels) < 2:  # noqa: PLR2004 - with one there is nothing to choose
        raise NotLabels(f"at least two labels are needed, not {len(labels)}")
    if not all(each.strip() for each in labels):
        raise NotLabels("a label must not be empty")
    if len(set(labels)) < len(labels):
        twice = next(each for each in labels if labels.count(each) > 1)
        raise NotLabels(f'the label "{twice.strip()}" is there twice')
