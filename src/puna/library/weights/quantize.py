"""Store a model's weights with fewer bits, as llama.cpp's `llama-quantize` would.

The numbers are made in a child process (`quantizer`), tensor by tensor; the header is written here:
each entry of the metadata byte for byte as it was, but for the two that say the format. So a file
of any size needs a few megabytes of memory, and a crash, a full disk or a cut leaves nothing.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from puna.hardware.processor import detect_processor
from puna.library.draft import Draft
from puna.library.weights.child import start
from puna.library.weights.made import NO_DIGEST, Made
from puna.models.details import details_of
from puna.models.gguf import GgufHeader, ValueKind, metadata_entries
from puna.models.gguf_write import NewTensor, entry_bytes, head_bytes, padded
from puna.models.mix import PLAIN, AlreadyQuantized, Level, choose_types, count_fallbacks
from puna.models.tensor_types import TensorType
from puna.progress import Progress, Step, Transfer
from puna.units import Size

_PROGRAM = "puna.library.weights.quantizer"
_CHUNK = 1 << 22
_QUANTIZATION_VERSION = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """What quantizing a file means: the format of each tensor, and the new header."""

    header: GgufHeader
    level: Level
    types: tuple[TensorType, ...]

    @property
    def tensors(self) -> tuple[NewTensor, ...]:
        """The tensors as they will be."""
        pairs = zip(self.header.tensors, self.types, strict=True)
        return tuple(NewTensor(tensor.name, kind, tensor.shape) for tensor, kind in pairs)


def plan_quantizing(header: GgufHeader, level: Level) -> Plan | None:
    """Return what is to be done; None for a file of this level. Raises `AlreadyQuantized`."""
    found = details_of(header).quantization_level
    if found not in PLAIN:
        raise AlreadyQuantized(found)
    return None if found == level.name else Plan(header, level, choose_types(header, level))


def quantized(plan: Plan, draft: Draft) -> Generator[Progress, None, Made]:
    """Make the new file in the store, yield how far it is, and return it. Blocks.

    Raises `StoreFull` and its kin, `WeightsLost`, and `Failed` for numbers that have no new form.
    """
    found = details_of(plan.header).quantization_level
    status = f"quantizing {found} model to {plan.level.name}"
    odd = count_fallbacks(plan.header.tensors, plan.types, plan.level)
    if odd:
        block = plan.level.type.block
        yield Step(
            f"{odd} of {len(plan.types)} tensors get larger formats than {plan.level.name} has:"
            f" their rows are no multiple of {block}"
        )
    begin = head_of(plan)
    total = sum(padded(tensor.size, plan.header.alignment) for tensor in plan.tensors)
    draft.ensure_room(len(begin) + total)
    work = f"quantizing to {plan.level.name}"
    with draft.build() as incoming:
        incoming.write(begin)
        with start(_PROGRAM, _job(plan), work=work) as output:
            done = 0
            while done < total:
                chunk = output.read(min(_CHUNK, total - done))
                incoming.write(chunk)
                done += len(chunk)
                told = Size(plan.header.file_size * done // total)
                yield Transfer(status, NO_DIGEST, Size(plan.header.file_size), told)
            output.finish()
    yield Step("verifying conversion")
    return Made(incoming.digest, incoming.size)


def head_of(plan: Plan) -> bytes:
    """Return all that stands before the new file's numbers."""
    entries = metadata_entries(plan.header.path)
    for key, value in (
        ("general.quantization_version", _QUANTIZATION_VERSION),
        ("general.file_type", plan.level.number),
    ):
        entries[key] = entry_bytes(key, ValueKind.UINT32, value)
    return head_bytes(list(entries.values()), plan.tensors, alignment=plan.header.alignment)


def _job(plan: Plan) -> dict[str, object]:
    header = plan.header
    return {
        "path": str(Path(header.path).resolve()),
        "alignment": header.alignment,
        "threads": detect_processor().best_threads,
        "tensors": [
            {
                "name": tensor.name,
                "offset": header.data_offset + tensor.offset,
                "width": tensor.shape[0] if tensor.shape else 1,
                "rows": tensor.elements // (tensor.shape[0] if tensor.shape else 1),
                "old": tensor.type.number,
                "new": kind.number,
            }
            for tensor, kind in zip(header.tensors, plan.types, strict=True)
        ],
    }
