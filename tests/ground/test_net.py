"""What cannot be reached is said in one line, and a broken answer is not taken for a whole one."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from puna.net import Caller, Unreachable
from tests.ports import free_port


@contextmanager
def a_server(reply: bytes) -> Iterator[int]:
    """A socket that answers one request with `reply` and closes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(65536)
                client.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_a_body_is_read_whole() -> None:
    with a_server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\n\r\nhi") as port:
        answer = Caller("http", "127.0.0.1", port).request("GET", "/")
        assert (answer.status, answer.headers["x-a"], answer.read()) == (200, "b", b"hi")


def test_a_body_is_read_by_lines() -> None:
    body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na\nb\n\r\n0\r\n\r\n"
    with a_server(body) as port, Caller("http", "127.0.0.1", port).request("GET", "/") as answer:
        assert list(answer.lines()) == [b"a\n", b"b\n"]


def test_a_broken_body_is_an_error() -> None:
    with a_server(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhi") as port:
        answer = Caller("http", "127.0.0.1", port).request("GET", "/")
        with pytest.raises(Unreachable, match="broke off"):
            answer.read()


def test_what_is_no_http_is_an_error() -> None:
    with (
        a_server(b"SSH-2.0-OpenSSH\r\n") as port,
        pytest.raises(Unreachable, match="does not answer as an HTTP server"),
    ):
        Caller("http", "127.0.0.1", port).request("GET", "/")


def test_a_port_where_nothing_listens_is_refused_and_said() -> None:
    with pytest.raises(Unreachable, match="connection refused") as caught:
        Caller("http", "127.0.0.1", free_port()).request("GET", "/")
    assert caught.value.refused


def test_a_silent_server_is_not_waited_for_beyond_the_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(Unreachable, match="no answer in time"):
            Caller("http", "127.0.0.1", port).request("GET", "/", timeout_s=0.05)


@contextmanager
def a_noting_server(reply: bytes) -> Iterator[tuple[int, list[str]]]:
    """As `a_server`, noting the request that came."""
    noted: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            client, _ = listener.accept()
            with client:
                noted.append(client.recv(65536).decode())
                client.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        yield listener.getsockname()[1], noted
        thread.join()


def test_a_proxy_is_asked_for_the_whole_address() -> None:
    with a_noting_server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi") as (port, noted):
        proxy = f"http://ada:s%40fe@127.0.0.1:{port}"
        caller = Caller("http", "market.test", 11500, prefix="/deep").through(proxy)
        assert caller.request("GET", "/v2/pods?a=b").read() == b"hi"
    lines = noted[0].split("\r\n")
    assert lines[0] == "GET http://market.test:11500/deep/v2/pods?a=b HTTP/1.1"
    assert "Host: market.test:11500" in lines
    assert "Proxy-Authorization: Basic YWRhOnNAZmU=" in lines


def test_a_proxy_is_asked_to_connect_for_https() -> None:
    with a_noting_server(b"HTTP/1.1 403 Not here\r\n\r\n") as (port, noted):
        caller = Caller("https", "market.test", 443).through(f"http://ada:pw@127.0.0.1:{port}")
        with pytest.raises(Unreachable, match=f"by the proxy 127.0.0.1:{port}: .*403 Not here"):
            caller.request("GET", "/")
    assert noted[0].startswith("CONNECT market.test:443 HTTP/1.")
    assert "Proxy-Authorization: Basic YWRhOnB3" in noted[0]


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "http://:3128", "http://x:0y"])
def test_a_proxy_that_cannot_be_used_is_said_to_be_one(proxy: str) -> None:
    with pytest.raises(Unreachable, match="not like http://HOST:PORT"):
        Caller("https", "market.test", 443).through(proxy).request("GET", "/")
