"""From puna's values to llama.cpp's parameters: pure, and the only place where the two meet.

Native code takes a wrong number badly: a huge context gets the process killed, an unknown cache
type is a segmentation fault, a schema of forty bytes took all memory of the machine. So what passes
is an allow list with ranges, and everything else is a clear `Invalid` before it reaches the child.

`models.fit` counts the memory that these parameters make llama.cpp take. What it assumes is decided
here and nowhere else: one key-value stream for each slot (`kv_unified` off), `n_batch` equal to
`n_ubatch` equal to the spec's batch, no prompt cache outside the slots (`cache_ram_mib` 0), and few
snapshots of windows and states: llama.cpp's default of 32 a slot can be larger than the model.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from puna.chat.marks import Illustrated
from puna.chat.messages import Json
from puna.errors import Invalid
from puna.models.fit_memory import SNAPSHOTS
from puna.models.fit_offload import CardShare
from puna.models.options import Sampling
from puna.node.engine.closed_schemas import close_objects
from puna.node.engine.request import (
    CacheType,
    Completion,
    EngineFacts,
    Grammar,
    LoadSpec,
    Purpose,
)

_ERRORS_ONLY = 1
"""llama.cpp's log level; below it, a failed load does not say why."""
_LOAD_RANGES: Mapping[str, tuple[int, int]] = {
    "context": (1, 2**24),
    "slots": (1, 256),
    "batch": (2, 2**16),
    "gpu_layers": (-1, 2**31 - 1),
    "main_gpu": (0, 127),
    "threads": (1, 512),
}
_MOST_CELLS = 2**30
_CARDS = 128
"""How many numbers llama.cpp wants for a split."""
_ALL = 2**16
"""More layers than any model has."""
SCORED_TOGETHER = 255
"""Texts whose answers are scored in one step."""
_SAMPLING_LIMITS: Mapping[str, tuple[float, float]] = {
    # Beyond these a value means the same as the limit itself.
    "temperature": (0.0, 1000.0),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "typical_p": (0.0, 1.0),
    "repeat_penalty": (0.01, 100.0),
    "presence_penalty": (-1000.0, 1000.0),
    "frequency_penalty": (-1000.0, 1000.0),
}
_SEEDS = 2**32 - 1
"""llama.cpp's seeds are below this; the number itself, and -1, mean a random one."""
_MOST_LOGPROBS = 100
_MOST_BIAS = 1e6
_MOST_GUESSES = 64
_SEEN_RUN = 6
_MOST_STOP_BYTES = 2**20
_SCHEMA_BYTES = 2**18
_SCHEMA_DEPTH = 96
_SCHEMA_KEYS = 1000
"""The most keys of one object: the work for them grows with their square."""
_SCHEMA_COUNTS = 20_000
"""The most that all counts in a schema may add up to: grammars are written out item by item."""
_COUNTED = frozenset({"minItems", "maxItems", "minProperties", "maxProperties"})
_GUIDANCE: Mapping[str, Json] = {
    "lenient": True,
    "coerce_one_of": True,
    # One line. Where white space is free, small models lose themselves in it: of 20 answers of
    # SmolLM2, 14 came to their end within 200 tokens, and 18 so.
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
}
"""How llguidance reads a schema."""
_ANY_OBJECT: dict[str, Json] = {"type": "object", "x-guidance": _GUIDANCE}
_FINISH_FIELDS = (
    "content",
    "tokens",
    "completion_probabilities",
    "stop",
    "stop_type",
    "tokens_evaluated",
    "tokens_predicted",
    "truncated",
    "timings",
    "stopping_word",
)


class InvalidLoad(Invalid):
    """A parameter of a load is outside what the engine can take."""

    code = "invalid_load"


class InvalidSchema(Invalid):
    """The JSON schema is not one, or is more than the engine should be asked to follow."""

    code = "invalid_schema"


@dataclass(frozen=True, slots=True)
class Place:
    """Where the child listens: the path of a Unix socket, or a loopback address with a key."""

    host: str
    key: str = ""


