"""Options of a generation and of a load: one table says what each is called, means and may be.

Names, types, defaults and error texts are Ollama's, since its clients send them. Ollama passes
every number on to llama.cpp; here a number that would crash the engine, take gigabytes or give only
NaN is refused first, with the range in the message. The defaults stand in the dataclasses, the
names and ranges in `OPTION_TABLE`, nothing twice.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import cast

from puna.errors import Failed, Invalid

MAX_STOPS = 1024
"""The most stop strings of one request. The engine looks for each of them after every token."""
MAX_STOP_LENGTH = 4096
"""The most characters of one stop string. The engine holds back that much text of a stream."""

OptionValue = bool | int | float | tuple[str, ...]

_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1
_ANY_SEED = 2**32 - 1
# Below this, dividing the logits by the temperature can overflow a float32; the likeliest token has
# all of the probability long before.
_COLDEST = 1e-6


class OptionError(Failed):
    """An option has a value of the wrong type. Ollama answers 500 to this, not 400."""

    code = "option_type"


class OptionOutOfRange(Invalid):
    """An option has a value that the engine cannot take."""

    code = "option_range"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. Differs between requests to one loaded model."""

    temperature: float = 0.8
    top_k: int = 40
    top_p: float = 0.9
    min_p: float = 0.0
    typical_p: float = 1.0
    repeat_last_n: int = 64
    repeat_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int = -1
    """-1 is a new one each time; else 0 to 2**32 - 2."""
    num_keep: int = 4
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Loading:
    """How a model is loaded; None is automatic. Other values than the loaded ones load it again."""

    num_ctx: int | None = None
    num_batch: int | None = None
    num_gpu: int | None = None
    main_gpu: int | None = None
    use_mmap: bool | None = None
    num_thread: int | None = None
    draft_num_predict: int | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """All options of one request."""

    sampling: Sampling = field(default_factory=Sampling)
    loading: Loading = field(default_factory=Loading)
    num_predict: int = -1
    """The most tokens to generate; negative is no limit but the caller's own."""


DEFAULTS = Options()


class OptionKind(StrEnum):
    """The type of an option, in the words of Ollama's error messages."""

    INTEGER = "integer"
    FLOAT = "float32"
    BOOLEAN = "boolean"
    STRINGS = "array"


class OptionGroup(StrEnum):
    """Where an option takes effect."""

    SAMPLING = "sampling"
    LOADING = "loading"
    RUN = "run"


_LOAD, _SAMPLE, _RUN = OptionGroup.LOADING, OptionGroup.SAMPLING, OptionGroup.RUN
_INT, _FLOAT = OptionKind.INTEGER, OptionKind.FLOAT


@dataclass(frozen=True, slots=True)
class OptionRow:
    """One option: its name, type, group and range, and what it does in a sentence."""

    name: str
    kind: OptionKind
    group: OptionGroup
    range: tuple[float, float] | None
    summary: str
    automatic: int | None = None
    """The number that means automatic, for an option of a load."""

    @property
    def default(self) -> OptionValue | None:
        """The value where nothing is given; None is automatic."""
        return _DEFAULT_BY_NAME[self.name]


_ROWS = (
    OptionRow("num_ctx", _INT, _LOAD, (0, _INT32_MAX), "tokens of prompt and answer together", 0),
    OptionRow("num_batch", _INT, _LOAD, (0, 65536), "tokens of a prompt computed in one step", 0),
    OptionRow("num_gpu", _INT, _LOAD, (-1, _INT32_MAX), "layers on the card; 0 is no card", -1),
    OptionRow("main_gpu", _INT, _LOAD, (0, 127), "the card to use where one is used"),
    OptionRow("use_mmap", OptionKind.BOOLEAN, _LOAD, None, "map the file instead of reading it"),
    # More than GGML_MAX_N_THREADS = 512 is a failed assertion in the engine.
    OptionRow("num_thread", _INT, _LOAD, (0, 512), "processor threads", 0),
    OptionRow(
        "draft_num_predict", _INT, _LOAD, (0, 1024), "tokens that a draft model guesses ahead"
    ),
    OptionRow(
        "num_keep", _INT, _SAMPLE, (-1, _INT32_MAX), "first tokens that stay in a full context"
    ),
    OptionRow(
        "num_predict",
        _INT,
        _RUN,
        (-_INT32_MAX, _INT32_MAX),
        "the most tokens; negative is no limit",
    ),
    OptionRow("seed", _INT, _SAMPLE, (-_INT64_MAX, _INT64_MAX), "start of chance; -1 is a new one"),
    OptionRow(
        "temperature", _FLOAT, _SAMPLE, (-1000, 1000), "how freely to choose; 0 is not at all"
    ),
    OptionRow(
        "top_k", _INT, _SAMPLE, (-_INT32_MAX, _INT32_MAX), "choose among so many tokens; 0 is all"
    ),
    OptionRow("top_p", _FLOAT, _SAMPLE, (0, 1000), "choose among tokens of this total probability"),
    OptionRow("min_p", _FLOAT, _SAMPLE, (0, 1000), "leave out tokens below this share of the best"),
    OptionRow("typical_p", _FLOAT, _SAMPLE, (0, 1000), "keep tokens of typical surprise; 1 is off"),
    # The engine allocates four bytes for each.
    OptionRow(
        "repeat_last_n", _INT, _SAMPLE, (-1, 2**20), "tokens looked back at; -1 is the context"
    ),
    # Logits are divided by it: 0 gives infinity and then NaN.
    OptionRow("repeat_penalty", _FLOAT, _SAMPLE, (0.01, 100), "avoid repeated tokens; 1 is off"),
    OptionRow("presence_penalty", _FLOAT, _SAMPLE, (-1000, 1000), "avoid tokens that appeared"),
    OptionRow("frequency_penalty", _FLOAT, _SAMPLE, (-1000, 1000), "the same for each appearance"),
    OptionRow("stop", OptionKind.STRINGS, _SAMPLE, None, "texts that end the answer"),
)
OPTION_TABLE: Mapping[str, OptionRow] = MappingProxyType({row.name: row for row in _ROWS})

