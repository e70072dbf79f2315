"""A model in safetensors becomes a GGUF file in the store, and so does an adapter.

The work is done in a child process (`converter`), which only reads; what it writes is stored here.
"""

import json
from collections.abc import Generator, Mapping
from pathlib import Path

from puna.library.draft import Draft
from puna.library.weights.adapter import Base
from puna.library.weights.child import start
from puna.library.weights.made import NO_DIGEST, Made
from puna.models.gguf import GgufHeader
from puna.progress import Progress, Step, Transfer
from puna.units import Size

_PROGRAM = "puna.library.weights.converter"
_CHUNK = 1 << 22


def converted(
    files: Mapping[str, Path], draft: Draft, *, base: GgufHeader | None = None
) -> Generator[Progress, None, Made]:
    """Make a GGUF file of a model's files, or of an adapter's for `base`, and return it. Blocks.

    Raises `CannotConvert`, `Invalid` for files that are wrong, `WeightsLost`, `StoreFull`.
    """
    status = "converting adapter" if base else "converting model"
    yield Step(status)
    job: dict[str, object] = {"files": {name: str(path.resolve()) for name, path in files.items()}}
    job |= {"base": _base(base)} if base else {}
    with start(_PROGRAM, job, work=status) as output:
        first = json.loads(output.line())
        for said in first["said"]:
            yield Step(said)
        total = Size(first["size"])
        draft.ensure_room(total)
        with draft.build() as incoming:
            while incoming.size < total:
                incoming.write(output.read(min(_CHUNK, total - incoming.size)))
                yield Transfer(status, NO_DIGEST, total, incoming.size)
            output.finish()
    return Made(incoming.digest, incoming.size)


def _base(header: GgufHeader) -> Base:
    heads = header.integer(header.own_key("attention.head_count")) or 0
    shared = header.integer(header.own_key("attention.head_count_kv")) or heads
    return {"family": header.architecture, "heads": heads, "key_heads": shared}
