"""The line to a cloud: what is asked again, what never, and errors in one line."""

from collections.abc import Callable
from contextlib import suppress

import pytest

from puna.cloud.line import CloudLine, CloudRefused, NotACloud, spread
from puna.net import Caller, Unreachable
from puna.settings import read_address
from puna.units import Span
from tests.fakes.runpod import KEY, FakeRunPod


def line_to(cloud: FakeRunPod, waits: list[Span] | None = None, *, key: str = KEY) -> CloudLine:
    address = read_address(cloud.url)
    headers = {"Authorization": f"Bearer {key}"}
    caller = Caller(address.scheme, address.host, address.port, headers=headers)
    return CloudLine(caller, wait=(waits if waits is not None else []).append)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_what_twice_is_the_same_as_once_is_asked_again(runpod: FakeRunPod, method: str) -> None:
    runpod.drops = 2
    waits: list[Span] = []
    path = {"PUT": "/v2/account/ssh-keys", "DELETE": "/v2/pods/none"}.get(method, "/v2/pods")
    body = {"keys": ["ssh-ed25519 A"]} if method == "PUT" else None
    with suppress(CloudRefused):  # there is no such pod, once the answer comes
        line_to(runpod, waits).ask(method, path, body)
    assert (len(runpod.asked), waits) == (3, [Span.of(ms=300)] * 2)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_far_side_that_is_busy_is_asked_again_to_read(runpod: FakeRunPod, status: int) -> None:
    runpod.fail(status, "busy")
    assert line_to(runpod).ask("GET", "/v2/pods").values == {"pods": []}


@pytest.mark.parametrize(
    "trouble",
    [
        lambda cloud: setattr(cloud, "drops", 1),
        lambda cloud: cloud.fail(502, "x"),
        lambda cloud: cloud.fail(503, {"detail": "x"}),
    ],
    ids=["cut off", "502", "503"],
)
def test_what_makes_something_is_asked_once(
    runpod: FakeRunPod, trouble: Callable[[FakeRunPod], None]
) -> None:
    trouble(runpod)
    with pytest.raises((Unreachable, CloudRefused)):
        line_to(runpod).ask("POST", "/v2/pods", {"name": "a"})
    assert runpod.paths == ["POST /v2/pods"]


def test_being_told_to_come_later_has_done_nothing_so_it_is_waited_for(runpod: FakeRunPod) -> None:
    runpod.fail(429, {"detail": "slow down"}, Retry_After="7")
    waits: list[Span] = []
    made = line_to(runpod, waits).ask("POST", "/v2/pods", {"name": "a"})
    assert (made.text("id"), waits) == ("pod1", [Span.of(seconds=7)])


def test_patience_ends(runpod: FakeRunPod) -> None:
    for _ in range(9):
        runpod.fail(429, {"detail": "slow down"}, Retry_After="99999")
    waits: list[Span] = []
    with pytest.raises(CloudRefused, match="slow down"):
        line_to(runpod, waits).ask("GET", "/v2/pods")
    assert waits == [Span.of(seconds=60)] * 2


def test_nothing_that_answers_is_said_at_once_when_something_would_be_made() -> None:
    line = CloudLine(Caller("http", "127.0.0.1", 9))
    with pytest.raises(Unreachable, match=r"nothing answers at http://127\.0\.0\.1:9"):
        line.ask("POST", "/v2/pods", {})


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (400, {"detail": "no longer any instances available"}, "no longer any instances available"),
        (
            422,
            {"detail": "Request validation failed.", "errors": ["$: missing property 'name'"]},
            "Request validation failed.; $: missing property 'name'",
        ),
        (422, {"detail": "bad: a", "errors": ["bad: a"]}, "bad: a"),
        (402, {"title": "Payment Required"}, "Payment Required"),
        (404, {"error": "pod not found", "status": 404}, "pod not found"),
        (500, "<html>\n<b>oops</b>", "answered with HTTP status 500"),
        (500, [1], "answered with HTTP status 500"),
        (400, {"detail": "two\nlines\x1b[31m"}, "two lines�[31m"),
    ],
)
def test_a_refusal_is_one_line(runpod: FakeRunPod, status: int, body: object, message: str) -> None:
    runpod.fail(status, body)
    with pytest.raises(CloudRefused) as caught:
        line_to(runpod).ask("POST", "/v2/pods", {})
    assert message in caught.value.message
    assert caught.value.message.endswith(message.rpartition("\n")[2])
    assert caught.value.reply_status == status


def test_a_bad_key_says_how_to_log_in(runpod: FakeRunPod) -> None:
    with pytest.raises(CloudRefused) as caught:
        line_to(runpod, key="wrong").ask("GET", "/v2/pods")
    assert (caught.value.message, caught.value.hint) == (
        "bad key",
        "log in with: puna cloud login ADDRESS",
    )


@pytest.mark.parametrize("body", ["<html>hello</html>", [1, 2], "null"])
def test_what_is_no_cloud_is_named(runpod: FakeRunPod, body: object) -> None:
    runpod.fail(200, body)
    with pytest.raises(NotACloud, match=r"does not speak RunPod's API, version 2"):
        line_to(runpod).ask("GET", "/v2/pods")


def test_empty_values_are_left_out_of_an_address(runpod: FakeRunPod) -> None:
    query = {"a": "x y", "b": "", "c": None, "d": 0, "e": True, "f": False}
    line_to(runpod).ask("GET", "/v2/pods", query=query)
    assert runpod.asked[0].query == {"a": "x y", "d": "0", "e": "true", "f": "false"}


def test_events_come_with_their_ids(runpod: FakeRunPod) -> None:
    found = list(line_to(runpod).events("/v2/pods/p/logs", {"tail": 5}, idle_s=None))
    assert [(number, line.text("line")) for number, line in found] == [("0", "one"), ("1", "two")]
    assert runpod.asked[0].query == {"tail": "5"}


def test_a_refused_stream_says_why(runpod: FakeRunPod) -> None:
    runpod.fail(404, {"detail": "no such pod"})
    with pytest.raises(CloudRefused, match="no such pod"):
        list(line_to(runpod).events("/v2/pods/p/logs", {}, idle_s=60.0))


def test_pauses_are_never_shorter_than_asked_for_and_differ() -> None:
    second = Span.of(seconds=1)
    found = [spread(second, dice) for dice in range(0, 1000, 100)]
    assert found == sorted(set(found))
    assert (found[0], found[-1]) == (second, Span.of(ms=1450))
