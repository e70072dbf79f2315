"""What a job asks of a model: labels, free text, JSON by a schema, or vectors. Values only.

A spec is all that an answer depends on apart from the row's own text, so it stands in the job's
manifest, and two equal specs over the same rows give the same bytes.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a task makes of a row."""

    LABELS = "labels"
    PROMPT = "prompt"
    SCHEMA = "schema"
    EMBED = "embed"


@dataclass(frozen=True, slots=True)
class Label:
    """A category, and what belongs there, if its name does not say it all."""

    name: str
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelTask:
    """Each row gets the label that fits best, or with `multi` every label that fits."""

    labels: tuple[Label, ...]
    multi: bool = False
    abstain_below: float = 0.0
    """Below this probability a row gets no label."""
    instruction: str = ""
    """What stands before every row; empty is puna's own words."""
    calibrate: bool = False
    """Take off what the model thinks of each label when the row says nothing."""
    cascade: float | None = None
    """A small classifier answers where it is proved to agree so far with the model."""

    @property
    def kind(self) -> Kind:
        """Labels."""
        return Kind.LABELS


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTask:
    """Each row's text is a prompt, the answer is free text."""

    system: str = ""
    temperature: float = 0.0
    max_tokens: int = 256

    @property
    def kind(self) -> Kind:
        """Free text."""
        return Kind.PROMPT


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaTask:
    """Each row's text is a prompt, the answer is a JSON object that fits the schema."""

    schema: str
    """The JSON schema, as JSON text."""
    system: str = ""
    temperature: float = 0.0
    max_tokens: int = 512

    @property
    def kind(self) -> Kind:
        """JSON."""
        return Kind.SCHEMA


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedTask:
    """Each row's text becomes a vector of length 1."""

    dimensions: int | None = None
    """Keep only so many numbers of each vector."""

    @property
    def kind(self) -> Kind:
        """Vectors."""
        return Kind.EMBED


Task = LabelTask | PromptTask | SchemaTask | EmbedTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """A model and a task. A row's text is its column, or the template filled with its columns."""

    model: str
    task: Task
    column: str = ""
    """The column that holds the text; empty where there is only one that can."""
    template: str = ""
    """A Jinja template over the columns; empty takes the column as it is."""
    seed: int = 0
    """For tasks that sample: each row has a seed of its own, made of this and its number."""
    context: int | None = None
    """Tokens that prompt and answer may take together; None is what the node gives."""
    path: str = ""
    """The way of computing that the job began with (`Identity.path`); empty lets a worker choose.
    Ways differ in last digits, so a job that is resumed names the one it has."""

    @property
    def samples(self) -> bool:
        """Whether equal rows may get different answers, so that none stands for another."""
        return isinstance(self.task, PromptTask | SchemaTask) and self.task.temperature > 0
