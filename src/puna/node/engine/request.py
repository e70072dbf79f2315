"""What is asked of an engine and what it answers: values only, the same for every engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from puna.chat.marks import Illustrated
from puna.models.fit_offload import CardShare
from puna.models.options import Sampling
from puna.units import Size, Span


class CacheType(StrEnum):
    """The number format of the key-value cache."""

    F16 = "f16"
    Q8_0 = "q8_0"
    Q4_0 = "q4_0"


class Pooling(StrEnum):
    """How the vectors of a text's tokens become the vector of the text."""

    MEAN = "mean"
    LAST = "last"
    RANK = "rank"
    """Not at all: a number says how well a document fits a query."""


class Purpose(StrEnum):
    """What a load is for. A model can be loaded for several purposes at once, an engine each."""

    ANSWER = "answer"
    EMBED = "embed"
    """Texts become vectors; a reranker says how well they fit a query."""
    SCORE = "score"
    """Given answers get their probabilities."""


@dataclass(frozen=True, slots=True)
class Speculation:
    """How tokens are guessed ahead, to be checked several at once."""

    draft: Path | None = None
    """The small model that guesses; without one, what was said before is looked up."""
    most: int = 8
    """The most tokens guessed at once."""

    @property
    def kind(self) -> str:
        """`draft` or `ngram`."""
        return "draft" if self.draft else "ngram"


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """All that decides how a model is loaded. Two equal specs can share one engine process."""

    weights: Path
    context: int
    """Tokens that one slot can hold: prompt and answer together."""
    slots: int
    """Requests computed together."""
    memory: Size
    """What the load is expected to take, by `models.fit`. Part of the plan, not of the identity."""
    batch: int = 512
    gpu_layers: int = 0
    """Layers on cards, the output counted as one."""
    main_gpu: int | None = None
    """The only card that may be used, where one was named."""
    all_layers: int = 0
    """How many layers there are; 0 where no card was thought of."""
    shares: tuple[CardShare, ...] = ()
    """What is on which card. Part of the plan, not of the identity, as the memory is."""
    model_memory: Size = Size(0)  # noqa: RUF009 - a number
    """What of a model that is on cards stays in memory: weights, caches, scratch."""
    may_shrink: bool = False
    """Nobody asked for so many layers: where a card turns out too full, fewer will do."""
    threads: int | None = None
    use_mmap: bool | None = None
    cache_type: CacheType = CacheType.F16
    flash_attention: bool | None = None
    purpose: Purpose = Purpose.ANSWER
    pooling: Pooling | None = None
    """How the vectors of tokens become one; None is what the file says."""

    @property
    def key(self) -> tuple[Path, Purpose]:
        """What one engine can be loaded of at a time."""
        return self.weights, self.purpose

    speculation: Speculation | None = None
    adapters: tuple[Path, ...] = ()
    """Files of small weights that change the model (LoRA); a request says which it is for."""
    projector: Path | None = None
    """The file that makes tokens of images; without one the model sees none."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What a loaded engine says of itself."""

    context: int
    slots: int
    memory: Size
    """Resident bytes of the process after the load, mapped file included."""
    threads: int
    has_chat_template: bool
    chat_template: str = ""
    """The text of the model's own template."""
    vocabulary: int = 0
    adapters: tuple[Path, ...] = ()
    """The adapters that are loaded, in llama.cpp's order."""
    """Token ids run from 0 to below this; 0 means that the engine does not know."""
    shares: tuple[CardShare, ...] = ()
    """What of it is on which card."""
    gpu_layers: int = 0
    all_layers: int = 0
    image_mark: str = ""
    """What stands for an image in the engine's own prompts; empty if it sees none."""

    @property
    def on_cards(self) -> Size:
        """Bytes on all cards together."""
        return Size(sum(each.memory for each in self.shares))

    @property
    def sees_images(self) -> bool:
        """Whether a prompt may have images in it."""
        return bool(self.image_mark)


@dataclass(frozen=True, slots=True)
class Grammar:
    """A constraint: any JSON object (`schema` is None), or JSON that fits a JSON schema."""

    schema: str | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """One generation. The caller has made sure that the prompt fits the context."""

    prompt: tuple[int, ...] | str | Illustrated
    """Token ids; or a text, which is tokenised as `Engine.tokenize` does with `add_special`. With
    a text the engine does not know how much of the context it takes, so `shift` must be on. A text
    with images is for an engine that sees them, which never shifts."""
    sampling: Sampling
    max_tokens: int
    """The most tokens to generate; never negative.

    The engine also stops at its context unless `shift`.
    """
    grammar: Grammar | None = None
    logprobs: int | None = None
    """How many alternatives to report per token; 0 reports the chosen token alone.

    None reports nothing.
    """
    shift: bool = True
    """When the context is full, forget the oldest part and go on; otherwise stop with LENGTH.

    An engine that sees images cannot forget, and stops."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """What is added to the logits of tokens, by id."""
    adapters: tuple[Path, ...] = ()
    """Which of the loaded adapters change the model for this one."""
    shown: tuple[str, ...] = ()
    """Special tokens that stand in the answer's text; others are left out of it."""


@dataclass(frozen=True, slots=True)
class TokenProbability:
    """A token with the natural logarithm of its probability."""

    token: str
    logprob: float
    raw: bytes


@dataclass(frozen=True, slots=True)
class ChosenToken:
    """A generated token, and the likeliest tokens in its place."""

    chosen: TokenProbability
    alternatives: tuple[TokenProbability, ...] = ()


@dataclass(frozen=True, slots=True)
class Piece:
    """Some generated text, whole characters only.

    Several tokens can arrive as one piece, or one token as none.
    """

    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[ChosenToken, ...] = ()


class StopReason(StrEnum):
    """Why a generation ended."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Finish:
    """The last thing a generation yields."""

    reason: StopReason
    prompt_tokens: int
    """Tokens of the prompt, cached ones included."""
    output_tokens: int
    prompt_span: Span
    output_span: Span
    cached_tokens: int = 0
    guessed_tokens: int = 0
    """Tokens that speculation proposed, and below, how many of them were right."""
    accepted_tokens: int = 0
    shifted: bool = False
    """The context was full and its oldest part was forgotten."""
    stop_word: str = ""
    """The stop string at which the answer ended, if it did so at one."""
    ignored: tuple[str, ...] = ()
    """Parts of the JSON schema that the engine cannot enforce, in its words."""
