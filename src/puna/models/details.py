"""What a model is, as people compare models: family, size, quantization, context, abilities.

All of it is read from the GGUF header and from the templates; nothing is guessed from the name.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from struct import Struct

from puna.models.gguf import GgufArray, GgufHeader, GgufValue, Scalar, read_array
from puna.models.tensor_types import FILE_TYPES
from puna.units import Count

_FLOAT = Struct("<f")
JsonScalar = str | int | float | bool | None
JsonValue = JsonScalar | list[JsonScalar]


class Capability(StrEnum):
    """What a model can do, in Ollama's words and in its order."""

    COMPLETION = "completion"
    EMBEDDING = "embedding"
    VISION = "vision"
    AUDIO = "audio"
    TOOLS = "tools"
    INSERT = "insert"
    THINKING = "thinking"
    IMAGE = "image"


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """The facts of a model that lists and `/api/show` print."""

    format: str
    family: str
    families: tuple[str, ...]
    parameter_count: Count
    quantization_level: str
    context_length: int | None
    embedding_length: int | None
    capabilities: frozenset[Capability]

    @property
    def parameter_size(self) -> str:
        """The parameter count as Ollama prints it: `134.52M`."""
        return str(self.parameter_count)

    @property
    def sorted_capabilities(self) -> tuple[Capability, ...]:
        """The capabilities in one order, for printing."""
        return tuple(capability for capability in Capability if capability in self.capabilities)


def details_of(
    header: GgufHeader, *, go_template: str | None = None, projectors: Sequence[GgufHeader] = ()
) -> ModelDetails:
    """Return the details of the model in `header`.

    `go_template` is its TEMPLATE layer, if any; `projectors` are its image and audio parts.
    """
    family = header.architecture or "unknown"
    families = dict.fromkeys((family, *(part.architecture or "clip" for part in projectors)))
    return ModelDetails(
        format="gguf",
        family=family,
        families=tuple(families),
        parameter_count=_parameter_count(header),
        quantization_level=_quantization(header),
        context_length=_positive(header, "context_length"),
        embedding_length=_positive(header, "embedding_length"),
        capabilities=_capabilities(header, go_template or "", projectors),
    )


def metadata_json(header: GgufHeader, *, verbose: bool = False) -> dict[str, JsonValue]:
    """Return the metadata as `model_info` of `/api/show` has it; blocks if `verbose`.

    Arrays that are not empty are null unless `verbose`; so is a number that JSON cannot write.
    Raises `BadGguf` where `verbose` has to read the file again and it is gone.
    """
    hidden = {"general.name", "tokenizer.chat_template"}
    shown = {
        key: _json_value(header, value, verbose=verbose)
        for key, value in header.metadata.items()
        if key not in hidden
    }
    return {**shown, "general.parameter_count": int(_parameter_count(header))}


def _json_value(header: GgufHeader, value: GgufValue, *, verbose: bool) -> JsonValue:
    if not isinstance(value, GgufArray):
        return _json_scalar(value)
    if value.count == 0:
        return []
    if not verbose:
        return None
    return [_json_scalar(item) for item in read_array(header.path, value)]


def _json_scalar(value: Scalar) -> JsonScalar:
    if not isinstance(value, float):
        return value
    return _shortest(value) if math.isfinite(value) else None


def _shortest(number: float) -> float:
    """Return the number with the fewest digits that is the same in 32 bits, as Go writes it.

    Files hold 0.00001 as the nearest 32 bits, which in 64 read 0.000009999999747378752.
    """
    with suppress(OverflowError):
        for digits in range(6, 10):
            short = float(f"{number:.{digits}g}")
            if _FLOAT.unpack(_FLOAT.pack(short))[0] == number:
                return short
    return number


def _positive(header: GgufHeader, name: str) -> int | None:
    number = header.integer(header.own_key(name)) or 0
    return number if number > 0 else None


