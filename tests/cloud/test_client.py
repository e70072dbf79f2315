"""The client against RunPod's own dialect: what it makes of it, and what cannot be had there."""

from collections.abc import Callable
from typing import Any

import pytest

from puna.cloud.client import CloudClient, PodMissing, connect
from puna.cloud.line import CloudLine, CloudRefused
from puna.cloud.orders import NotThere, Order
from puna.cloud.values import Card, Standing, money_in
from puna.net import Unreachable
from puna.node.client import caller_for
from puna.node.replies import Fields
from puna.settings import read_address
from puna.units import Money, Span
from tests.fakes.runpod import CARDS, KEY, FakeRunPod

ORDER = Order(name="a", image="img:1", cards=("NVIDIA GeForce RTX 4090",), ports=("8888/http",))


@pytest.fixture
def cloud(runpod: FakeRunPod) -> CloudClient:
    return connect(runpod.url, KEY)


def test_a_cloud_without_punas_paths_is_taken_for_runpods(
    runpod: FakeRunPod, cloud: CloudClient
) -> None:
    assert not cloud.is_puna
    assert not cloud.is_puna
    assert runpod.paths == ["GET /v2/puna/account"]


def test_runpods_own_address_is_not_even_asked() -> None:
    assert not connect("runpod", "k").is_puna


def test_a_bad_key_is_no_sign_of_runpod(runpod: FakeRunPod) -> None:
    with pytest.raises(CloudRefused, match="bad key"):
        _ = connect(runpod.url, "wrong").is_puna


def test_a_pod_is_made_listed_and_ended(cloud: CloudClient) -> None:
    made = cloud.create(ORDER)
    assert (made.id, made.status, made.card, made.count) == ("pod1", "RUNNING", ORDER.cards[0], 1)
    assert (made.cost, made.ssh.text("host")) == (690_000, "203.0.113.7")
    assert [each.id for each in cloud.pods()] == ["pod1"]
    cloud.act("pod1", "stop")
    assert cloud.pod("a").status == "EXITED"
    cloud.terminate("pod1")
    assert cloud.pods() == ()
    cloud.terminate("pod1")
    assert cloud.happenings("pod1").is_gone


def test_an_answer_that_is_lost_says_that_the_pod_may_be_there(
    runpod: FakeRunPod, cloud: CloudClient
) -> None:
    assert not cloud.is_puna
    runpod.drops = 1
    with pytest.raises(Unreachable, match="whether the pod was made is not known"):
        cloud.create(ORDER)
    assert runpod.paths.count("POST /v2/pods") == 1


def test_a_name_that_two_pods_have_names_neither(cloud: CloudClient) -> None:
    cloud.create(ORDER)
    cloud.create(ORDER)
    with pytest.raises(PodMissing, match='several pods are named "a"') as caught:
        cloud.pod("a")
    assert caught.value.hint == "use an id: pod1, pod2"
    assert cloud.pod("pod2").id == "pod2"
    with pytest.raises(PodMissing, match='no pod "b"'):
        cloud.pod("b")


def test_the_account_is_what_its_pods_tell(cloud: CloudClient) -> None:
    cloud.create(ORDER)
    found = cloud.standing()
    assert (found.balance, found.an_hour, found.pods, found.running) == (None, 690_000, 1, 1)


def test_the_catalog_has_cards_with_prices_in_both_clouds(cloud: CloudClient) -> None:
    rtx, h100 = cloud.cards()
    assert (rtx.secure, rtx.community, rtx.price_in("")) == (690_000, 340_000, 340_000)
    assert (h100.price_in("COMMUNITY"), h100.price_in("SECURE")) == (None, 2_690_000)
    assert h100.availability == "LOW"


def test_templates_are_the_official_ones_and_ones_own(
    runpod: FakeRunPod, cloud: CloudClient
) -> None:
    assert [each.text("id") for each in cloud.templates()] == ["runpod-torch"]
    assert cloud.template("pytorch").text("image") == "torch:1"
    runpod.fail(200, {"templates": []})
    runpod.fail(200, {"templates": []})
    runpod.fail(200, {"id": "x", "image": "i"})
    assert cloud.template("x").text("image") == "i"


