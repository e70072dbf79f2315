"""The client for strangers: guards, limits and credentials."""

import gzip
from collections.abc import AsyncIterator, Iterator

import pytest
from yarl import URL

from puna.fetcher import Fetcher, Question, Stalled, TooLong, UnsafeRedirect
from puna.net import Unreachable
from puna.origin import Nearness, Origin, web_url
from puna.surroundings import Proxies
from puna.units import Size, Span
from tests.fakes.registry import FakeRegistry, a_registry

_NEAR = {"127.0.0.1": Nearness.PUBLIC, "127.0.0.2": Nearness.PRIVATE}
PUBLIC = Origin("http", "127.0.0.1", 1)
SECURE = Origin("https", "127.0.0.1", 1)


def near(address: str) -> Nearness:
    """Play the internet at 127.0.0.1 and the network at 127.0.0.2."""
    return _NEAR.get(address, Nearness.OWN)


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with a_registry() as server:
        yield server


@pytest.fixture
async def fetcher() -> AsyncIterator[Fetcher]:
    async with Fetcher(agent="puna", nearness=near, patience=Span.of(minutes=1)) as fetcher:
        yield fetcher


async def read(fetcher: Fetcher, question: Question, limit: Size = Size(100)) -> bytes:  # noqa: B008
    async with fetcher.ask(question) as reply:
        return await reply.read(limit)


def ask(server: FakeRegistry, path: str = "/x", *, by: Origin | None = None) -> Question:
    return Question(url=URL(f"{server.url}{path}"), sent_by=by)


async def test_an_answer_is_read_whole(server: FakeRegistry, fetcher: Fetcher) -> None:
    server.answers["/x"] = lambda talk: talk.say(b"hello")
    assert await read(fetcher, ask(server)) == b"hello"
    assert server.headers_of("User-Agent") == ["puna"]
    assert server.headers_of("Accept-Encoding") == ["identity"]


async def test_too_long_an_answer_is_not_read(server: FakeRegistry, fetcher: Fetcher) -> None:
    server.answers["/x"] = lambda talk: talk.say_endlessly({}, bytes(1000))
    with pytest.raises(TooLong):
        await read(fetcher, ask(server))


async def test_a_packed_answer_is_not_unpacked(server: FakeRegistry, fetcher: Fetcher) -> None:
    packed = gzip.compress(bytes(10))
    server.answers["/x"] = lambda talk: talk.say(packed, headers={"Content-Encoding": "gzip"})
    with pytest.raises(TooLong, match="packed with gzip"):
        await read(fetcher, ask(server))


async def test_silence_has_an_end(server: FakeRegistry) -> None:
    server.answers["/x"] = lambda talk: talk.say_endlessly({}, b"", pause_s=0.2)
    async with Fetcher(agent="puna", nearness=near, patience=Span.of(ms=300)) as hasty:
        with pytest.raises(Stalled):
            await read(hasty, ask(server))


async def test_credentials_go_to_their_origin_alone(server: FakeRegistry, fetcher: Fetcher) -> None:
    fetcher.trust(Origin.of(web_url(server.url)), "Bearer secret")
    with a_registry() as other:
        await read(fetcher, ask(server))
        await read(fetcher, ask(other))
        assert server.headers_of("Authorization") == ["Bearer secret"]
        assert other.headers_of("Authorization") == []


async def test_a_question_can_bring_its_own(server: FakeRegistry, fetcher: Fetcher) -> None:
    fetcher.trust(Origin.of(web_url(server.url)), "Bearer secret")
    await read(fetcher, Question(url=URL(server.url), authorization="Basic own"))
    await read(fetcher, Question(url=URL(server.url), authorization=""))
    assert server.headers_of("Authorization") == ["Basic own"]


@pytest.mark.parametrize(
    ("by", "host"),
    [
        (PUBLIC, "127.0.0.2"),
        (PUBLIC, "127.0.0.3"),
        (PUBLIC, "localhost"),
        (Origin("http", "127.0.0.2", 1), "127.0.0.3"),
    ],
)
async def test_nobody_sends_us_nearer_than_he_is(fetcher: Fetcher, by: Origin, host: str) -> None:
    question = Question(url=URL(f"http://{host}:1/"), sent_by=by)
    known = {"localhost": "127.0.0.3"}.get(host, host)
    with pytest.raises((UnsafeRedirect, Unreachable), match=f"{host}|{known}"):
        await read(fetcher, question)


async def test_farther_away_and_the_same_distance_are_fine(
    server: FakeRegistry, fetcher: Fetcher
) -> None:
    for by in (PUBLIC, Origin("http", "127.0.0.2", 1), Origin("http", "127.0.0.3", 1)):
        await read(fetcher, ask(server, by=by))
    assert len(server.asked) == 3


async def test_nobody_sends_us_from_https_to_http(server: FakeRegistry, fetcher: Fetcher) -> None:
    with pytest.raises(UnsafeRedirect, match="from https to"):
        await read(fetcher, ask(server, by=SECURE))
    assert server.asked == []


async def test_what_the_user_named_may_be_near(fetcher: Fetcher) -> None:
    with a_registry("127.0.0.3") as inner:
        await read(fetcher, ask(inner))
        assert len(inner.asked) == 1


async def test_nothing_that_listens_is_said(fetcher: Fetcher) -> None:
    with pytest.raises(Unreachable, match=r"^nothing answers at http://127\.0\.0\.1:9") as raised:
        await read(fetcher, Question(url=URL("http://127.0.0.1:9/x?token=secret")))
    assert raised.value.refused
    assert "secret" not in raised.value.message


async def test_https_of_a_server_without_it_is_said(server: FakeRegistry, fetcher: Fetcher) -> None:
    with pytest.raises(Unreachable, match=f"https://127.0.0.1:{server.port}"):
        await read(fetcher, Question(url=URL(f"https://127.0.0.1:{server.port}/")))


async def test_a_proxy_is_asked_for_everything_that_is_not_exempt(server: FakeRegistry) -> None:
    proxies = Proxies(http=server.url, exempt="127.0.0.1")
    server.answers["/x"] = lambda talk: talk.say(b"from the proxy")
    async with Fetcher(agent="puna", proxies=proxies) as fetcher:
        far = Question(url=URL("http://registry.example/x"))
        assert await read(fetcher, far) == b"from the proxy"
        await read(fetcher, ask(server, "/direct"))
    assert [each.path for each in server.asked] == ["http://registry.example/x", "/direct"]
