"""Version 1 of RunPod's REST in and out of the market's values: tables, without a market."""

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from puna.errors import PunaError
from puna.market.actions.editing import PodChange
from puna.market.db.templates import Template
from puna.market.domain.commands import words_of
from puna.market.domain.hosts import Cloud, Tenure
from puna.market.domain.placement import Why, place
from puna.market.domain.pods import Desired, Observed, PodState
from puna.market.domain.specs import PodSpec, check
from puna.market.domain.templates import Preset, TemplateWish
from puna.market.http.rest_v1.words import (
    change_of,
    matches,
    pod_v1,
    template_change,
    template_v1,
    template_wish,
    wish_of,
)
from puna.units import Money, Size
from puna.wire.runpod_v1 import CreatePodV1, CreateTemplateV1, UpdatePodV1, UpdateTemplateV1
from tests.market.lots import CARD, GB, NOON, a_host
from tests.market.pods import BORN, SPEC, facts

TEMPLATE = Template(
    id="t",
    account="a",
    name="t",
    preset=Preset(image="img:7", args="serve -v", env={"A": "1"}, ports=("80/http",), disk_gb=30),
    is_public=False,
    registry="r",
    created=BORN,
)
CPU = {"computeType": "CPU"}
STOPPED = PodState(Desired.STOP, Observed.EXITED, has_host=True, shown_run=1)


def spec(template: Template | None = None, **body: object) -> PodSpec:
    sent = {"imageName": "img:1", **body}
    return wish_of(CreatePodV1.model_validate(sent), template).spec


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image", "img:1"),
        ("args", ""),
        ("entrypoint", ()),
        ("ports", ("8888/http", "22/tcp")),
        ("disk_gb", 50),
        ("volume_gb", 20),
        ("volume_path", "/workspace"),
        ("cards", 1),
        ("card_models", ()),
        ("in_order", False),
        ("processors", 2),
        ("memory_gb", 8),
        ("cloud", Cloud.SECURE),
        ("tenure", Tenure.ON_DEMAND),
        ("needs_public_ip", False),
        ("starts_ssh", True),
    ],
)
def test_what_is_left_out_is_as_runpod_has_it(field: str, value: object) -> None:
    assert getattr(spec(), field) == value


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ({"dockerStartCmd": ["sh", "-c", "a b"]}, "args", "sh -c 'a b'"),
        ({"dockerArgs": "sleep 5"}, "args", "sleep 5"),
        ({"dockerEntrypoint": ["tini", "--"]}, "entrypoint", ("tini", "--")),
        ({"env": {"A": "1"}}, "env", {"A": "1"}),
        ({"ports": ["80/http"]}, "ports", ("80/http",)),
        ({"ports": "80/http, 22/tcp"}, "ports", ("80/http", "22/tcp")),
        ({"ports": ["80/http"]}, "starts_ssh", False),
        ({"containerDiskInGb": 5}, "disk_gb", 5),
        ({"containerDiskInGb": None}, "disk_gb", 50),
        ({"volumeInGb": 0}, "volume_gb", 0),
        ({"volumeMountPath": "/data"}, "volume_path", "/data"),
        ({"gpuCount": 2}, "cards", 2),
        ({"gpuCount": 2}, "memory_gb", 16),
        ({"gpuTypeIds": [CARD, "B"], "gpuTypePriority": "custom"}, "in_order", True),
        ({"gpuTypeIds": [CARD, "B"]}, "card_models", (CARD, "B")),
        ({"minRAMPerGPU": 30}, "memory_gb", 30),
        ({"minVCPUPerGPU": 7, "gpuCount": 2}, "processors", 14),
        ({"allowedCudaVersions": ["12.4"]}, "cuda_versions", ("12.4",)),
        ({"minCudaVersion": "12.8"}, "cuda", (12, 8)),
        ({"minDiskBandwidthMBps": 0.5}, "disk_mbps", 1),
        ({"minDownloadMbps": 100}, "down_mbps", 100),
        ({"minUploadMbps": 50}, "up_mbps", 50),
        ({"dataCenterIds": ["EU-RO-1"]}, "data_centers", ("EU-RO-1",)),
        ({"countryCodes": ["pl"]}, "countries", ("PL",)),
        ({"supportPublicIp": True}, "needs_public_ip", True),
        ({"cloudType": "COMMUNITY"}, "cloud", Cloud.COMMUNITY),
        ({"interruptible": True}, "tenure", Tenure.SPOT),
        ({"interruptible": True, "puna": {"bid": "0.2"}}, "bid", Money(200_000)),
        (CPU, "cards", 0),
        (CPU, "memory_gb", 4),
        (CPU, "volume_gb", 0),
        ({**CPU, "vcpuCount": 8, "cpuFlavorIds": ["cpu3m"]}, "memory_gb", 64),
        ({**CPU, "cpuFlavorIds": ["cpu3m", "cpu3c"]}, "memory_gb", 4),
        (
            {**CPU, "cpuFlavorIds": ["cpu3m", "cpu3c"], "cpuFlavorPriority": "custom"},
            "memory_gb",
            16,
        ),
        ({"nobodyKnows": 1, "startSSH": True}, "image", "img:1"),
    ],
)
def test_every_field_arrives(body: dict[str, Any], field: str, value: object) -> None:
    assert getattr(spec(**body), field) == value


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"gpuTypeIds": ["Other"]}, Why.CARD),
        ({"gpuCount": 3}, Why.TOO_SMALL),
        ({"minRAMPerGPU": 500}, Why.TOO_SMALL),
        ({"minVCPUPerGPU": 100}, Why.TOO_SMALL),
        ({"containerDiskInGb": 5000}, Why.TOO_SMALL),
        ({"volumeInGb": 5000}, Why.TOO_SMALL),
        ({**CPU, "vcpuCount": 100}, Why.TOO_SMALL),
        ({**CPU, "vcpuCount": 16, "cpuFlavorIds": ["cpu5m"]}, Why.TOO_SMALL),
        ({"cloudType": "SECURE"}, Why.CLOUD),
        ({"countryCodes": ["JP", "KR"]}, Why.COUNTRY),
        ({"dataCenterIds": ["EU-RO-1"]}, Why.DATA_CENTER),
        ({"allowedCudaVersions": ["11.8"]}, Why.CUDA),
        ({"minCudaVersion": "13.0"}, Why.CUDA),
        ({"minDownloadMbps": 9000}, Why.BANDWIDTH),
        ({"minUploadMbps": 9000}, Why.BANDWIDTH),
        ({"minDiskBandwidthMBps": 90_000}, Why.DISK_SPEED),
        ({"supportPublicIp": True}, Why.PUBLIC_IP),
        ({"interruptible": True, "puna": {"bid": "0.01"}}, Why.BID_TOO_LOW),
    ],
)
def test_every_filter_decides_where_a_pod_may_go(body: dict[str, Any], why: Why) -> None:
    usual: dict[str, Any] = {"cloudType": "COMMUNITY"}
    placed = place(check(spec(**{**usual, **body})).demand(), [a_host()], NOON)
    assert [each.why for each in placed.refusals] == [why]
    assert place(spec(None, **usual).demand(), [a_host()], NOON).seat is not None


