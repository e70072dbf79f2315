"""Engines that die, loads called off and schemas that explode, with the real model."""

import json
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.serving import Answer, Serving, rest_of, until

pytestmark = [pytest.mark.journey, pytest.mark.model]

HI = {"model": "smollm2", "prompt": "hi", "stream": False, "options": {"num_predict": 2}}
STORY = {
    "model": "smollm2",
    "prompt": "Tell a long story.",
    "options": {"num_predict": 500, "temperature": 0},  # by chance it may end after five words
}
LOAD = {"model": "smollm2"}
UNLOAD = {"model": "smollm2", "keep_alive": 0}
DYING = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT)


@pytest.fixture
def dens() -> Iterator[Path]:
    """Where engines have their directories: short enough for a socket, and nobody else's."""
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture
def serving(tmp_path: Path, dens: Path) -> Iterator[Serving]:
    with Serving(tmp_path, TMPDIR=str(dens), PUNA_CONTEXT_LENGTH="1024") as one:
        yield one


def answers(serving: Serving) -> bool:
    return serving.ask("/api/generate", HI).last["done"] is True


def ending(client: socket.socket) -> str:
    """Tell how a stream ended: `done`, `error`, or `cut` if it said nothing."""
    received = rest_of(client)
    if b'"done":true' in received:
        return "done"
    return "error" if b'{"error":"' in received else "cut"


@pytest.mark.parametrize("number", DYING, ids=lambda number: number.name)
def test_an_engine_that_dies_fails_its_streams_in_words_and_is_replaced(
    serving: Serving, dens: Path, number: signal.Signals
) -> None:
    answers(serving)
    (engine,) = serving.engines
    streams = [serving.begin(STORY) for _ in range(4)]
    waiting = [serving.begin(HI | {"stream": True}) for _ in range(4)]
    for client in streams:
        client.recv(1)
    os.kill(engine.pid, number)
    assert [ending(client) for client in streams] == ["error"] * 4
    assert [ending(client) for client in waiting] == ["done"] * 4
    assert answers(serving)
    assert [each.pid for each in serving.engines] != [engine.pid]
    assert len(list(dens.iterdir())) == 1


def test_an_engine_killed_again_and_again_leaves_no_trace(serving: Serving, dens: Path) -> None:
    whole: list[Answer] = []
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(serving.ask, "/api/generate", HI) for _ in range(24)]
        killed: set[int] = set()
        while not all(each.done() for each in asked):
            until(lambda: all(each.done() for each in asked) or serving.engines)
            for engine in serving.engines:
                if len(killed) < 5 and engine.pid not in killed:
                    killed.add(engine.pid)
                    engine.kill()
        whole = [each.result() for each in asked]
    assert len(killed) == 5
    assert {each.status for each in whole} <= {200, 500}
    assert all("error" in each.last for each in whole if each.status == 500)
    assert answers(serving)
    assert len(psutil.Process(serving.process.pid).children()) == 1
    assert len(list(dens.iterdir())) == 1


def test_clients_that_vanish_in_every_phase_leave_a_working_engine(serving: Serving) -> None:
    answers(serving)
    before, engine = serving.open_files, serving.engines
    for number in range(40):
        phase = number % 4
        prompt = "word " * 900 if phase == 0 else "Tell a long story."
        clients = [serving.begin(STORY | {"prompt": prompt, "stream": phase != 1})]
        if phase == 2:
            clients[0].recv(1)
        if phase == 3:
            clients += [serving.begin(STORY) for _ in range(8)]
        for client in clients:
            client.close()
    assert answers(serving)
    assert serving.engines == engine
    until(lambda: serving.open_files <= before)


def test_loads_that_are_called_off_leave_nothing(serving: Serving, dens: Path) -> None:
    for _ in range(3):
        client = serving.begin(LOAD)
        until(lambda: serving.engines)
        client.close()
        until(lambda: not serving.engines)
    until(lambda: not list(dens.iterdir()))
    assert answers(serving)


def test_a_signal_during_a_load_ends_it_and_the_server(serving: Serving, dens: Path) -> None:
    client = serving.begin(HI)
    until(lambda: serving.engines)
    engines = serving.engines
    assert serving.end(signal.SIGTERM) == 0
    assert ending(client) in {"done", "error"}  # a quick load leaves time to answer
    assert psutil.wait_procs(engines, timeout=30)[1] == []
    assert list(dens.iterdir()) == []


