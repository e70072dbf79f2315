"""Taking the address, saying who has it, and ending within five seconds of a signal."""

import http.server
import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from puna.node.api.listening import CannotListen, PortInUse
from puna.node.api.server import take_address
from puna.settings import Address
from tests.serving import Serving


@contextmanager
def greeter(text: bytes) -> Iterator[Address]:
    """Another program that answers `GET /` with `text`."""

    class Greeting(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Greeting) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Address(port=server.server_port)
        server.shutdown()
        thread.join()


def refusal_at(address: Address) -> PortInUse:
    with pytest.raises(PortInUse) as refusal, take_address(address):
        pass
    return refusal.value


def test_a_free_port_is_taken_until_the_block_ends() -> None:
    with take_address(Address(port=0)) as listener:
        port = listener.getsockname()[1]
        refusal_at(Address(port=port))
    with take_address(Address(port=port)):
        pass


def test_a_port_in_use_by_ollama_is_said_with_the_way_out() -> None:
    with greeter(b"Ollama is running") as address:
        refusal = refusal_at(address)
    assert refusal.message == f"127.0.0.1:{address.port} is in use by Ollama"
    assert "PUNA_HOST" in refusal.hint


def test_a_port_in_use_by_a_stranger_is_said() -> None:
    with greeter(b"It works!") as address:
        assert "is in use by another program" in refusal_at(address).message


def test_a_listener_that_never_speaks_is_a_stranger_too() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        address = Address(port=silent.getsockname()[1])
        assert "is in use by another program" in refusal_at(address).message


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_of_another_machine_is_one_clear_line(host: str) -> None:
    with (
        pytest.raises(CannotListen, match=f"cannot listen on {host}"),
        take_address(Address(host=host)),
    ):
        pass


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A server of the real model."""
    with Serving(tmp_path) as one:
        yield one


LONG = {
    "model": "smollm2",
    "prompt": "Write a very long story.",
    "options": {"num_predict": 9000, "temperature": 0},  # by chance it may end after five words
}


@pytest.mark.journey
def test_serve_says_where_it_listens_and_ends_on_a_signal(serving: Serving) -> None:
    assert serving.first_line.startswith("puna 0.1.0 listens on http://127.0.0.1:")
    assert serving.open("/").read() == b"Ollama is running"
    assert serving.end(signal.SIGINT) == 0


@pytest.mark.journey
def test_a_second_server_on_the_port_is_told_that_puna_has_it(
    serving: Serving, tmp_path: Path
) -> None:
    with Serving(tmp_path / "b", PUNA_HOST=serving.url) as second:
        assert second.process.wait(timeout=30) == 1
        assert "is in use by puna" in second.first_line


@pytest.mark.journey
def test_serving_everybody_without_a_key_is_refused(tmp_path: Path) -> None:
    with Serving(tmp_path, PUNA_HOST="0.0.0.0:0") as refused:
        assert refused.process.wait(timeout=30) == 1
        said = refused.first_line + refused.stderr.read()
    assert "PUNA_API_KEY" in said
    assert "PUNA_HOST" in said


@pytest.mark.journey
@pytest.mark.model
def test_a_signal_during_an_answer_ends_it_with_a_last_word_and_no_orphan(
    serving: Serving,
) -> None:
    with serving.open("/api/generate", LONG) as reply:
        reply.readline()
        children = psutil.Process(serving.process.pid).children()
        assert serving.end(signal.SIGTERM) == 0
        *_, last = reply.read().splitlines()
    assert json.loads(last) == {"error": "the server is stopping"}
    assert len(children) == 1
    assert not children[0].is_running()


@pytest.mark.journey
@pytest.mark.model
def test_killing_the_server_leaves_no_engine(serving: Serving) -> None:
    with serving.open("/api/generate", LONG) as reply:
        reply.readline()
        children = psutil.Process(serving.process.pid).children()
        serving.end(signal.SIGKILL)
    gone, alive = psutil.wait_procs(children, timeout=30)
    assert (len(gone), alive) == (1, [])
