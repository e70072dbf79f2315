"""What of an answer a client sees, and what a pod is told of its client. Pure."""

import pytest

from puna.market.gateway.heads import NOTHING, Answer, Request, first_line
from puna.market.gateway.places import Form, Place
from puna.market.gateway.proxy import error_answer
from puna.market.gateway.replies import SANDBOX, for_the_client, forwarded, scheme_of
from puna.market.gateway.tunnels import HostAway, NothingThere

BY_HOST = Place(form=Form.HOST, pod="p", port=80)
BY_PATH = Place(form=Form.PATH, pod="p", port=80, prefix="/p/p/80")
SHARED = Place(form=Form.SHARE, token="t", prefix="/s/t")


def answer(*headers: tuple[str, str]) -> Answer:
    return Answer(status=200, headers=headers, body=NOTHING, keeps_open=True)


def request(*headers: tuple[str, str]) -> Request:
    return Request(
        method="GET",
        target="/",
        is_modern=True,
        headers=(("host", "h"), *headers),
        body=NOTHING,
    )


def names(place: Place, *headers: tuple[str, str]) -> set[str]:
    return {name for name, _ in for_the_client(answer(*headers), place, request())}


@pytest.mark.parametrize(
    "place", [BY_HOST, BY_PATH, SHARED], ids=["by host", "by path", "by share link"]
)
@pytest.mark.parametrize(
    "name",
    [
        "strict-transport-security",
        "public-key-pins",
        "alt-svc",
        "x-accel-redirect",
        "x-accel-buffering",
        "x-sendfile",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "content-length",
        "proxy-authenticate",
        "trailer",
        "upgrade",
    ],
)
def test_what_is_for_neighbours_goes_no_further(place: Place, name: str) -> None:
    assert name not in names(place, (name, "x"))


@pytest.mark.parametrize("name", ["content-type", "etag", "x-own", "cache-control", "vary"])
@pytest.mark.parametrize("place", [BY_HOST, BY_PATH, SHARED])
def test_what_is_for_the_client_arrives(place: Place, name: str) -> None:
    assert name in names(place, (name, "x"))


@pytest.mark.parametrize(
    ("name", "by_host"),
    [
        ("set-cookie", True),
        ("clear-site-data", True),
        ("service-worker-allowed", True),
        ("report-to", True),
        ("nel", True),
        ("origin-agent-cluster", True),
    ],
)
def test_what_holds_for_an_origin_is_the_pods_on_its_own_alone(name: str, by_host: bool) -> None:
    assert (name in names(BY_HOST, (name, "a=1"))) is by_host
    assert name not in names(BY_PATH, (name, "a=1"))
    assert name not in names(SHARED, (name, "a=1"))


@pytest.mark.parametrize("place", [BY_PATH, SHARED])
def test_the_sandbox_stands_beside_the_pods_own_policy(place: Place) -> None:
    own = ("content-security-policy", "default-src 'self'")
    told = for_the_client(answer(own), place, request())
    policies = [value for name, value in told if name == "content-security-policy"]
    assert policies == [own[1], SANDBOX]


@pytest.mark.parametrize(
    ("cookie", "kept"),
    [
        ("a=1", "a=1"),
        ("a=1; Path=/x; HttpOnly", "a=1; Path=/x; HttpOnly"),
        ("a=1; Domain=example.org; Secure", "a=1; Secure"),
        ("a=1;domain=.example.org", "a=1"),
        ("a=1; DOMAIN = example.org", "a=1"),
        ("puna_share=x; Path=/", None),
        (" puna_share =x", None),
    ],
)
def test_a_cookie_is_for_the_pods_own_host(cookie: str, kept: str | None) -> None:
    told = dict(for_the_client(answer(("set-cookie", cookie)), BY_HOST, request()))
    assert told.get("set-cookie") == kept


@pytest.mark.parametrize(
    ("origin", "told"),
    [("null", ["null"]), ("https://evil.com", ["*"]), ("", ["*"])],
)
def test_the_page_of_a_link_reads_its_own_server(origin: str, told: list[str]) -> None:
    asked = request(("origin", origin)) if origin else request()
    kept = for_the_client(answer(("access-control-allow-origin", "*")), SHARED, asked)
    assert [value for name, value in kept if name == "access-control-allow-origin"] == told


@pytest.mark.parametrize(
    ("peer", "chain", "scheme"),
    [
        ("127.0.0.1", "1.2.3.4, 127.0.0.1", "https"),
        ("::1", "1.2.3.4, ::1", "https"),
        ("9.9.9.9", "9.9.9.9", "http"),
        ("10.0.0.7", "10.0.0.7", "http"),
    ],
)
def test_only_a_proxy_on_this_machine_is_believed(peer: str, chain: str, scheme: str) -> None:
    asked = request(("x-forwarded-for", "1.2.3.4"), ("x-forwarded-proto", "https"))
    told = dict(forwarded(asked, BY_HOST, peer, "http"))
    assert told["x-forwarded-for"] == chain
    assert told["x-forwarded-proto"] == scheme
    assert told["x-forwarded-host"] == "h"
    assert "x-forwarded-prefix" not in told


def test_an_error_is_a_whole_answer() -> None:
    text = error_answer(NothingThere("nothing", hint="look"), keeps=True)
    head, _, body = text.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert body == b'{"error": "nothing", "code": "nothing_there", "hint": "look"}\n'
    assert f"content-length: {len(body)}".encode() in head
    assert b"puna-hint: look" in head
    assert b"connection: close" not in head


def test_an_error_after_which_the_connection_ends_says_so() -> None:
    text = error_answer(HostAway("away"), keeps=False, method="HEAD")
    assert text.endswith(b"connection: close\r\n\r\n")
    assert b"retry-after: 5" in text


@pytest.mark.parametrize(("status", "line"), [(200, "HTTP/1.1 200 OK"), (299, "HTTP/1.1 299 ")])
def test_a_first_line_has_the_phrase_that_is_known(status: int, line: str) -> None:
    assert first_line(status) == line


@pytest.mark.parametrize(
    ("peer", "told", "scheme"),
    [
        ("127.0.0.1", "https", "https"),
        ("::1", "http, HTTPS ", "https"),
        ("127.0.0.1", "javascript", "http"),
        ("203.0.113.9", "https", "http"),
    ],
    ids=["a proxy here", "two proxies", "no scheme", "a stranger"],
)
def test_a_scheme_is_what_a_proxy_on_this_machine_says(peer: str, told: str, scheme: str) -> None:
    assert scheme_of(request(("x-forwarded-proto", told)), peer, "http") == scheme


def test_where_the_market_is_reached_by_https_alone_nothing_need_be_said() -> None:
    assert scheme_of(request(), "203.0.113.9", "https") == "https"
