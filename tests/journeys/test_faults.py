"""Bad input, bad clients and bad disks against a real server, which outlives them all."""

import http.client
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.builders import LLAMA, LLAMA_TENSORS, a_digest, a_gguf
from tests.serving import Serving, rest_of, until
from tests.stores import blob_name, blob_names, leftovers, put

pytestmark = pytest.mark.journey

SCRIPTED = {"PUNA_ENGINE": "scripted"}
HELLO = {"model": "tiny", "prompt": "hello", "stream": False}
LONG = {"model": "tiny", "prompt": "count to 9999"}


def weights(name: str = "Tiny") -> bytes:
    return a_gguf({**LLAMA, "general.name": name}, LLAMA_TENSORS)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    put(tmp_path / "models", "tiny", weights())
    return tmp_path / "models"


@pytest.fixture
def serving(tmp_path: Path, store: Path) -> Iterator[Serving]:
    with Serving(tmp_path, PUNA_MODELS=str(store), **SCRIPTED) as one:
        yield one


def says_hello(serving: Serving) -> bool:
    return serving.ask("/api/generate", HELLO).last["response"] == "echo: hello"


def test_a_prompt_of_ten_megabytes_is_answered_and_its_cut_is_said(serving: Serving) -> None:
    answer = serving.ask("/api/generate", HELLO | {"prompt": "word " * 2_000_000})
    cut = answer.last["truncated"]
    assert isinstance(cut, dict)
    assert cut["prompt_tokens"] > 1_000_000
    assert says_hello(serving)


def test_two_models_whose_names_differ_in_case_are_named_not_chosen(
    serving: Serving, store: Path
) -> None:
    put(store, "Tiny", weights("Other"))
    answer = serving.ask("/api/generate", HELLO | {"model": "TINY"})
    assert answer.status >= 400
    assert "tiny" in str(answer.last["error"])
    assert says_hello(serving)


def test_a_model_cut_anywhere_is_one_clear_error(serving: Serving, tmp_path: Path) -> None:
    whole = weights()
    file = tmp_path / "cut.gguf"
    for size in range(0, len(whole), 97):
        file.write_bytes(whole[:size])
        answer = serving.ask("/api/generate", HELLO | {"model": str(file)})
        assert answer.status == 400
        assert "cut.gguf" in str(answer.last["error"])
    assert says_hello(serving)


def test_a_reader_that_sleeps_holds_up_nobody_and_gets_everything(serving: Serving) -> None:
    sleeper = serving.begin(LONG | {"logprobs": True, "top_logprobs": 20})
    assert all(says_hello(serving) for _ in range(10))
    received = rest_of(sleeper)
    assert b'"eval_count":9999' in received
    assert len(received) > 5_000_000  # more than sockets hold


def test_more_clients_than_files_may_be_opened_by_default(tmp_path: Path, store: Path) -> None:
    with Serving(tmp_path, limits="-S -n 64", PUNA_MODELS=str(store), **SCRIPTED) as serving:
        idle = [serving.begin(LONG | {"stream": False}) for _ in range(10)]
        idle += [socket.create_connection(idle[0].getpeername()) for _ in range(200)]
        assert says_hello(serving)
        for client in idle:
            client.close()


def vanish(client: socket.socket, *, abruptly: bool) -> None:
    if abruptly:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_clients_that_vanish_leave_nothing(serving: Serving, stream: bool) -> None:
    says_hello(serving)
    before = serving.open_files
    for number in range(100):
        client = serving.begin(LONG | {"stream": stream})
        if stream and number % 3 == 0:
            client.recv(100)
        vanish(client, abruptly=number % 2 == 0)
    assert says_hello(serving)
    until(lambda: serving.open_files <= before)


def test_keep_alive_zero_from_everybody_at_once_answers_everybody(serving: Serving) -> None:
    body = HELLO | {"keep_alive": 0}
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: serving.ask("/api/generate", body), range(100)))
    assert {each.last["response"] for each in answers} == {"echo: hello"}
    until(lambda: serving.ask("/api/ps", method="GET").last == {"models": []})


def test_a_hundred_models_with_room_for_one_are_all_served(tmp_path: Path) -> None:
    names = [f"model{number}" for number in range(100)]
    for name in names:
        put(tmp_path / "models", name, weights(name))
    room = {"PUNA_MODELS": str(tmp_path / "models"), "PUNA_MAX_LOADED_MODELS": "1"}
    with Serving(tmp_path, **room, **SCRIPTED) as serving, ThreadPoolExecutor(100) as pool:
        bodies = [HELLO | {"model": name} for name in names]
        answers = list(pool.map(lambda body: serving.ask("/api/generate", body), bodies))
        loaded = serving.ask("/api/ps", method="GET").last["models"]
    assert {each.last["response"] for each in answers} == {"echo: hello"}
    assert isinstance(loaded, list)
    assert len(loaded) == 1