def load_parameters(spec: LoadSpec, place: Place, *, threads: int) -> dict[str, Json]:
    """Return llama.cpp's parameters for a load, by dotted attribute name.

    `threads` counts where the spec leaves it open. Raises `InvalidLoad`.
    """
    _check_load(spec)
    count = spec.threads or threads
    return {
        "model.path": str(spec.weights),
        "hostnames": [place.host],
        "port": 0,
        "api_keys": [place.key] if place.key else [],
        "n_ctx": spec.context * spec.slots,
        "n_parallel": spec.slots,
        "n_batch": spec.batch,
        "n_ubatch": spec.batch,
        **offload_parameters(spec.shares, spec.gpu_layers),
        "mmproj_use_gpu": bool(spec.shares),
        "mmproj_device": spec.shares[0].name if spec.shares and spec.projector else "",
        "cpuparams.n_threads": count,
        "cpuparams_batch.n_threads": count,
        "load_mode": {None: "AUTO", True: "MMAP", False: "NONE"}[spec.use_mmap],
        "cache_type_k": spec.cache_type.upper(),
        "cache_type_v": spec.cache_type.upper(),
        "embedding": spec.purpose is Purpose.EMBED,
        "pooling_type": (spec.pooling or "unspecified").upper(),
        "flash_attn_type": {None: "AUTO", True: "ENABLED", False: "DISABLED"}[spec.flash_attention],
        "ctx_shift": True,
        "kv_unified": False,
        "cache_ram_mib": 0,
        "cache_idle_slots": False,
        "n_ctx_checkpoints": SNAPSHOTS,
        "fit_params": False,
        "verbosity": _ERRORS_ONLY,
        "sse_ping_interval": -1,
        "ui": False,
        "endpoint_props": False,
        "endpoint_slots": True,
        "endpoint_metrics": False,
        "cors_origins": "",
        "lora_adapters": [str(path) for path in spec.adapters],
        "mmproj.path": str(spec.projector or ""),
        # What it cannot decode llama.cpp gives to ffmpeg. No other program gets what clients send.
        "video_ffmpeg_bin_dir": os.devnull,
        **_speculation(spec),
    }


def offload_parameters(shares: Sequence[CardShare], layers: int) -> dict[str, Json]:
    """Return what puts layers on cards, or keeps everything off them.

    One card alone is `main_gpu`; several get whole layers in their order, as many as the plan says.
    Without a card llama.cpp would still send it long prompts: -1 leaves it none.
    """
    one = shares[0].number if len(shares) == 1 else -1
    counts = {each.number: float(each.layers) for each in shares}
    is_split = len(shares) > 1
    return {
        "n_gpu_layers": layers if shares else 0,
        "main_gpu": 0 if is_split else one,
        "split_mode": "LAYER" if is_split else "NONE",
        "tensor_split": [counts.get(place, 0.0) if is_split else 0.0 for place in range(_CARDS)],
    }


def _speculation(spec: LoadSpec) -> dict[str, Json]:
    """Return what makes llama.cpp guess ahead; nothing for no speculation."""
    speculation = spec.speculation
    if speculation is None:
        return {}
    most = max(1, min(speculation.most, _MOST_GUESSES))
    if speculation.draft is None:
        # A short run that was seen once is enough. llama.cpp's own sizes, 12 and 48, halved the
        # speed on a processor: there a guess that fails costs as much as the tokens it replaces.
        return {
            "speculative.types": ["NGRAM_SIMPLE"],
            "speculative.ngram_simple.size_n": _SEEN_RUN,
            "speculative.ngram_simple.size_m": most,
        }
    return {
        "speculative.types": ["DRAFT_SIMPLE"],
        "speculative.draft.mparams.path": str(speculation.draft),
        "speculative.draft.n_max": most,
        "speculative.draft.n_gpu_layers": _ALL if spec.shares else 0,
    }