def _parameter_count(header: GgufHeader) -> Count:
    counted = sum(tensor.elements for tensor in header.tensors)
    claimed = header.integer("general.parameter_count") or 0
    # One file of several holds only some of the tensors.
    is_part = (header.integer("split.count") or 1) > 1
    return Count(max(counted, claimed) if is_part or not counted else counted)


# A flag of llama.cpp: the file did not say, the type was told from its tensors.
_GUESSED = 1024


def _quantization(header: GgufHeader) -> str:
    number = header.integer("general.file_type")
    if number is not None:
        return FILE_TYPES.get(number & ~_GUESSED, "unknown")
    bytes_by_type: Counter[str] = Counter()
    for tensor in header.tensors:
        bytes_by_type[tensor.type.name] += tensor.size
    return max(bytes_by_type, key=bytes_by_type.__getitem__, default="unknown")


_EMBEDDING_FAMILIES = frozenset(
    {
        "bert",
        "eurobert",
        "gemma-embedding",
        "jina-bert-v2",
        "jina-bert-v3",
        "llama-embed",
        "modern-bert",
        "neo-bert",
        "nomic-bert",
        "nomic-bert-moe",
        "t5encoder",
    }
)
_HARMONY_FAMILIES = frozenset({"gptoss", "gpt-oss"})
_TOOLS = re.compile(r"\btools\b|\.Tools\b")
_THINKING = re.compile(
    r"</?think>|</?thinking>|<seed:think>|\[THINK\]|<\|START_THINKING\|>|<\|inner_prefix\|>"
    r"|<\|channel>thought|◁think▷|Here is my thought process:"
    r"|\benable_thinking\b|\breasoning_content\b|\.Thinking\b"
)
_INSERT = re.compile(r"\.Suffix\b")
_FIM_KEYS = (
    ("tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.fim_suf_token_id"),
    ("tokenizer.ggml.prefix_token_id", "tokenizer.ggml.suffix_token_id"),
)


def _capabilities(
    header: GgufHeader, go_template: str, projectors: Sequence[GgufHeader]
) -> frozenset[Capability]:
    if is_embedding_only(header):
        return frozenset({Capability.EMBEDDING})
    templates = go_template + "\n" + (header.text("tokenizer.chat_template") or "")
    parts = (header, *projectors)
    claims: Mapping[Capability, bool] = {
        Capability.COMPLETION: True,
        Capability.TOOLS: bool(_TOOLS.search(templates)),
        Capability.THINKING: bool(_THINKING.search(templates))
        or header.architecture in _HARMONY_FAMILIES,
        Capability.INSERT: bool(_INSERT.search(go_template))
        or any(all(key in header.metadata for key in keys) for keys in _FIM_KEYS),
        Capability.VISION: any(has_encoder(part, "vision") for part in parts),
        Capability.AUDIO: any(has_encoder(part, "audio") for part in parts),
    }
    return frozenset(capability for capability, is_true in claims.items() if is_true)


def is_embedding_only(header: GgufHeader) -> bool:
    """Tell whether the model turns text into vectors and cannot answer."""
    if header.architecture in _EMBEDDING_FAMILIES:
        return True
    return (header.integer(header.own_key("pooling_type")) or 0) > 0


class FilePooling(IntEnum):
    """How the vectors of tokens become one, as a file says it."""

    MEAN = 1
    CLS = 2
    LAST = 3
    RANK = 4
    """They do not: the model tells how well a document fits a query."""


def pooling_of(header: GgufHeader) -> FilePooling | None:
    """Return what the file says of pooling; None where it does not."""
    number = header.integer(header.own_key("pooling_type"))
    return FilePooling(number) if number in set(FilePooling) else None


def has_encoder(header: GgufHeader, sense: str) -> bool:
    """Tell whether a file has what makes tokens of images (`vision`) or of sounds (`audio`)."""
    return bool(
        header.integer(header.own_key(f"{sense}.block_count"))
        or header.metadata.get(f"clip.has_{sense}_encoder") is True
    )