def test_spending_is_summed_by_day_and_by_pod(cloud: CloudClient) -> None:
    by_day = cloud.spend("day", {"start": "-30d"})
    assert [(row.name, row.amount) for row in by_day.rows] == [
        ("2026-07-31", 1_250_000),
        ("2026-08-01", 1),
    ]
    by_pod = cloud.spend("pod", {})
    assert [(row.name, row.amount) for row in by_pod.rows] == [("pod1", 1_250_001)]
    assert by_day.total == by_pod.total == Money(1_250_001)


@pytest.mark.parametrize(
    "ask",
    [
        lambda cloud: cloud.offers({}),
        lambda cloud: list(cloud.bill({})),
        lambda cloud: cloud.explain("x"),
        lambda cloud: cloud.budgets(),
        lambda cloud: cloud.set_budget("account", "", Money(1), a_day=True),
        lambda cloud: cloud.remove_budget("x"),
        lambda cloud: cloud.keys(),
        lambda cloud: cloud.make_key("x", read_only=False, expires=""),
        lambda cloud: cloud.revoke_key("x"),
        lambda cloud: cloud.projects(),
        lambda cloud: cloud.spend("project", {}),
    ],
)
def test_what_cannot_be_had_there_is_said(
    cloud: CloudClient, ask: Callable[[CloudClient], object]
) -> None:
    with pytest.raises(NotThere, match="RunPod"):
        ask(cloud)


def test_public_keys_are_replaced_whole(runpod: FakeRunPod, cloud: CloudClient) -> None:
    cloud.set_ssh_keys(("ssh-ed25519 AAAA me",))
    assert cloud.ssh_keys() == ("ssh-ed25519 AAAA me",)
    assert runpod.keys == ["ssh-ed25519 AAAA me"]


def test_a_log_is_read_line_by_line(runpod: FakeRunPod, cloud: CloudClient) -> None:
    found = list(cloud.logs("pod1", source="container", tail=7, since="2026-08-01T00:00:00Z"))
    assert [each.text("line") for each in found] == ["one", "two"]
    assert runpod.asked[0].query == {
        "source": "container",
        "tail": "7",
        "since": "2026-08-01T00:00:00Z",
        "follow": "false",
    }


def test_a_log_that_breaks_off_is_taken_up_where_it_was(runpod: FakeRunPod) -> None:
    waits: list[Span] = []
    address = read_address(runpod.url)
    cloud = CloudClient(CloudLine(caller_for(address, KEY), wait=waits.append))
    cloud.create(ORDER)
    lines = cloud.logs("pod1", follow=True)
    assert [next(lines).text("line") for _ in range(2)] == ["one", "two"]
    runpod.log = ["three"]
    assert next(lines).text("line") == "three"
    assert runpod.asked[-1].query["since"] == "1"
    cloud.terminate("pod1")
    assert list(lines) == []
    assert waits == [Span.of(seconds=2)]


@pytest.mark.parametrize(
    ("value", "money"),
    [
        ("0.36", 360_000),
        ("$1.5", 1_500_000),
        (0.69, 690_000),
        (1, 1_000_000),
        (0.1 + 0.2, 300_000),
        ("much", 0),
        ("0.0000001", 0),
        (None, 0),
        (True, 0),
        (1e300, 0),
        (float("nan"), 0),
        ({}, 0),
    ],
    ids=str,
)
def test_money_is_read_from_strings_and_numbers(value: Any, money: int) -> None:  # noqa: ANN401 - whatever a cloud says
    assert money_in(Fields({"x": value}), "x") == money


def test_what_is_missing_reads_as_empty() -> None:
    card = Card.of(Fields({}))
    assert (card.id, card.memory, card.secure, card.availability) == ("", 0, None, "")
    standing = Standing.of(Fields({"runwaySeconds": 90, "balance": "2.50", "anHour": "0.1"}))
    assert (standing.lasts, standing.balance) == (Span.of(seconds=90), Money(2_500_000))
    assert Card.of(Fields(CARDS[0])).name == "RTX 4090"
