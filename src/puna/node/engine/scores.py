"""Given answers and how likely they are: values, the same for every engine."""

from dataclasses import dataclass

from puna.errors import Invalid


class NotLoadedFor(Invalid):
    """The engine was loaded for another purpose."""

    code = "not_loaded_for"

    def __init__(self, work: str) -> None:
        super().__init__(f"this engine was not loaded to {work}")


@dataclass(frozen=True, slots=True)
class ScoreQuestion:
    """What all prompts begin with, what each goes on with, and what may follow."""

    prefix: str
    texts: tuple[str, ...]
    candidates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scored:
    """For each text the logarithm of each candidate's probability, over all its tokens."""

    logprobs: tuple[tuple[float, ...], ...]
    tokens: int
    """Tokens of all prompts, as if each were computed alone."""