def test_of_two_cards_the_cheaper_or_the_first_is_taken() -> None:
    names = {"gpuTypeIds": ["A", "B"], "cloudType": "COMMUNITY"}
    dear = replace(a_host("dear"), machine=replace(a_host().machine, card="A"))
    cheap = replace(a_host("cheap"), machine=replace(a_host().machine, card="B"))
    cheap = replace(cheap, terms=replace(cheap.terms, price=Money(1)))
    any_of = place(spec(None, **names).demand(), [dear, cheap], NOON).seat
    first = place(spec(None, **names, gpuTypePriority="custom").demand(), [dear, cheap], NOON).seat
    assert any_of is not None
    assert first is not None
    assert (any_of.host, first.host) == ("cheap", "dear")


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"imageName": ""}, 400, "imageName or a templateId"),
        ({"networkVolumeId": "v"}, 404, "no network volume v"),
        ({"globalNetworking": True}, 400, "no global networking"),
        ({**CPU, "cpuFlavorIds": ["cpu9"]}, 400, 'no cpu "cpu9"'),
    ],
)
def test_what_cannot_be_had_is_refused(body: dict[str, Any], status: int, told: str) -> None:
    with pytest.raises(PunaError, match=told) as refused:
        spec(**body)
    assert refused.value.status == status


def test_a_template_fills_in_and_the_body_wins() -> None:
    found = spec(TEMPLATE, imageName=None, containerDiskInGb=9, env={"B": "2"})
    assert (found.image, found.args, found.disk_gb) == ("img:7", "serve -v", 9)
    assert found.env == {"A": "1", "B": "2"}
    assert (found.ports, found.volume_gb) == (("80/http",), 0)