def test_two_servers_share_a_store(tmp_path: Path, store: Path) -> None:
    shared = {"PUNA_MODELS": str(store), **SCRIPTED}
    with Serving(tmp_path / "a", **shared) as one, Serving(tmp_path / "b", **shared) as other:
        for name in ("x", "y", "z"):
            assert one.ask("/api/copy", {"source": "tiny", "destination": name}).status == 200
            assert other.ask("/api/generate", HELLO | {"model": name}).status == 200
        with ThreadPoolExecutor() as pool:
            removals = [
                pool.submit(each.ask, "/api/delete", {"model": name}, method="DELETE")
                for name in ("x", "y", "z", "tiny")
                for each in (one, other)
            ]
            statuses = sorted(each.result().status for each in removals)
        assert statuses == [200] * 4 + [404] * 4
        assert one.ask("/api/tags", method="GET").body == other.ask("/api/tags", method="GET").body
    assert list((store / "blobs").iterdir()) == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes, as only root can have one."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(words, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_said_and_everything_else_goes_on(tmp_path: Path, disk: Path) -> None:
    put(disk, "tiny", weights())
    with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(bytes(4096)):
            pass
    with Serving(tmp_path, PUNA_MODELS=str(disk), **SCRIPTED) as serving:
        failed = serving.ask("/api/copy", {"source": "smollm2", "destination": "copy"})
        assert "is full" in str(failed.last["error"])
        assert says_hello(serving)
        (disk / "ballast").unlink()
        copied = serving.ask("/api/copy", {"source": "tiny", "destination": "copy"})
    assert (failed.status, copied.status) == (500, 200)
    assert leftovers(disk) == set()


def test_at_a_full_home_lists_go_on_and_a_server_is_not_begun(disk: Path) -> None:
    (disk / "home" / "run").mkdir(parents=True)
    with suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(bytes(4096)):
            pass
    environ = os.environ | {"PUNA_HOME": str(disk / "home"), "PUNA_HOST": "127.0.0.1:9"}

    def puna(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "puna", *words]
        return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

    listed, ran = puna("list"), puna("run", "smollm2", "hello")
    assert listed.returncode == 0
    assert "smollm2" in listed.stdout
    assert (ran.returncode, ran.stdout) == (1, "")
    assert f"the disk of {disk / 'home'} is full" in ran.stderr


def test_a_blob_that_fills_the_disk_leaves_it_as_it_was(tmp_path: Path, disk: Path) -> None:
    put(disk, "tiny", weights())
    body = bytes(3_000_000)
    pieces = iter([body[at : at + 65536] for at in range(0, len(body), 65536)])
    with Serving(tmp_path, PUNA_MODELS=str(disk), **SCRIPTED) as serving:
        place = urlsplit(serving.url)
        client = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        client.request("POST", f"/api/blobs/{a_digest(body)}", pieces, encode_chunked=True)
        reply = client.getresponse()
        assert (reply.status, b"is full: no space left" in reply.read()) == (500, True)
        client.close()
        assert says_hello(serving)
    assert leftovers(disk) == set()
    assert blob_name(body) not in blob_names(disk)


def test_a_read_only_store_is_used_and_its_change_refused(tmp_path: Path, disk: Path) -> None:
    put(disk, "tiny", weights())
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with Serving(tmp_path, PUNA_MODELS=str(disk), **SCRIPTED) as serving:
        assert says_hello(serving)
        for change in (
            serving.ask("/api/copy", {"source": "tiny", "destination": "copy"}),
            serving.ask("/api/delete", {"model": "tiny"}, method="DELETE"),
        ):
            assert change.status in {403, 500}
            assert "read-only" in str(change.last["error"]).lower()
        assert says_hello(serving)


def test_a_killed_server_is_followed_by_one_that_starts_clean(tmp_path: Path, store: Path) -> None:
    settings = {"PUNA_MODELS": str(store), **SCRIPTED}
    with Serving(tmp_path, **settings) as first:
        clients = [first.begin(LONG) for _ in range(8)]
        clients[0].recv(1)
        first.end(9)
    with Serving(tmp_path, PUNA_HOST=first.url, **settings) as second:
        assert second.url == first.url
        assert says_hello(second)
    for client in clients:
        client.close()


def test_nothing_that_a_stranger_sends_reaches_the_log(serving: Serving) -> None:
    strange = (
        b"\x16\x03\x01\x02",
        b"GET / HTTP/1.1\r\nHost: evil\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
    )
    place = serving.begin(HELLO)
    for data in (*strange, b"CONNECT x HTTP/1.1\r\nHost: localhost\r\nUpgrade: a\r\n\r\n"):
        with socket.create_connection(place.getpeername()) as client, suppress(OSError):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            client.recv(1000)
    place.close()
    assert serving.end() == 0
    assert serving.stderr.read() == ""