def score_parameters(spec: LoadSpec, *, threads: int) -> dict[str, Json]:
    """Return what the worker needs to load a model to score. Raises `InvalidLoad`."""
    _check_load(spec)
    return {
        "score": {
            "path": str(spec.weights),
            "context": spec.context,
            "batch": spec.batch,
            "rows": min(spec.batch, SCORED_TOGETHER),
            "threads": spec.threads or threads,
            **offload_parameters(spec.shares, spec.gpu_layers),
            "cache_type": spec.cache_type.value,
            "flash_attention": {None: -1, True: 1, False: 0}[spec.flash_attention],
        }
    }


def _check_load(spec: LoadSpec) -> None:
    for name, (low, high) in _LOAD_RANGES.items():
        value = getattr(spec, name)
        if value is not None and not low <= value <= high:
            raise InvalidLoad(f"{name} must be between {low} and {high}, not {value}")
    if spec.context * spec.slots > _MOST_CELLS:
        raise InvalidLoad(
            f"{spec.slots} slots of {spec.context} tokens are more than llama.cpp takes"
        )
    if spec.batch < spec.slots:
        raise InvalidLoad(
            f"a batch of {spec.batch} tokens is too small for {spec.slots} slots",
            hint="a batch needs a token for each slot, or the engine crashes",
        )
    if spec.cache_type is not CacheType.F16 and spec.flash_attention is False:
        raise InvalidLoad(
            f"a {spec.cache_type} key-value cache needs flash attention, which is off",
            hint="unset OLLAMA_FLASH_ATTENTION or use an f16 cache",
        )


def completion_parameters(completion: Completion, facts: EngineFacts) -> dict[str, Json]:
    """Return the body of llama.cpp's `/completion`. Raises `Invalid`."""
    parameters: dict[str, Json] = {
        "prompt": _prompt(completion.prompt, facts),
        "n_predict": _token_limit(completion, facts),
        "n_probs": _probabilities(completion.logprobs),
        "cache_prompt": True,
        "return_tokens": True,
        "stream": True,
        # While it reads a prompt, llama.cpp sees a closed connection only when it writes to it: its
        # own look once a second is put off by every token of every other request.
        "return_progress": True,
        "response_fields": _FINISH_FIELDS,
    }
    if completion.grammar is not None:
        parameters["json_schema"] = schema_of(completion.grammar)
    if completion.shown:
        parameters["preserved_tokens"] = completion.shown
    if completion.logit_bias:
        parameters["logit_bias"] = _biases(completion.logit_bias, facts)
    if facts.adapters:
        parameters["lora"] = [
            {"id": number, "scale": float(path in completion.adapters)}
            for number, path in enumerate(facts.adapters)
        ]
    return parameters | _sampling_parameters(completion.sampling, facts)


def _prompt(prompt: tuple[int, ...] | str | Illustrated, facts: EngineFacts) -> Json:
    if isinstance(prompt, str):
        return prompt
    if not isinstance(prompt, Illustrated):
        check_tokens(prompt, facts)
        return prompt
    if not facts.sees_images:
        raise Invalid("this model sees no images")
    return {
        "prompt_string": facts.image_mark.join(prompt.texts),
        "multimodal_data": [image.base64 for image in prompt.images],
    }


def _biases(biases: Mapping[int, float], facts: EngineFacts) -> Json:
    check_tokens(tuple(biases), facts)
    return [
        [token, max(-_MOST_BIAS, min(bias, _MOST_BIAS))]
        for token, bias in biases.items()
        if math.isfinite(bias)
    ]


def check_tokens(tokens: Sequence[int], facts: EngineFacts) -> None:
    """Raise `Invalid` for the first number that is no token."""
    limit = facts.vocabulary
    for token in tokens:
        if not 0 <= token < limit:
            raise Invalid(f"token {token} is not in the vocabulary of {limit} tokens")


def check_length(tokens: Sequence[int], facts: EngineFacts) -> None:
    """Raise `Invalid` for more tokens than the context holds."""
    if len(tokens) > facts.context:
        raise Invalid(f"the text has {len(tokens)} tokens, the context {facts.context}")


