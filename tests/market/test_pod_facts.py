"""What follows from what is known of a pod: the same for every dialect."""

from dataclasses import replace
from datetime import timedelta

import pytest

from puna.market.domain.hosts import Tenure
from puna.market.domain.pods import Desired, Observed, PodState
from puna.market.http.graph.podshapes import pod_shape
from puna.market.http.money import dollars, exact
from puna.market.http.pods import OpenPort, PodFacts
from puna.market.http.rest_v2.words import pod_told, puna_told, ssh_ways
from puna.units import Money
from puna.wire.agent import CardUse, UseReport
from tests.market.lots import CARD
from tests.market.pods import BORN, NOW, RUNNING, SITE, SPEC, facts

STOPPED = PodState(Desired.STOP, Observed.EXITED, has_host=True, shown_run=1)
GONE = PodState(Desired.TERMINATE, Observed.ABSENT, shown_run=1)
WAITING = PodState(Desired.RUN)
PULLING = PodState(Desired.RUN, Observed.PULLING, has_host=True, shown_run=1)
DATE = "Tue Nov 24 2026 02:00:00 GMT+0000 (Coordinated Universal Time)"


def test_a_pod_that_runs_costs_its_cards() -> None:
    found = facts()
    assert (found.rate, found.cost) == (690_000, 690_000)
    assert found.an_hour == 692_740
    assert found.uptime_s == 60


def test_a_pod_without_cards_costs_its_processors() -> None:
    assert facts(spec=replace(SPEC, cards=0, processors=4)).rate == 4 * 345_000


def test_a_stopped_pod_costs_its_volume_alone() -> None:
    found = facts(state=STOPPED, spec=replace(SPEC, volume_gb=73))
    assert (found.cost, found.rate, found.an_hour) == (0, 690_000, 20_000)
    assert found.uptime_s == 0


def test_a_terminated_pod_costs_nothing() -> None:
    assert facts(state=GONE).an_hour == 0


@pytest.mark.parametrize(
    ("state", "reason", "intent", "sentence"),
    [
        (RUNNING, "", "RUNNING", "Rented by User"),
        (replace(RUNNING, run=2), "", "RUNNING", "Resumed by User"),
        (STOPPED, "", "EXITED", "Exited by User"),
        (STOPPED, "outbid", "EXITED", "Outbid"),
        (STOPPED, "out of money", "EXITED", "Exited by Runpod (out of money)"),
        (GONE, "", "TERMINATED", "Terminated by User"),
    ],
)
def test_what_happened_last_is_one_sentence(
    state: PodState, reason: str, intent: str, sentence: str
) -> None:
    found = facts(state=state, reason=reason)
    assert found.intent == intent
    assert found.last_change == f"{sentence}: {DATE}"


@pytest.mark.parametrize(
    ("state", "reason", "progress"),
    [
        (WAITING, "", "looks for a host"),
        (PULLING, "", "pulls its image"),
        (PULLING, "pulling: 40%", "pulling: 40%"),
        (replace(PULLING, observed=Observed.CREATED), "", "starts its container"),
        (replace(PULLING, observed=Observed.ABSENT), "", "waits for its host"),
        (RUNNING, "x", ""),
    ],
)
def test_what_goes_on_is_told_until_it_runs(state: PodState, reason: str, progress: str) -> None:
    assert facts(state=state, reason=reason).progress == progress


def test_ports_are_told_with_where_they_are_open() -> None:
    http, tcp = facts().open_ports
    assert http == OpenPort(8888, "http", 60001, "203.0.113.7")
    assert tcp == OpenPort(22, "tcp", 17740, "203.0.113.7")
    assert (http.is_public, tcp.is_public) == (False, True)


def test_ports_of_a_pod_that_does_not_run_are_open_nowhere() -> None:
    assert facts(state=STOPPED).open_ports == (OpenPort(8888, "http"), OpenPort(22, "tcp"))
    assert facts(state=STOPPED).public_ip == ""


def test_an_http_port_has_an_address_whether_it_runs_or_not() -> None:
    assert facts(state=STOPPED).urls == {"8888": "http://m:11500/p/k3v9q1zt7m2abc/8888/"}


def test_the_card_is_the_one_it_has_or_else_the_first_it_asks_for() -> None:
    other = replace(SPEC, card_models=("Other", CARD))
    assert facts(spec=other).card == CARD
    assert facts(site=None, spec=other).card == "Other"
    assert facts(spec=replace(SPEC, cards=0)).card == ""
    assert facts().card_name == "RTX 4090"


def test_a_pod_without_a_host_has_no_place() -> None:
    found = facts(site=None, host=None, state=WAITING)
    assert (found.machine, found.data_center, found.cuda) == (None, None, None)


def test_the_host_id_is_the_pods_with_eight_signs_that_change_with_the_host() -> None:
    pod, _, signs = facts().host_id.rpartition("-")
    assert (pod, len(signs)) == ("k3v9q1zt7m2abc", 8)
    assert facts(host="other").host_id != facts().host_id


def test_money_is_a_float_for_them_and_exact_for_us() -> None:
    assert dollars(Money(690_000)) == 0.69
    assert exact(Money(1234)) == "0.001234"


