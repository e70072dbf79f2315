"""Who answers when no server runs, and when something else listens."""

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.fakes.console import puna
from tests.fakes.node import Canned, FakeNode

NO_SERVER = "Error: could not connect to puna server, run 'puna serve' to start it\n"


@pytest.fixture
def nobody() -> Iterator[dict[str, str]]:
    """An address on this machine at which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield {"PUNA_HOST": f"127.0.0.1:{held.getsockname()[1]}"}


@pytest.mark.parametrize("arguments", [["ps"], ["stop", "x"]], ids=str)
def test_what_needs_a_server_says_that_none_runs(
    nobody: dict[str, str], arguments: list[str]
) -> None:
    ran = puna(*arguments, environ=nobody)
    assert (ran.code, ran.out, ran.err) == (1, "", NO_SERVER)


def test_a_server_elsewhere_that_does_not_answer_is_named() -> None:
    ran = puna("list", environ={"PUNA_HOST": "http://no-such-host.invalid:1"})
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("Error: could not connect to the server: nothing answers at")


@pytest.mark.parametrize("command", [["list"], ["ps"], ["run", "m", "hi"], ["rm", "m"]], ids=str)
def test_another_program_at_the_address_is_said(node: FakeNode, command: list[str]) -> None:
    node.greeting = b"<html>It works!</html>"
    node.canned["/api/version"] = Canned(b"<html>no</html>")
    ran = puna(*command, environ=node.environ())
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[0] == (
        f"Error: what listens at http://127.0.0.1:{node.port} is neither puna nor Ollama"
    )


def test_a_node_behind_a_proxy_with_its_own_greeting_is_a_node(node: FakeNode) -> None:
    node.greeting = b"welcome"
    assert puna("list", environ=node.environ()).code == 0


def test_a_program_that_does_not_speak_http_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        address = f"127.0.0.1:{server.getsockname()[1]}"

        def greet() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        ran = puna("list", environ={"PUNA_HOST": address})
        thread.join()
    assert ran.code == 1
    assert "does not answer as an HTTP server" in ran.err


def test_the_version_names_the_program_that_answers(node: FakeNode) -> None:
    same = puna("-v", environ=node.environ())
    assert (same.code, same.out, same.err) == (0, "puna version is 0.1.0\n", "")
    node.version = {"version": "0.32.15", "puna": "9.9"}
    assert puna("--version", environ=node.environ()).err == "Warning: server version is 9.9\n"
    node.version = {"version": "0.32.15"}
    assert puna("-v", environ=node.environ()).err.endswith("is Ollama 0.32.15\n")


def test_the_version_is_said_without_a_server(nobody: dict[str, str]) -> None:
    ran = puna("-v", environ=nobody)
    assert (ran.code, ran.out) == (0, "puna version is 0.1.0\n")
    assert ran.err == "Warning: could not connect to a running puna server\n"
