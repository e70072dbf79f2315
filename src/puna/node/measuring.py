"""Ask a model for numbers instead of words: texts as vectors, and how likely given answers are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from puna.node.client import NodeClient
from puna.node.replies import Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorQuestion:
    """Texts that are wanted as vectors."""

    model: str
    texts: Sequence[str] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    truncate: bool | None = None
    dimensions: int | None = None
    keep_alive: str | None = None

    def to_body(self) -> dict[str, object]:
        """Return the body of the request, without fields that say nothing."""
        fields: dict[str, object] = {
            "options": dict(self.options) or None,
            "truncate": self.truncate,
            "dimensions": self.dimensions,
            "keep_alive": self.keep_alive,
        }
        said = {name: value for name, value in fields.items() if value is not None}
        return {"model": self.model, "input": list(self.texts), **said}


@dataclass(frozen=True, slots=True)
class ShortenedText:
    """A text that was cut because it did not fit, by its place."""

    index: int
    tokens: int
    kept_tokens: int


@dataclass(frozen=True, slots=True)
class Vectors:
    """A vector for each text, and what was cut."""

    vectors: tuple[tuple[float, ...], ...]
    tokens: int
    cuts: tuple[ShortenedText, ...]


def embed(client: NodeClient, question: VectorQuestion) -> Vectors:
    """Return a vector for each text; without texts the model is loaded. Blocks meanwhile."""
    reply = client.ask("POST", "/api/embed", question.to_body(), limit_s=None)
    return Vectors(
        reply.rows("embeddings"),
        reply.whole("prompt_eval_count"),
        tuple(_cut(each) for each in reply.each("truncated")),
    )


def _cut(cut: Fields) -> ShortenedText:
    return ShortenedText(cut.whole("index"), cut.whole("tokens"), cut.whole("kept_tokens"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerQuestion:
    """Candidate answers, and the texts after which they may come."""

    model: str
    texts: Sequence[str]
    candidates: Sequence[str]
    prefix: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    keep_alive: str | None = None

    def to_body(self) -> dict[str, object]:
        """Return the body of the request, without fields that say nothing."""
        said: dict[str, object] = {"options": dict(self.options)} if self.options else {}
        if self.keep_alive is not None:
            said["keep_alive"] = self.keep_alive
        return {
            "model": self.model,
            "prefix": self.prefix,
            "texts": list(self.texts),
            "candidates": list(self.candidates),
            **said,
        }


@dataclass(frozen=True, slots=True)
class AnswerScore:
    """How likely each candidate is after one text, in their order."""

    best: str
    margin: float
    probabilities: tuple[float, ...]
    logprobs: tuple[float, ...]


def score(client: NodeClient, question: AnswerQuestion) -> tuple[AnswerScore, ...]:
    """Return a score for each text, without generating. Blocks meanwhile."""
    reply = client.ask("POST", "/api/score", question.to_body(), limit_s=None)
    return tuple(_score(each) for each in reply.each("scores"))


def _score(reply: Fields) -> AnswerScore:
    margin = reply.values.get("margin")
    return AnswerScore(
        best=reply.text("best"),
        margin=float(margin) if isinstance(margin, int | float) else 0.0,
        probabilities=reply.numbers("probabilities"),
        logprobs=reply.numbers("logprobs"),
    )
