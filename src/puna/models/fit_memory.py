"""How many bytes llama.cpp takes for a model loaded in a given way: arithmetic only.

What is counted is the most that is ever resident in the engine's process: the mapped file, the
copies of tensors that llama.cpp rearranges for this processor, the key-value cache (committed when
the model is loaded), snapshots of what cannot be rolled back, the scratch of the computation, and
the process itself. The formulas follow the allocations of the pinned llama.cpp; `bench/fit.py`
measures them against real loads.
"""

from collections.abc import Mapping, Set as AbstractSet
from dataclasses import dataclass
from types import MappingProxyType

from puna.errors import Invalid
from puna.models.fit_shape import Layer, ModelShape
from puna.models.gguf import GgufHeader
from puna.models.gguf_check import TensorRecord
from puna.units import Size

SNAPSHOTS = 2
"""Snapshots that the engine keeps of each slot (`n_ctx_checkpoints`), to go back in a prompt."""
_PADDING = 256
"""llama.cpp rounds contexts and windows up to a multiple of this."""
_CACHE_TYPES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"f16": (1, 2), "q8_0": (32, 34), "q4_0": (32, 18)}
)
"""Numbers in a block, and its bytes."""
_CONVERTED = 2
"""Bytes of a number beside the largest type of weights that needs conversion, F16."""
_POSITION = 12
"""Bytes that a snapshot adds to each token."""
_FLOAT = 4
_INPUTS = 2**16
"""Bytes of a computation's small inputs: token ids, positions."""
_ROTATION = 2**20
"""Bytes of the tables that turn keys and values before they are made smaller."""

_REARRANGED_ON_X86 = frozenset({"IQ4_NL", "MXFP4", "Q4_0", "Q4_K"})
_REARRANGED_ON_ARM = _REARRANGED_ON_X86 | {"Q1_0", "Q5_K", "Q6_K", "Q8_0"}
_ROWS_TOGETHER = 8
_X86 = frozenset({"amd64", "i686", "x86_64"})

