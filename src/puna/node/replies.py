"""What a node answers, read from JSON into values, for programs that call it.

The node may be puna, an older puna or Ollama itself, so a missing field reads as empty instead of
failing. Nothing here imports pydantic, which would cost every command a tenth of a second.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from puna.units import Count, Size, Span


class Fields:
    """A JSON object that reads a missing or oddly typed field as empty."""

    def __init__(self, value: object) -> None:
        self.values: Mapping[str, object] = value if isinstance(value, dict) else {}

    def text(self, name: str) -> str:
        """Return a text, empty if it is none."""
        value = self.values.get(name)
        return value if isinstance(value, str) else ""

    def whole(self, name: str) -> int:
        """Return a whole number, 0 if it is none."""
        value = self.values.get(name)
        return int(value) if isinstance(value, int | float) and value == value else 0  # noqa: PLR0124 - not NaN

    def flag(self, name: str) -> bool:
        """Return whether the field is true."""
        return self.values.get(name) is True

    def moment(self, name: str) -> datetime | None:
        """Return a time of day; Go's zero time, and what is no time, is none."""
        try:
            moment = datetime.fromisoformat(self.text(name))
        except ValueError:
            return None
        return moment if moment.year > 1 and moment.tzinfo is not None else None

    def fields(self, name: str) -> "Fields":
        """Return the object in a field, an empty one if there is none."""
        return Fields(self.values.get(name))

    def each(self, name: str) -> Iterator["Fields"]:
        """Yield the objects of a list."""
        value = self.values.get(name)
        return (Fields(item) for item in (value if isinstance(value, list) else ()))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts of a list."""
        value = self.values.get(name)
        return tuple(
            item for item in (value if isinstance(value, list) else ()) if isinstance(item, str)
        )


@dataclass(frozen=True, slots=True)
class NodeVersion:
    """Which program answers: `puna` is its own version, empty if it is Ollama."""

    version: str
    puna: str


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One line of `puna list`."""

    name: str
    digest: str
    size: Size
    modified_at: datetime | None
    is_remote: bool = False

    @classmethod
    def of(cls, entry: Fields) -> "ModelEntry":
        """Read one entry of `/api/tags`."""
        return cls(
            name=entry.text("name") or entry.text("model"),
            digest=entry.text("digest").removeprefix("sha256:"),
            size=Size(entry.whole("size")),
            modified_at=entry.moment("modified_at"),
            is_remote=bool(entry.text("remote_model")),
        )


@dataclass(frozen=True, slots=True)
class RunningModel:
    """One line of `puna ps`. `processor` and `slots` are puna's own and empty from Ollama."""

    name: str
    digest: str
    size: Size
    on_cards: Size
    expires_at: datetime | None
    context: int
    processor: str = ""
    slots: int = 0

    @classmethod
    def of(cls, entry: Fields) -> "RunningModel":
        """Read one entry of `/api/ps`."""
        return cls(
            name=entry.text("name") or entry.text("model"),
            digest=entry.text("digest").removeprefix("sha256:"),
            size=Size(entry.whole("size")),
            on_cards=Size(entry.whole("size_vram")),
            expires_at=entry.moment("expires_at"),
            context=entry.whole("context_length"),
            processor=entry.text("processor"),
            slots=entry.whole("slots"),
        )


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message that travels with a model, shown when a conversation starts."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class TensorRow:
    """One line of the tensor table of `puna show -v`."""

    name: str
    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """All that `/api/show` says of one model."""

    license: str = ""
    modelfile: str = ""
    parameters: str = ""
    template: str = ""
    system: str = ""
    family: str = ""
    parameter_size: str = ""
    quantization: str = ""
    requires: str = ""
    remote_model: str = ""
    remote_host: str = ""
    capabilities: tuple[str, ...] = ()
    messages: tuple[StoredMessage, ...] = ()
    metadata: Mapping[str, object] | None = None
    projector: Mapping[str, object] | None = None
    tensors: tuple[TensorRow, ...] = ()

    @property
    def can_think(self) -> bool:
        """Whether the model can write its thoughts apart from its answer."""
        return "thinking" in self.capabilities

    @classmethod
    def of(cls, reply: Fields) -> "ModelCard":
        """Read the reply of `/api/show`."""
        details = reply.fields("details")
        return cls(
            **{name: reply.text(name) for name in _CARD_TEXTS},
            family=details.text("family"),
            parameter_size=details.text("parameter_size"),
            quantization=details.text("quantization_level"),
            capabilities=reply.texts("capabilities"),
            messages=tuple(
                StoredMessage(item.text("role"), item.text("content"))
                for item in reply.each("messages")
            ),
            metadata=reply.fields("model_info").values or None,
            projector=reply.fields("projector_info").values or None,
            tensors=tuple(_tensor_row(item) for item in reply.each("tensors")),
        )


_CARD_TEXTS = (
    "license",
    "modelfile",
    "parameters",
    "template",
    "system",
    "requires",
    "remote_model",
    "remote_host",
)


def _tensor_row(item: Fields) -> TensorRow:
    shape = item.values.get("shape")
    sizes = tuple(
        size for size in (shape if isinstance(shape, list) else ()) if isinstance(size, int)
    )
    return TensorRow(item.text("name"), item.text("type"), sizes)


@dataclass(frozen=True, slots=True)
class Timings:
    """How long an answer took and how many tokens it had."""

    total: Span
    load: Span
    prompt_tokens: Count
    prompt_span: Span
    output_tokens: Count
    output_span: Span


@dataclass(frozen=True, slots=True)
class Cut:
    """A prompt that did not fit, and what was kept of it."""

    prompt_tokens: int
    kept_tokens: int
    context: int
    dropped_messages: int


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants called; `arguments` is JSON text."""

    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of an answer. The last one carries the timings, and the cut if there was one."""

    text: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    is_last: bool = False
    timings: Timings | None = None
    cut: Cut | None = None


def read_timings(reply: Fields) -> Timings:
    """Read the counters of a final object."""
    return Timings(
        total=Span(reply.whole("total_duration")),
        load=Span(reply.whole("load_duration")),
        prompt_tokens=Count(reply.whole("prompt_eval_count")),
        prompt_span=Span(reply.whole("prompt_eval_duration")),
        output_tokens=Count(reply.whole("eval_count")),
        output_span=Span(reply.whole("eval_duration")),
    )


def read_cut(reply: Fields) -> Cut | None:
    """Read what a final object says of a prompt that was cut, if it says so."""
    cut = reply.fields("truncated")
    if not cut.values:
        return None
    return Cut(
        prompt_tokens=cut.whole("prompt_tokens"),
        kept_tokens=cut.whole("kept_tokens"),
        context=cut.whole("context_length"),
        dropped_messages=cut.whole("dropped_messages"),
    )