_DEFAULT_BY_NAME: Mapping[str, OptionValue | None] = {
    **asdict(DEFAULTS.sampling),
    **asdict(DEFAULTS.loading),
    "num_predict": DEFAULTS.num_predict,
}


@dataclass(frozen=True, slots=True)
class ParsedOptions:
    """Options, and the names that nobody knows. Ollama only logs those; puna says so."""

    options: Options
    ignored: tuple[str, ...] = ()


def parse_options(given: Mapping[str, object], *, over: Options = DEFAULTS) -> ParsedOptions:
    """Return `over` with the values of a JSON object on top; null leaves a value as it is.

    Raises:
        OptionError: A value has the wrong type.
        OptionOutOfRange: A number is outside its range, or there are too many stop strings.
    """
    changes: dict[OptionGroup, dict[str, OptionValue | None]] = {group: {} for group in OptionGroup}
    ignored = []
    for name, value in given.items():
        row = OPTION_TABLE.get(name)
        if row is None:
            ignored.append(name)
        elif value is not None:
            parsed = parse_option(row, value)
            is_automatic = row.automatic is not None and parsed == row.automatic
            changes[row.group][name] = None if is_automatic else parsed
    options = Options(
        sampling=replace(over.sampling, **changes[_SAMPLE]),  # type: ignore[arg-type]
        loading=replace(over.loading, **changes[_LOAD]),  # type: ignore[arg-type]
        num_predict=cast("int", changes[_RUN].get("num_predict", over.num_predict)),
    )
    return ParsedOptions(options, tuple(ignored))


def parse_option(row: OptionRow, value: object) -> OptionValue:
    """Return the value of one option as the engine will get it. Raises as `parse_options`."""
    if row.kind is OptionKind.BOOLEAN:
        if not isinstance(value, bool):
            raise _wrong_type(row)
        return value
    if row.kind is OptionKind.STRINGS:
        return _stops(row, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(row)
    return _number(row, value)


def _wrong_type(row: OptionRow) -> OptionError:
    return OptionError(f'option "{row.name}" must be of type {row.kind}')


def _number(row: OptionRow, value: float) -> int | float:
    low, high = row.range or (-math.inf, math.inf)
    # The float is compared before it is cut: NaN is in no range, infinity is above every one.
    if not low <= (value if row.kind is _FLOAT else _cut(value)) <= high:
        raise OptionOutOfRange(
            f'option "{row.name}" must be from {low} to {high}, not {_shown(value)}'
        )
    if row.kind is _FLOAT:
        return 0.0 if row.name == "temperature" and 0 < value < _COLDEST else float(value)
    if row.name == "seed":
        # The engine keeps 32 bits, and takes all ones for a new seed.
        bits = int(value) & _ANY_SEED
        return -1 if bits == _ANY_SEED else bits
    return int(value)


def _cut(value: float) -> float:
    return int(value) if isinstance(value, int) or math.isfinite(value) else value


def _shown(value: float) -> str:
    # Python does not print integers of more than 4300 digits.
    return str(value) if not isinstance(value, int) or abs(value) < 10**30 else "a longer number"


_SURROGATES = re.compile("[\ud800-\udfff]")


def _stops(row: OptionRow, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong_type(row)
    if not all(isinstance(item, str) for item in value):
        raise OptionError(f'option "{row.name}" must be of an array of strings')
    if len(value) > MAX_STOPS:
        raise OptionOutOfRange(
            f'option "{row.name}" may have at most {MAX_STOPS} strings, not {len(value)}'
        )
    if any(len(item) > MAX_STOP_LENGTH for item in value):
        raise OptionOutOfRange(
            f'option "{row.name}" may have strings of at most {MAX_STOP_LENGTH} characters'
        )
    # JSON can carry half of a UTF-16 pair, which Go reads as the replacement character. An empty
    # string never stops anything.
    return tuple(_SURROGATES.sub("\ufffd", item) for item in value if item)