def test_a_serverless_template_makes_no_pod() -> None:
    template = replace(TEMPLATE, preset=replace(TEMPLATE.preset, is_serverless=True))
    with pytest.raises(PunaError, match="serverless"):
        spec(template)


@pytest.mark.parametrize(
    "body",
    [
        {"computeType": "TPU"},
        {"cloudType": "ALL"},
        {"gpuCount": 0},
        {"containerDiskInGb": -1},
        {"ports": ["22"]},
        {"env": ["A=b"]},
        {"name": "n" * 192},
        {"dockerStartCmd": "sh"},
        {"gpuTypePriority": "price"},
    ],
)
def test_what_is_no_value_of_a_field_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CreatePodV1.model_validate(body)


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ({"name": "b"}, "name", "b"),
        ({"locked": True}, "is_locked", True),
        ({"imageName": "i"}, "image", "i"),
        ({"dockerStartCmd": ["a", "b c"]}, "args", "a 'b c'"),
        ({"dockerStartCmd": []}, "args", ""),
        ({"dockerArgs": "x y"}, "args", "x y"),
        ({"dockerEntrypoint": []}, "entrypoint", ()),
        ({"env": {}}, "env", {}),
        ({"ports": []}, "ports", ()),
        ({"containerDiskInGb": 5}, "disk_gb", 5),
        ({"volumeInGb": 30}, "volume_gb", 30),
        ({"volumeMountPath": "/k"}, "volume_path", "/k"),
        ({"containerRegistryAuthId": ""}, "registry", ""),
        ({"puna": {"access": {"80": "open"}}}, "access", {"80": "open"}),
    ],
)
def test_a_change_changes_what_is_sent_alone(
    body: dict[str, Any], field: str, value: object
) -> None:
    found = change_of(UpdatePodV1.model_validate(body))
    assert getattr(found, field) == value
    assert replace(found, **{field: None}) == PodChange()


def test_null_and_what_nobody_knows_change_nothing() -> None:
    body = {"name": None, "env": None, "ports": None, "volumeInGb": None, "gpuCount": 9}
    assert change_of(UpdatePodV1.model_validate(body)) == PodChange()


def test_a_pod_is_told_in_the_words_of_version_1() -> None:
    told = json.loads(
        pod_v1(facts(spec=replace(SPEC, args="sh -c 'a b'"))).model_dump_json(by_alias=True)
    )
    assert told.pop("puna")["tenure"] == "on_demand"
    assert told == {
        "id": "k3v9q1zt7m2abc",
        "name": "n",
        "desiredStatus": "RUNNING",
        "lastStatusChange": "Rented by User: Tue Nov 24 2026 02:00:00 GMT+0000 "
        "(Coordinated Universal Time)",
        "lastStartedAt": "2026-11-24T02:01:00Z",
        "createdAt": "2026-11-24T02:00:00Z",
        "uptimeSeconds": 60,
        "image": "img:1",
        "imageName": "img:1",
        "interruptible": False,
        "locked": False,
        "costPerHr": 0.69,
        "adjustedCostPerHr": 0.69274,
        "consumerUserId": "user_a",
        "gpu": {"id": CARD, "count": 2, "displayName": "RTX 4090"},
        "gpuTypeId": CARD,
        "gpuCount": 2,
        "cpuFlavorId": "",
        "vcpuCount": 2,
        "memoryInGb": 4,
        "containerDiskInGb": 20,
        "volumeInGb": 0,
        "volumeMountPath": "/workspace",
        "volumeEncrypted": False,
        "containerRegistryAuthId": "",
        "templateId": "",
        "dockerEntrypoint": [],
        "dockerStartCmd": ["sh", "-c", "a b"],
        "env": {},
        "ports": ["8888/http", "22/tcp"],
        "publicIp": "203.0.113.7",
        "portMappings": {"22": 17740, "8888": 60001},
        "machineId": "host",
        "machine": {},
        "savingsPlans": [],
    }


@pytest.mark.parametrize(
    "name",
    ["gpuCount", "vcpuCount", "memoryInGb", "containerDiskInGb", "volumeInGb", "uptimeSeconds"],
)
def test_go_reads_whole_numbers(name: str) -> None:
    told = pod_v1(facts()).model_dump(mode="json", by_alias=True)
    assert type(told[name]) is int