def test_after_a_killed_server_the_next_clears_what_it_left(tmp_path: Path, dens: Path) -> None:
    settings = {"TMPDIR": str(dens), "PUNA_CONTEXT_LENGTH": "512"}
    with Serving(tmp_path, **settings) as first:
        client = first.begin(STORY)
        client.recv(1)
        engines = first.engines
        first.end(signal.SIGKILL)
    client.close()
    until(lambda: not any(alive(each) for each in engines))
    assert len(list(dens.iterdir())) == 1
    with Serving(tmp_path, **settings) as second:
        assert answers(second)
        assert len(list(dens.iterdir())) == 1


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_model_in_use_may_be_unloaded_and_removed(serving: Serving) -> None:
    assert serving.ask("/api/copy", {"source": "smollm2", "destination": "mine"}).status == 200
    story = STORY | {"model": "mine", "options": {"num_predict": 40}}
    removed = serving.begin(story)
    removed.recv(1)
    assert serving.ask("/api/delete", {"model": "mine"}, method="DELETE").status == 200
    unloaded = serving.begin(story | {"model": "smollm2"})
    unloaded.recv(1)
    assert serving.ask("/api/generate", UNLOAD).last["done_reason"] == "unload"
    assert (ending(removed), ending(unloaded)) == ("done", "done")
    assert serving.ask("/api/generate", HI | {"model": "mine"}).status == 404
    assert answers(serving)


def doubling(word: str) -> dict[str, object]:
    """A schema of a page that stands for two to the power of 24."""
    definitions: dict[str, object] = {"a0": {"type": "string"}}
    for level in range(1, 25):
        definitions[f"a{level}"] = {word: [{"$ref": f"#/$defs/a{level - 1}"}] * 2}
    return {"$defs": definitions, "$ref": "#/$defs/a24"}


SCHEMAS = [
    doubling("anyOf"),
    doubling("allOf"),
    {"$ref": "#"},
    {"$ref": "file:///etc/passwd"},
    {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    {"type": "string", "minLength": 10**9},
    {"type": "array", "minItems": 10**18},
    {"type": "string", "pattern": "((((a{100}){100}){100}){100})"},
    {"type": "string", "pattern": "(a?){5000}a{5000}"},
    {"type": "string", "pattern": "(x+x+)+y"},
    {"type": "string", "pattern": "("},
    {"type": "string", "pattern": "(?:" * 2000 + "a" + ")" * 2000},
    {"type": "number", "multipleOf": 1e-300},
    {"type": "integer", "minimum": -(10**40)},
    {"type": "object", "properties": {'a\0"\\\n}': {"type": "string"}}},
    {"const": "x\n%llguidance {}\nstart: /a/"},
    {"x-guidance": {"whitespace_pattern": "(a*)*"}, "type": "object"},
    {"x-guidance": 5, "type": 5, "properties": [1], "required": "a"},
]


def test_schemas_that_explode_are_followed_or_refused(serving: Serving) -> None:
    answers(serving)
    engine = serving.engines
    bodies = [HI | {"format": schema} for schema in SCHEMAS]
    statuses = [serving.ask("/api/generate", body).status for body in bodies]
    assert set(statuses) <= {200, 400}, dict(zip(map(json.dumps, SCHEMAS), statuses, strict=True))
    assert answers(serving)
    assert serving.engines == engine


OPTIONS: list[dict[str, object]] = [
    {"temperature": 1000, "top_k": 2**31 - 1, "repeat_penalty": 0.01, "typical_p": 0},
    {"presence_penalty": -1000, "frequency_penalty": 1000, "repeat_last_n": -1, "min_p": 1000},
    {"stop": [f"{number:04} " + "x" * 900 for number in range(1024)]},
    {"stop": ["\0", "\n", ""], "seed": 2**63 - 1, "num_keep": 2**31 - 1},
    {"num_batch": 1},
    {"num_ctx": 1},
    {"num_ctx": 2**31 - 1, "num_thread": 64},
]


def test_options_at_their_limits_do_not_end_the_engine(serving: Serving) -> None:
    for options in OPTIONS:
        answer = serving.ask("/api/generate", HI | {"options": {"num_predict": 2, **options}})
        assert answer.status == 200, answer.last
        assert len(serving.engines) == 1
