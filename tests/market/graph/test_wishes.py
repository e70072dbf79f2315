"""What clients send becomes a pod as it is wanted: one row a sentence of the protocol."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from puna.market.domain.hosts import Cloud, Tenure
from puna.market.domain.specs import PodSpec
from puna.market.http.graph.wishes import (
    bare,
    demand_of,
    price_of,
    spec_of,
)
from puna.market.http.rest_v2.words import InvalidWish, NotOffered
from puna.units import Money
from tests.market.lots import CARD

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
THE_SDKS = {
    "name": "n",
    "imageName": "img:1",
    "cloudType": "ALL",
    "startSsh": True,
    "gpuTypeId": CARD,
    "supportPublicIp": True,
    "gpuCount": 1,
    "volumeInGb": 0,
    "minVcpuCount": 1,
    "minMemoryInGb": 1,
    "dataCenterId": None,
    "dockerArgs": "",
    "containerDiskInGb": 10,
    "volumeMountPath": "/runpod-volume",
}
"""What the Python SDK sends if it is told a name, an image and a card."""
PRESET = PodSpec(
    image="preset:1",
    args="serve",
    env={"A": "1", "B": "2"},
    ports=("80/http",),
    volume_gb=50,
    volume_path="/root/.ollama",
)


def spec(start: PodSpec | None = None, /, **changes: object) -> PodSpec:
    return spec_of({**THE_SDKS, **changes}, start or bare(), NOON)


def test_what_the_sdk_sends_by_itself_is_a_pod_with_one_card() -> None:
    expected = PodSpec(
        image="img:1",
        disk_gb=10,
        volume_path="/runpod-volume",
        cards=1,
        card_models=(CARD,),
        processors=2,
        memory_gb=8,
        starts_ssh=True,
        needs_public_ip=True,
    )
    assert spec() == expected


@pytest.mark.parametrize(
    ("sent", "field", "value"),
    [
        ({"ports": "8888/http, 22/tcp"}, "ports", ("8888/http", "22/tcp")),
        ({"ports": "8888/http", "port": 80}, "ports", ("8888/http", "80/http")),
        ({"ports": ""}, "ports", ()),
        ({"env": [{"key": "A", "value": "a=b"}]}, "env", {"A": "a=b"}),
        ({"cloudType": "SECURE"}, "cloud", Cloud.SECURE),
        ({"cloudType": None}, "cloud", None),
        ({"countryCode": "PL,CZ"}, "countries", ("PL", "CZ")),
        ({"dataCenterId": "EU-PL-1"}, "data_centers", ("EU-PL-1",)),
        ({"dataCenterIds": ["EU-PL-1", "EU-RO-1"]}, "data_centers", ("EU-PL-1", "EU-RO-1")),
        ({"minCudaVersion": "12.8"}, "cuda", (12, 8)),
        ({"cudaVersion": "12"}, "cuda", (12, 0)),
        ({"allowedCudaVersions": ["12.4", "12.8"]}, "cuda_versions", ("12.4", "12.8")),
        ({"allowedCudaVersions": ["12.4,12.8"]}, "cuda_versions", ("12.4", "12.8")),
        ({"minDownload": 100}, "down_mbps", 100),
        ({"minUpload": 50}, "up_mbps", 50),
        ({"minVcpuCount": 12}, "processors", 12),
        ({"minMemoryInGb": 60}, "memory_gb", 60),
        ({"gpuCount": 2}, "memory_gb", 16),
        ({"gpuTypeIdList": ["a", CARD]}, "card_models", (CARD, "a")),
        ({"gpuTypeIdList": ["a"], "gpuTypeId": None}, "in_order", True),
        ({"deployCost": 0.5, "gpuCount": 2}, "ceiling", Money.parse("0.25")),
        ({"stopAfter": timedelta(hours=1)}, "stop_after", timedelta(hours=1)),
        ({"terminateAfter": NOON + timedelta(1)}, "terminate_after", timedelta(1)),
        ({"startJupyter": True}, "starts_jupyter", True),
        ({"startSsh": False}, "starts_ssh", False),
        ({"volumeInGb": 30, "volumeMountPath": "/w"}, "volume_path", "/w"),
    ],
)
def test_what_is_sent_is_wanted(sent: dict[str, Any], field: str, value: object) -> None:
    assert getattr(spec(**sent), field) == value


def test_a_bid_makes_a_spot_pod() -> None:
    wanted = spec(bidPerGpu=0.2)
    assert (wanted.tenure, wanted.bid) == (Tenure.SPOT, Money.parse("0.20"))


@pytest.mark.parametrize(
    ("sent", "processors", "memory"),
    [
        ({}, 2, 4),
        ({"instanceId": "cpu3c-4-8"}, 4, 8),
        ({"instanceIds": ["cpu5g-2-8"]}, 2, 8),
        ({"instanceId": "cpu3c-2-4", "minVcpuCount": 8}, 8, 4),
    ],
)
def test_without_a_card_an_instance_says_the_size(
    sent: dict[str, Any], processors: int, memory: int
) -> None:
    wanted = spec_of({"imageName": "i", "computeType": "CPU", **sent}, bare(), NOON)
    assert (wanted.cards, wanted.processors, wanted.memory_gb) == (0, processors, memory)


def test_a_template_fills_in_what_was_not_said() -> None:
    sent = {"imageName": "", "env": [{"key": "B", "value": "3"}], "containerDiskInGb": None}
    wanted = spec(PRESET, **sent)
    assert (wanted.image, wanted.args, wanted.env) == ("preset:1", "serve", {"A": "1", "B": "3"})
    assert (wanted.ports, wanted.volume_gb, wanted.disk_gb) == (("80/http",), 50, 20)


def test_the_sdks_own_path_for_a_volume_is_no_wish_against_a_templates() -> None:
    assert spec(PRESET).volume_path == "/root/.ollama"
    assert spec(PRESET, volumeMountPath="/data").volume_path == "/data"
    assert spec(replace(PRESET, volume_gb=0)).volume_path == "/runpod-volume"


@pytest.mark.parametrize(
    ("sent", "names"),
    [
        ({"networkVolumeId": "agv6w2qcg7"}, "network volumes"),
        ({"volumeMounts": [{"volumeId": "v", "mountPath": "/w"}]}, "network volumes"),
        ({"globalNetwork": True}, "global networking"),
        ({"compliance": ["GDPR"]}, "compliance"),
        ({"savingsPlan": {"planLength": "3m"}}, "savings plans"),
        ({"volumeKey": "secret"}, "encrypted volumes"),
        ({"aiApiId": "e"}, "serverless endpoints"),
        ({"modelReferences": ["https://huggingface.co/a/b"]}, "cache of models"),
    ],
)
def test_what_this_market_has_not_is_refused_by_name(sent: dict[str, Any], names: str) -> None:
    with pytest.raises(NotOffered, match=names):
        spec(**sent)


@pytest.mark.parametrize(
    "sent",
    [
        {"stopAfter": NOON - timedelta(1)},
        {"terminateAfter": timedelta(0)},
        {"minCudaVersion": "newest"},
        {"instanceId": "cpu"},
        {"bidPerGpu": -1.0},
        {"deployCost": 1e300},
        {"gpuTypeIdList": ["a"] * 100},
    ],
)
def test_what_makes_no_sense_is_refused(sent: dict[str, Any]) -> None:
    with pytest.raises(InvalidWish):
        spec(**sent)


def test_dollars_of_the_wire_are_rounded_to_a_micro_dollar() -> None:
    assert price_of(0.1 + 0.2) == Money.parse("0.30")


@pytest.mark.parametrize(
    ("sent", "field", "value"),
    [
        ({}, "cloud", None),
        ({"secureCloud": True}, "cloud", Cloud.SECURE),
        ({"secureCloud": False}, "cloud", Cloud.COMMUNITY),
        ({"dataCenterIds": ["A", "B"]}, "data_centers", frozenset({"A", "B"})),
        ({"dataCenterId": "A"}, "data_centers", frozenset({"A"})),
        ({"countryCode": "PL"}, "countries", frozenset({"PL"})),
        ({"supportPublicIp": True}, "needs_public_ip", True),
    ],
)
def test_a_question_for_the_lowest_price_says_where(
    sent: dict[str, Any], field: str, value: object
) -> None:
    assert getattr(demand_of(sent, CARD), field) == value


def test_a_question_for_the_lowest_price_says_how_much() -> None:
    sent = {"gpuCount": 2, "minVcpuCount": 8, "minMemoryInGb": 32, "totalDisk": 100}
    takes = demand_of(sent, CARD).takes
    assert (takes.cards, takes.processors) == (2, 8)
    assert (takes.memory, takes.disk) == (32 * 10**9, 100 * 10**9)