def test_nothing_is_open_before_it_runs() -> None:
    told = pod_v1(facts(state=STOPPED))
    assert (told.public_ip, told.port_mappings, told.desired_status) == (None, None, "EXITED")
    assert (told.cost_per_hr, told.adjusted_cost_per_hr) == (0.69, 0.0)


def test_the_machine_is_told_if_asked_for() -> None:
    machine = pod_v1(facts(), shows_machine=True).machine
    assert machine["gpuDisplayName"] == "RTX 4090"
    assert (machine["location"], machine["secureCloud"]) == ("PL", True)
    assert pod_v1(facts(site=None, host=None), shows_machine=True).machine == {}


@pytest.mark.parametrize(
    ("wanted", "is_one"),
    [
        ({}, True),
        ({"computeType": ["GPU"]}, True),
        ({"computeType": ["CPU"]}, False),
        ({"gpuTypeId": ["X", CARD]}, True),
        ({"gpuTypeId": ["X"]}, False),
        ({"desiredStatus": ["RUNNING"]}, True),
        ({"desiredStatus": ["EXITED"]}, False),
        ({"dataCenterId": ["EU-PL-1"]}, True),
        ({"id": ["k3v9q1zt7m2abc"]}, True),
        ({"imageName": ["img:2"]}, False),
        ({"name": ["n"], "templateId": ["t"]}, False),
        ({"networkVolumeId": ["v"]}, False),
        ({"endpointId": ["e"]}, False),
        ({"cpuFlavorId": ["cpu3c"]}, False),
        ({"name": []}, True),
        ({"unknown": ["x"]}, True),
    ],
)
def test_a_list_has_what_was_asked_for(wanted: dict[str, list[str]], *, is_one: bool) -> None:
    assert matches(facts(), wanted) is is_one


def test_a_new_template_has_the_defaults_of_version_1() -> None:
    preset = template_wish(CreateTemplateV1.model_validate({"name": "t", "imageName": "i"})).preset
    assert (preset.disk_gb, preset.volume_gb, preset.volume_path) == (50, 20, "/workspace")
    assert preset.ports == ("8888/http", "22/tcp")
    serverless = {"name": "t", "imageName": "i", "isServerless": True}
    assert template_wish(CreateTemplateV1.model_validate(serverless)).preset.volume_gb == 0


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ({"imageName": "j"}, "image", "j"),
        ({"dockerStartCmd": ["a b"]}, "args", "'a b'"),
        ({"dockerEntrypoint": ["x"]}, "entrypoint", ("x",)),
        ({"env": {}}, "env", {}),
        ({"ports": []}, "ports", ()),
        ({"containerDiskInGb": 9}, "disk_gb", 9),
        ({"volumeInGb": 9}, "volume_gb", 9),
        ({"volumeMountPath": "/k"}, "volume_path", "/k"),
        ({"category": "CPU"}, "category", "CPU"),
        ({"readme": "# read"}, "readme", "# read"),
        ({"isServerless": True}, "is_serverless", True),
    ],
)
def test_a_templates_field_is_changed_alone(
    body: dict[str, Any], field: str, value: object
) -> None:
    before = TemplateWish(name="t", preset=TEMPLATE.preset, registry="r")
    found = template_change(UpdateTemplateV1.model_validate(body), before)
    changed = replace(before.preset, **{field: value})  # type: ignore[arg-type]
    assert found == replace(before, preset=changed)


def test_a_template_is_told_with_its_command_in_both_forms() -> None:
    told = template_v1(TEMPLATE).model_dump(mode="json", by_alias=True)
    assert (told["dockerStartCmd"], told["dockerArgs"]) == (["serve", "-v"], "serve -v")
    assert (told["isRunpod"], told["earned"], told["runtimeInMin"]) == (False, 0.0, 0)


@pytest.mark.parametrize("command", ["", "a", "sh -c 'a b'", 'x "y z"'])
def test_a_command_is_taken_apart_and_put_together(command: str) -> None:
    body = CreatePodV1.model_validate({"imageName": "i", "dockerStartCmd": words_of(command)})
    assert words_of(wish_of(body, None).spec.args) == words_of(command)


def test_a_command_that_cannot_be_taken_apart_is_one_word() -> None:
    assert words_of("it's") == ["it's"]


def test_room_is_counted_in_whole_gigabytes() -> None:
    assert spec().takes.disk == Size(70 * GB)
