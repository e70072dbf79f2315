"""What the market orders is read without trust, and what is kept of it holds no secret."""

from datetime import timedelta

import pytest

from puna.agent.containers import Design
from puna.agent.converge import Want
from puna.agent.notebook import keep, recall
from puna.agent.orders import flaw_of, is_name, mark_of, told_by_pod, told_of
from puna.agent.shown import Login
from puna.units import Size
from puna.wire.agent import Credential
from tests.agent.hosts import IMAGE, an_order
from tests.worlds import NOON


def test_an_order_becomes_a_design() -> None:
    told = told_of(
        an_order(
            args="sleep 1",
            entrypoint=["sh", "-c"],
            env={"A": "b"},
            ports=["8888/http", "22/tcp", "x/tcp"],
            cards=2,
            processors=4,
            volume=10,
            volume_path="/workspace",
            disk=20,
        )
    )
    assert told.design == Design(
        image=IMAGE,
        args="sleep 1",
        entrypoint=("sh", "-c"),
        env={"A": "b"},
        ports=(8888, 22),
        cards=2,
        processors=4,
        memory=Size(10**9),
        volume_path="/workspace",
    )
    assert (told.disk, told.volume) == (20, 10)


def test_the_usual_runtime_is_the_engine_s_own() -> None:
    assert told_of(an_order()).design.runtime == ""
    assert told_of(an_order(runtime="runsc")).design.runtime == "runsc"


def test_without_a_volume_nothing_is_mounted() -> None:
    assert told_of(an_order(volume=0, volume_path="/workspace")).design.volume_path == ""


@pytest.mark.parametrize(
    ("want", "expected"),
    [("run", Want.RUN), ("stop", Want.STOP), ("terminate", Want.TERMINATE), ("?", Want.STOP)],
)
def test_a_word_that_nobody_knows_stops_and_deletes_nothing(want: str, expected: Want) -> None:
    assert told_of(an_order(want=want)).order.want is expected


@pytest.mark.parametrize(("grace_s", "expected"), [(60, 60), (-5, 0), (10**9, 600)])
def test_a_grace_is_never_longer_than_ten_minutes(grace_s: int, expected: int) -> None:
    assert told_of(an_order(grace_s=grace_s)).order.grace == timedelta(seconds=expected)


@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        ({}, ""),
        ({"memory": 0}, "no memory"),
        ({"processors": 0}, "no processor"),
        ({"cards": -1}, "no memory or no processor"),
        ({"image": "dir:/etc"}, "is not an image"),
        ({"ports": [f"{port}/tcp" for port in range(1, 102)]}, "101 ports"),
        ({"args": 'sh "'}, "are not words"),
    ],
)
def test_what_cannot_be_a_container_is_said(changes: dict[str, object], flaw: str) -> None:
    said = flaw_of(an_order("p1", **changes))
    assert flaw in said
    assert bool(said) == bool(flaw)


@pytest.mark.parametrize("pod", ["a", "abc-123_X", "0" * 64])
def test_names_of_pods(pod: str) -> None:
    assert is_name(pod)


@pytest.mark.parametrize("pod", ["", "-v", "../x", "a/b", "a b", "ä", "a\n", "0" * 65, "_x"])
def test_what_could_be_a_path_or_an_option_is_no_name(pod: str) -> None:
    assert not is_name(pod)
    assert told_by_pod([an_order(pod), an_order("good")]).keys() == {"good"}


def test_a_login_leaves_a_mark_and_is_not_shown() -> None:
    login = Login(username="ann", password="secret")
    told = told_of(an_order(credential=Credential(username="ann", password="secret")))
    assert told.login == login
    assert told.order.image == f"{IMAGE} {mark_of(login)}"
    assert "secret" not in repr(told)
    assert mark_of(login) != mark_of(Login(username="anns", password="ecret"))
    assert mark_of(None) == ""


def test_what_is_kept_for_the_time_without_a_market_holds_no_secret() -> None:
    order = an_order(env={"TOKEN": "secret"}, paid_until=NOON, stop_at=NOON, terminate_at=NOON)
    told = told_of(order)
    kept = keep(told.order)
    assert "secret" not in kept.model_dump_json()
    back = recall(kept)
    assert (back.pod, back.run, back.design) == ("p1", 1, told.design.digest)
    assert (back.paid_until, back.stop_at, back.terminate_at) == (NOON, NOON, NOON)
    assert back.image == ""