def test_a_shell_is_reached_through_the_market_and_past_it() -> None:
    ways = ssh_ways(facts())
    assert ways.proxy is not None
    assert ways.proxy.command == "ssh k3v9q1zt7m2abc@m -p 11522"
    assert ways.direct is not None
    assert ways.direct.command == "ssh root@203.0.113.7 -p 17740"


def test_without_a_public_address_there_is_one_way() -> None:
    site = replace(SITE, machine=replace(SITE.machine, public_ip=""))
    assert ssh_ways(facts(site=site)).direct is None
    assert ssh_ways(facts(state=STOPPED)).proxy is None


def test_what_no_host_measures_is_left_out_and_not_zero() -> None:
    runtime = pod_told(facts()).runtime
    assert runtime is not None
    assert runtime.model_dump(mode="json", by_alias=True) == {
        "uptime": 60,
        "gpus": [{}] * 2,
        "cpu": {},
        "memory": {},
        "ports": [
            {"private": 8888, "public": 60001, "type": "http", "ip": "203.0.113.7"},
            {"private": 22, "public": 17740, "type": "tcp", "ip": "203.0.113.7"},
        ],
    }


def test_a_port_that_is_not_public_has_the_address_inside_and_tcp_without_one_is_left_out() -> None:
    site = replace(SITE, machine=replace(SITE.machine, public_ip=""))
    runtime = pod_shape(facts(site=site, ports={}))["runtime"]
    assert isinstance(runtime, dict)
    port = {"privatePort": 8888, "publicPort": 8888, "type": "http"}
    assert runtime["ports"] == [{"ip": "127.0.0.1", "isIpPublic": False, **port}]


USE = UseReport(
    processor=12.4,
    memory=55.5,
    cards=[CardUse(busy=99.6, memory=80), CardUse(busy=0, memory=1.2)],
)


def with_use(use: UseReport, **changes: object) -> PodFacts:
    return facts(site=replace(SITE, uses={"k3v9q1zt7m2abc": use}, **changes))  # type: ignore[arg-type]


def test_what_a_host_measures_is_told_in_whole_hundredths() -> None:
    found = with_use(USE)
    runtime = pod_told(found).runtime
    assert runtime is not None
    told = runtime.model_dump(mode="json", by_alias=True)
    assert (told["cpu"], told["memory"]) == ({"util": 12}, {"util": 56})
    assert told["gpus"] == [{"util": 100, "memoryUtil": 80}, {"util": 0, "memoryUtil": 1}]
    shape = pod_shape(found)["runtime"]
    assert isinstance(shape, dict)
    assert shape["container"] == {"cpuPercent": 12, "memoryPercent": 56}
    assert shape["gpus"] == [
        {"gpuUtilPercent": 100, "memoryUtilPercent": 80},
        {"gpuUtilPercent": 0, "memoryUtilPercent": 1},
    ]


@pytest.mark.parametrize(
    "found",
    [
        facts(),
        with_use(USE, seen=NOW - timedelta(minutes=3)),
        facts(site=replace(SITE, uses={"other": USE})),
        facts(site=None),
    ],
    ids=["never", "long ago", "another", "nowhere"],
)
def test_what_is_not_known_now_is_not_told(found: PodFacts) -> None:
    shape = pod_shape(found)["runtime"]
    assert isinstance(shape, dict)
    assert (found.use, shape["container"], shape["gpus"]) == (None, {}, [{}, {}])


def test_cards_whose_driver_does_not_tell_are_left_out() -> None:
    found = with_use(USE.model_copy(update={"cards": []}))
    assert list(found.card_uses) == [None, None]
    assert found.use is not None


def test_the_place_of_a_pod_is_its_machines() -> None:
    told = pod_told(facts())
    assert (told.cloud, told.data_center_id, told.cuda_version) == ("SECURE", "EU-PL-1", "12.8")


def test_times_are_told_in_utc() -> None:
    told = pod_told(facts()).model_dump(mode="json", by_alias=True)
    assert told["createdAt"] == "2026-11-24T02:00:00Z"
    assert told["startedAt"] == "2026-11-24T02:01:00Z"


def test_what_runpod_has_no_field_for_is_told_apart() -> None:
    spec = replace(
        SPEC, tenure=Tenure.SPOT, bid=Money(200_000), access={"8888": "open"}, ports=("8888/http",)
    )
    told = puna_told(facts(spec=spec, project="lab", stop_at=BORN + timedelta(hours=1)))
    assert told.model_dump(mode="json", by_alias=True) == {
        "tenure": "spot",
        "bid": "0.20",
        "returns": False,
        "project": "lab",
        "host": "host",
        "reason": "",
        "stopAt": "2026-11-24T03:00:00Z",
        "terminateAt": None,
        "paidUntil": "2026-11-24T02:02:00Z",
        "price": "0.345",
        "anHour": "0.69274",
        "held": "0.000005",
        "spent": "0.001234",
        "urls": {"8888": "http://m:11500/p/k3v9q1zt7m2abc/8888/"},
        "access": {"8888": "open"},
        "progress": "",
    }