def schema_of(grammar: Grammar) -> dict[str, Json]:
    """Return the schema to follow, parsed and found small enough. Raises `InvalidSchema`.

    What the engine cannot enforce is left out and said (`lenient`), not refused: Ollama's clients
    send such schemas all the time, and `format` is a remark by the standard's own words.
    """
    if grammar.schema is None:
        return _ANY_OBJECT
    if len(grammar.schema.encode(errors="replace")) > _SCHEMA_BYTES:
        raise InvalidSchema(f"the JSON schema is larger than {_SCHEMA_BYTES // 1024} KiB")
    try:
        schema: object = json.loads(grammar.schema)
    except RecursionError as error:
        raise InvalidSchema(f"the JSON schema is nested deeper than {_SCHEMA_DEPTH}") from error
    except ValueError as error:
        raise InvalidSchema(f"the JSON schema is not JSON: {error}") from error
    if not isinstance(schema, dict):
        raise InvalidSchema("the JSON schema is not an object")
    _check_size(schema)
    # Without a word it means any value, and to Ollama an object.
    return {**close_objects(schema), "x-guidance": _GUIDANCE} if schema else _ANY_OBJECT


def _check_size(schema: object) -> None:
    counts = 0.0
    for depth, key, value in _walk(schema):
        if depth > _SCHEMA_DEPTH:
            raise InvalidSchema(f"the JSON schema is nested deeper than {_SCHEMA_DEPTH}")
        if isinstance(value, dict) and len(value) > _SCHEMA_KEYS:
            raise InvalidSchema(f"the JSON schema has an object of more than {_SCHEMA_KEYS} keys")
        if key in _COUNTED and isinstance(value, int | float):
            counts += abs(value)
    if not counts <= _SCHEMA_COUNTS:
        raise InvalidSchema(
            f"the JSON schema counts more than {_SCHEMA_COUNTS} items and properties",
            hint="lower its minItems, maxItems, minProperties and maxProperties",
        )


def _walk(root: object) -> Iterator[tuple[int, str, object]]:
    left: list[tuple[int, str, object]] = [(1, "", root)]
    while left:
        depth, key, value = left.pop()
        yield depth, key, value
        if isinstance(value, dict):
            left += [(depth + 1, name, each) for name, each in value.items()]
        elif isinstance(value, list):
            left += [(depth + 1, "", each) for each in value]


def _token_limit(completion: Completion, facts: EngineFacts) -> int:
    if completion.shift or isinstance(completion.prompt, Illustrated):
        return min(completion.max_tokens, 2**31 - 1)
    if isinstance(completion.prompt, str):
        raise TypeError("a completion that may not shift needs its prompt as tokens")
    return max(0, min(completion.max_tokens, facts.context - len(completion.prompt)))


def _probabilities(logprobs: int | None) -> int:
    if logprobs is None:
        return 0
    if not 0 <= logprobs <= _MOST_LOGPROBS:
        raise Invalid(f"logprobs must be between 0 and {_MOST_LOGPROBS}, not {logprobs}")
    # 0 asks for the chosen token alone, but to llama.cpp means nothing at all.
    return max(1, logprobs)


def _sampling_parameters(sampling: Sampling, facts: EngineFacts) -> dict[str, Json]:
    stops = [stop for stop in dict.fromkeys(sampling.stop) if stop]
    if sum(len(stop) for stop in stops) > _MOST_STOP_BYTES:
        raise Invalid(f"the stop strings are longer than {_MOST_STOP_BYTES} characters together")
    limited: dict[str, Json] = {
        name: _limited(name, getattr(sampling, name)) for name in _SAMPLING_LIMITS
    }
    return limited | {
        "top_k": max(0, min(sampling.top_k, 2**31 - 1)),
        "repeat_last_n": min(sampling.repeat_last_n, facts.context)
        if sampling.repeat_last_n >= 0
        else facts.context,
        "seed": -1 if sampling.seed < 0 else sampling.seed % _SEEDS,
        "n_keep": max(-1, min(sampling.num_keep, 2**31 - 1)),
        "stop": stops,
    }


def _limited(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise Invalid(f"{name} must be a number, not {value}")
    low, high = _SAMPLING_LIMITS[name]
    return max(low, min(value, high))
