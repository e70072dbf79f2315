"""Version 2 of RunPod's REST in and out of the market's values: tables, without a market."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from puna.errors import Invalid, PunaError
from puna.market.actions.renting import Wish
from puna.market.db.templates import Template
from puna.market.domain.doors import Doors
from puna.market.domain.hosts import Cloud, Tenure
from puna.market.domain.specs import PodSpec, check
from puna.market.domain.templates import Preset
from puna.market.http.mistakes import mistake
from puna.market.http.rest_v2.words import after_of, flavour_of, money_of, wish_of
from puna.units import Money
from puna.wire.runpod_rest import CreatePod
from tests.market.lots import CARD

BODY = {"name": "n", "image": "img:1", "gpu": {"id": CARD}, "cloud": "COMMUNITY"}
TEMPLATE = Template(
    id="t",
    account="a",
    name="t",
    preset=Preset(image="img:7", env={"A": "1", "B": "2"}, is_serverless=False, starts_ssh=True),
    is_public=False,
    registry="r",
    created=datetime(2026, 11, 24, tzinfo=UTC),
)


def mistakes(body: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        CreatePod.model_validate(body)
    return [mistake({**each, "loc": ("body", *each["loc"])}) for each in caught.value.errors()]


def wish(template: Template | None = None, **changes: object) -> Wish:
    """Return what a body wishes; a change to None leaves a field out."""
    body = {name: each for name, each in {**BODY, **changes}.items() if each is not None}
    return wish_of(CreatePod.model_validate(body), template)


def spec(**changes: object) -> PodSpec:
    return check(wish(None, **changes).spec)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"x": 1}, "$: additional properties 'x' not allowed"),
        ({"name": None}, "$.name: got null, want string"),
        ({"image": None}, "$.image: got null, want string"),
        ({"gpu": None}, "$.gpu: got null, want object"),
        ({"ports": None}, "$.ports: got null, want array"),
        ({"startSsh": None}, "$.startSsh: got null, want boolean"),
        ({"gpu": {"id": CARD, "vram": 1}}, "$.gpu: additional properties 'vram' not allowed"),
        ({"gpu": {}}, "$.gpu: missing property 'id'"),
        ({"cloud": "ALL"}, "$.cloud: value must be one of 'SECURE', 'COMMUNITY'"),
        ({"disk": "20"}, "$.disk: got string, want integer"),
        ({"disk": 0}, "$.disk: minimum: got 0, want 1"),
        ({"disk": True}, "$.disk: got boolean, want integer"),
        ({"env": {"A": 1}}, "$.env.A: got number, want string"),
        ({"ports": "22/tcp"}, "$.ports: got string, want array"),
        ({"ports": ["22"]}, "$.ports[0]: does not match pattern"),
        ({"mounts": {"network": []}}, "$.mounts.network: minItems: got 0, want 1"),
        ({"mounts": {"persistent": {"size": 9, "path": "/w"}}}, "minimum: got 9, want 10"),
        ({"puna": {"tenure": "lease"}}, "value must be one of 'on_demand', 'spot'"),
        ({"puna": {"zz": 1}}, "$.puna: additional properties 'zz' not allowed"),
    ],
)
def test_what_the_schema_refuses_is_named(body: dict[str, Any], told: str) -> None:
    assert told in " ".join(mistakes({**BODY, **body}))


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"gpu": None}, 400, "exactly one of 'gpu' and 'cpu'"),
        ({"cpu": {"id": "cpu3c", "vcpuCount": 2}}, 400, "exactly one of 'gpu' and 'cpu'"),
        ({"gpu": None, "cpu": {"id": "cpu9x", "vcpuCount": 2}}, 400, 'no cpu "cpu9x"'),
        ({"gpu": None, "cpu": {"id": "cpu3c", "vcpuCount": 6}}, 400, "power of two"),
        ({"image": None}, 400, "needs an 'image'"),
        ({"args": "a", "cmd": ["a"]}, 400, "send 'args' or 'cmd', not both"),
        ({"mounts": {"network": [{"volumeId": "v1", "path": "/w"}]}}, 404, "no network volume v1"),
        (
            {"gpu": {"id": CARD, "allowedCudaVersions": ["12.4"], "minCudaVersion": "12.4"}},
            400,
            "one of 'allowedCudaVersions' and 'minCudaVersion'",
        ),
        ({"globalNetworking": True}, 400, "no global networking"),
        ({"puna": {"stopAfter": "soon"}}, 400, "not a length of time"),
        ({"puna": {"stopAfter": "0s"}}, 400, "over at once"),
        ({"puna": {"tenure": "spot"}}, 400, "needs a bid"),
        ({"puna": {"returns": True}}, 400, "only a spot pod"),
        (
            {"gpu": None, "cpu": {"id": "cpu3c", "vcpuCount": 2}, "puna": {"gpuTypeIds": ["x"]}},
            400,
            "for a pod with a gpu",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(body: dict[str, Any], status: int, told: str) -> None:
    with pytest.raises(PunaError, match=told) as refused:
        spec(**body)
    assert refused.value.status == status


def test_a_serverless_template_makes_no_pod() -> None:
    template = Template(
        id="t",
        account="a",
        name="t",
        preset=Preset(image="i", is_serverless=True),
        is_public=False,
        registry=None,
        created=TEMPLATE.created,
    )
    with pytest.raises(Invalid, match="serverless endpoints") as refused:
        wish(template, image=None)
    assert refused.value.status == 422


@pytest.mark.parametrize(
    ("body", "image", "env", "registry", "ssh"),
    [
        ({"image": None}, "img:7", {"A": "1", "B": "2"}, "r", True),
        ({"env": {"B": "3"}}, "img:1", {"A": "1", "B": "3"}, "r", True),
        ({"registry": "mine", "startSsh": False}, "img:1", {"A": "1", "B": "2"}, "mine", False),
    ],
)
def test_a_template_fills_in_and_the_body_wins(
    body: dict[str, Any], image: str, env: dict[str, str], registry: str, *, ssh: bool
) -> None:
    found = wish(TEMPLATE, **body)
    assert (found.template, found.registry) == ("t", registry)
    assert (found.spec.image, dict(found.spec.env)) == (image, env)
    assert found.spec.starts_ssh is ssh


@pytest.mark.parametrize(
    ("puna", "field", "value"),
    [
        ({"tenure": "spot", "bid": 0.2}, "bid", Money(200_000)),
        ({"tenure": "spot", "bid": "0.123456"}, "bid", Money(123_456)),
        ({"tenure": "spot", "bid": 1, "returns": True}, "returns", True),
        ({"tenure": "spot", "bid": 1}, "tenure", Tenure.SPOT),
        ({"stopAfter": "2h"}, "stop_after", timedelta(hours=2)),
        ({"terminateAfter": "1d12h"}, "terminate_after", timedelta(hours=36)),
        ({"idleStop": "30m"}, "idle_stop", timedelta(minutes=30)),
        ({"gpuTypeIds": ["X"]}, "card_models", (CARD, "X")),
        ({"gpuTypeIds": ["X"]}, "in_order", True),
        ({"gpuTypeIds": [CARD]}, "in_order", False),
        ({"minMemoryGb": 100}, "memory_gb", 100),
        ({"minMemoryGb": 1}, "memory_gb", 8),
        ({"minVcpu": 12}, "processors", 12),
        ({"minDownloadMbps": 99.5}, "down_mbps", 100),
        ({"minUploadMbps": 7}, "up_mbps", 7),
        ({"minDiskMbps": 500}, "disk_mbps", 500),
        ({"countries": ["pl", "DE"]}, "countries", ("PL", "DE")),
        ({"publicIp": True}, "needs_public_ip", True),
        ({"runtime": "runsc"}, "runtime", "runsc"),
        ({"ceiling": "0.50"}, "ceiling", Money(500_000)),
    ],
)
def test_every_wish_of_ours_arrives(puna: dict[str, Any], field: str, value: object) -> None:
    assert getattr(spec(puna=puna), field) == value


def test_a_project_and_a_budget_go_with_the_wish() -> None:
    found = wish(puna={"project": "lab", "budget": 5.0})
    assert (found.project, found.budget) == ("lab", Money(5_000_000))


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ({}, "disk_gb", 20),
        ({}, "processors", 2),
        ({}, "memory_gb", 8),
        ({}, "volume_gb", 0),
        ({}, "ports", ()),
        ({}, "starts_ssh", False),
        ({"gpu": {"id": CARD, "count": 3}}, "processors", 6),
        ({"gpu": {"id": CARD, "count": 3}}, "memory_gb", 24),
        ({"gpu": {"id": CARD, "minCudaVersion": "12.8"}}, "cuda", (12, 8)),
        ({"gpu": {"id": CARD, "allowedCudaVersions": ["12.4"]}}, "cuda_versions", ("12.4",)),
        ({"dataCenterIds": ["EU-PL-1"]}, "data_centers", ("EU-PL-1",)),
        ({"startSsh": True}, "starts_ssh", True),
        ({"startJupyter": True}, "starts_jupyter", True),
        ({"mounts": {"persistent": {"size": 10, "path": "/w"}}}, "volume_path", "/w"),
        ({"gpu": None, "cpu": {"id": "cpu5m", "vcpuCount": 4}}, "memory_gb", 32),
    ],
)
def test_every_field_of_runpods_arrives(body: dict[str, Any], field: str, value: object) -> None:
    assert getattr(spec(**body), field) == value


def test_the_cloud_is_the_secure_one_unless_said() -> None:
    body = CreatePod.model_validate({"name": "n", "image": "i", "gpu": {"id": CARD}})
    assert wish_of(body, None).spec.cloud is Cloud.SECURE


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90m", timedelta(minutes=90)),
        ("1d", timedelta(days=1)),
        ("2d1h30m", timedelta(days=2, hours=1, minutes=30)),
        (None, None),
    ],
)
def test_a_length_of_time_is_read(text: str | None, span: timedelta | None) -> None:
    assert after_of(text) == span


@pytest.mark.parametrize("text", ["", "d", "1w", "-1h", "xd", "1d2"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        after_of(text)


def test_money_is_exact_as_text_and_near_as_a_number() -> None:
    assert money_of("0.000001") == Money(1)
    assert money_of(0.1 + 0.2) == Money(300_000)


@pytest.mark.parametrize(
    ("memory", "flavour"), [(4, "cpu3c"), (8, "cpu3g"), (9, "cpu3m"), (99, "cpu3m")]
)
def test_a_flavour_is_known_by_its_memory(memory: int, flavour: str) -> None:
    assert flavour_of(PodSpec(image="i", processors=2, memory_gb=memory)) == flavour


@pytest.mark.parametrize(
    ("url", "domain", "door"),
    [
        ("http://127.0.0.1:11500", "", "http://127.0.0.1:11500/p/p/80/"),
        ("http://127.0.0.1:11500", "pods.localhost", "http://p-80.pods.localhost:11500/"),
        ("https://market.example.org", "pods.example.org", "https://p-80.pods.example.org/"),
    ],
)
def test_a_port_has_a_name_or_a_path(url: str, domain: str, door: str) -> None:
    doors = Doors(url=url, domain=domain, ssh_host="ssh.example.org", ssh_port=22)
    assert doors.url_of("p", 80) == door


@pytest.mark.parametrize(("port", "command"), [(22, "ssh p@h"), (11522, "ssh p@h -p 11522")])
def test_a_shell_is_one_command_away(port: int, command: str) -> None:
    assert Doors(url="", domain="", ssh_host="h", ssh_port=port).ssh_command("p") == command