_PROCESS = 43_000_000
"""Bytes of a loaded worker without a model: Python, the library, the HTTP server, its threads."""
_THREAD = 120_000
"""Bytes of each thread that computes: stack and scratch."""
_TOKEN = 175
"""Bytes of the tokenizer for each token."""
_MERGE = 110
"""Bytes of the tokenizer for each merge rule."""
_JSON_TOKEN = 620
"""Bytes for each token of the tables that answers in JSON need."""
_CANDIDATE = 13
"""Bytes of a slot's sampler for each token of the vocabulary."""
_SLOT = 400_000
"""Bytes of a slot beside: its prompt, its answer, its connection."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a model is to be loaded."""

    context: int
    """Tokens of one slot."""
    parallel: int
    """Slots."""
    cache_type: str = "f16"
    batch: int = 512
    is_mapped: bool = True
    """The file is mapped, not read into memory of the process."""
    has_flash_attention: bool = True
    outputs: int = 0
    """Tokens of one computation whose next token is told, where it is not one for each slot."""

    keeps_all: bool = False
    """Layers with a window keep all tokens as well."""
    beside: Size = Size(0)  # noqa: RUF009 - a number
    """What is loaded with the model and does not depend on how: a projector."""

    @property
    def told(self) -> int:
        """Rows of probabilities that one computation makes, each as long as the vocabulary."""
        return max(self.parallel, self.outputs)

    @property
    def cells(self) -> int:
        """Tokens that the cache of one slot has room for."""
        return _padded(-(-_padded(self.context * self.parallel) // self.parallel))

    @property
    def tokens(self) -> int:
        """The most tokens computed together."""
        return min(self.batch, self.context * self.parallel)


def check_plan(plan: Plan) -> None:
    """Raise `Invalid` for a plan that no engine can follow."""
    for name in ("context", "parallel", "batch"):
        value = getattr(plan, name)
        if value < 1:
            raise Invalid(f"{name} must be at least 1, not {value}")
    if plan.cache_type not in _CACHE_TYPES:
        raise Invalid(
            f'"{plan.cache_type}" is not a type of key-value cache',
            hint=f"use one of {', '.join(_CACHE_TYPES)}",
        )


def weights_size(header: GgufHeader) -> Size:
    """Return the bytes of the tensors, as they lie in the file (in all files of a split model)."""
    end = max((tensor.offset + tensor.size for tensor in header.tensors), default=0)
    return Size(end * max(1, header.integer("split.count") or 1))


def rearranged_size(
    header: GgufHeader, machine: str, elsewhere: AbstractSet[str] = frozenset()
) -> Size:
    """Return the bytes of tensors that llama.cpp copies into another order for `machine`.

    Those named in `elsewhere` are on a card.
    """
    has_output = any(tensor.name == "output.weight" for tensor in header.tensors)
    copied = sum(
        tensor.size
        for tensor in header.tensors
        if tensor.name not in elsewhere
        and is_rearranged(tensor.type.name, machine)
        and _is_multiplied(tensor, has_output=has_output)
    )
    return Size(copied * max(1, header.integer("split.count") or 1))


def is_rearranged(kind: str, machine: str) -> bool:
    """Tell whether llama.cpp copies matrices of this type into another order for `machine`."""
    return kind in (_REARRANGED_ON_X86 if machine.lower() in _X86 else _REARRANGED_ON_ARM)


def _is_multiplied(tensor: TensorRecord, *, has_output: bool) -> bool:
    if len(tensor.shape) not in {2, 3} or tensor.shape[1] % _ROWS_TOGETHER:
        return False
    # Looked up by row; only where it doubles as the output is it multiplied as well.
    return not has_output if tensor.name == "token_embd.weight" else True


def cache_size(shape: ModelShape, plan: Plan) -> Size:
    """Return the bytes of keys, values and states of all slots."""
    return Size(sum(layer_cache_size(layer, shape, plan) for layer in shape.layers))


def layer_cache_size(layer: Layer, shape: ModelShape, plan: Plan) -> int:
    """Return the bytes of keys, values and states of all slots in one layer."""
    windowed = layer.has_window and not plan.keeps_all
    cells = _window_cells(shape, plan) if windowed else plan.cells
    return plan.parallel * (cells * _token_size(layer, plan) + layer.state_size)


def _window_cells(shape: ModelShape, plan: Plan) -> int:
    return _padded(min(plan.cells, shape.window + plan.tokens))


def _token_size(layer: Layer, plan: Plan) -> int:
    widths = (layer.key_width, layer.value_width, layer.index_width)
    return sum(_row_size(width, plan.cache_type) for width in widths)


def _row_size(width: int, cache_type: str) -> int:
    block, size = _CACHE_TYPES[cache_type]
    return -(-width // block) * size


def snapshots_size(shape: ModelShape, plan: Plan) -> Size:
    """Return the bytes of the snapshots that the engine makes of windows and states."""
    windowed = [layer for layer in shape.layers if layer.has_window]
    tokens = min(plan.context, shape.window)
    one = tokens * sum(_token_size(layer, plan) for layer in windowed)
    one += tokens * _POSITION if windowed else 0
    one += sum(layer.state_size for layer in shape.layers)
    return Size(SNAPSHOTS * plan.parallel * one)


def scratch_size(shape: ModelShape, plan: Plan) -> Size:
    """Return the bytes of the buffers that one computation uses.

    llama.cpp plans them for its largest batch. They hold the widest of the stages of a layer:
    feed-forward, experts, attention, recurrence, or the shift of a full cache.
    """
    tokens = -(-plan.tokens // plan.parallel) * plan.parallel
    row = tokens * _FLOAT
    widest = max(
        row * (3 * shape.feed_forward + 5 * shape.embedding),
        _experts(shape, row),
        _attention(shape, plan, row),
        _recurrence(shape, plan, row),
        _shift(shape, plan),
        row * 2 * shape.embedding + plan.told * shape.vocabulary * _FLOAT,
    )
    small = _INPUTS if plan.cache_type == "f16" else _INPUTS + _ROTATION
    outputs = plan.told * shape.vocabulary * _FLOAT
    return Size(widest + _masks(shape, plan, tokens) + outputs + small)


def _experts(shape: ModelShape, row: int) -> int:
    inside = shape.experts_used * shape.expert_width
    outside = shape.experts_used * shape.embedding
    first = 3 * inside + 5 * shape.embedding
    return row * max(first, inside + 2 * outside + 3 * shape.embedding)


def _attention(shape: ModelShape, plan: Plan, row: int) -> int:
    stored = max((layer.key_width + layer.value_width for layer in shape.layers), default=0)
    projected = row * (4 * shape.embedding + 4 * shape.query_width + stored)
    if plan.has_flash_attention:
        return projected
    if shape.only_encodes:
        return projected + row * plan.tokens * shape.heads
    return projected + row * plan.cells * shape.heads if stored else projected


def _recurrence(shape: ModelShape, plan: Plan, row: int) -> int:
    if not shape.state_width:
        return 0
    state = max(layer.state_size for layer in shape.layers)
    return row * 3 * (shape.state_width + shape.embedding) + 2 * plan.parallel * state


def _shift(shape: ModelShape, plan: Plan) -> int:
    """Return what forgetting the oldest part of a full context takes: a cache is unpacked."""
    if plan.cache_type == "f16":
        return 0
    widest = max((layer.key_width for layer in shape.layers), default=0)
    return 2 * plan.cells * plan.parallel * widest * _FLOAT


def _masks(shape: ModelShape, plan: Plan, tokens: int) -> int:
    size = 2 if plan.has_flash_attention else _FLOAT
    if shape.only_encodes:
        return size * tokens * tokens
    attending = [layer for layer in shape.layers if layer.key_width]
    full = plan.cells if any(not layer.has_window for layer in attending) else 0
    windowed = any(layer.has_window for layer in attending)
    return size * tokens * (full + (_window_cells(shape, plan) if windowed else 0))


def work_size(shape: ModelShape, plan: Plan) -> Size:
    """Return the bytes in which factors of a product are converted to the type of the weights."""
    widest = max(
        shape.feed_forward,
        shape.experts_used * shape.expert_width,
        shape.query_width,
        shape.state_width,
    )
    if not plan.has_flash_attention:
        widest = max(widest, plan.cells * shape.heads)
    return Size(plan.tokens * widest * _CONVERTED)


def process_size(shape: ModelShape, plan: Plan, *, threads: int) -> Size:
    """Return the bytes of the process beside the model: library, tokenizer, server, samplers."""
    tokenizer = shape.vocabulary * _TOKEN + shape.merges * _MERGE
    slots = plan.parallel * (_SLOT + shape.vocabulary * _CANDIDATE)
    return Size(_PROCESS + threads * _THREAD + tokenizer + slots)


def json_size(shape: ModelShape) -> Size:
    """Return the bytes of the tables that llguidance makes, and keeps, for answers in JSON."""
    return Size(shape.vocabulary * _JSON_TOKEN)


def _padded(number: int) -> int:
    return -(-number // _PADDING) * _PADDING
