"""What a `PATCH` changes: what is left out stays, what is empty is cleared."""

from dataclasses import replace
from typing import Any

import pytest

from puna.errors import PunaError
from puna.market.actions.editing import PodChange
from puna.market.db.templates import Template
from puna.market.domain.templates import Preset, TemplateWish
from puna.market.http.rest_v2.changes import (
    change_of,
    template_change,
    template_told,
    template_wish,
)
from puna.wire.runpod_rest import CreateTemplate, UpdatePod, UpdateTemplate
from tests.market.pods import BORN, SPEC, a_pod

POD = a_pod(spec=replace(SPEC, env={"A": "1"}, volume_gb=10), registry="r")
TEMPLATE = Template(
    id="t",
    account="a",
    name="t",
    preset=Preset(image="img:7", args="serve", env={"B": "2"}, ports=("80/http",), disk_gb=30),
    is_public=False,
    registry=None,
    created=BORN,
)
KEPT = TemplateWish(
    name="t",
    preset=Preset(image="i", args="a", env={"A": "1"}, ports=("80/http",), volume_gb=10),
    registry="r",
)


def change(template: Template | None = None, **body: object) -> PodChange:
    return change_of(UpdatePod.model_validate(body), POD, template)


def test_nothing_sent_changes_nothing() -> None:
    assert change() == PodChange()


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ({"name": "b"}, "name", "b"),
        ({"locked": True}, "is_locked", True),
        ({"image": "i"}, "image", "i"),
        ({"args": "x"}, "args", "x"),
        ({"args": ""}, "args", ""),
        ({"cmd": ["-c", "a b"]}, "args", "-c 'a b'"),
        ({"cmd": []}, "args", ""),
        ({"entrypoint": ["sh"]}, "entrypoint", ("sh",)),
        ({"env": {"C": "3"}}, "env", {"C": "3"}),
        ({"env": {}}, "env", {}),
        ({"ports": []}, "ports", ()),
        ({"ports": ["22/tcp"]}, "ports", ("22/tcp",)),
        ({"disk": 40}, "disk_gb", 40),
        ({"registry": None}, "registry", ""),
        ({"registry": "s"}, "registry", "s"),
        ({"templateId": ""}, "template", ""),
        ({"mounts": {"persistent": {"size": 20}}}, "volume_gb", 20),
        ({"mounts": {"persistent": {"path": "/k"}}}, "volume_path", "/k"),
        ({"puna": {"access": {"8888": "open"}}}, "access", {"8888": "open"}),
    ],
)
def test_what_is_sent_is_changed(body: dict[str, Any], field: str, value: object) -> None:
    found = change(**body)
    assert getattr(found, field) == value
    assert replace(found, **{field: None}) == PodChange()


def test_a_template_is_filled_in_and_the_body_wins() -> None:
    found = change(TEMPLATE, templateId="t", disk=7, env={"C": "3"})
    assert (found.template, found.image, found.args) == ("t", "img:7", "serve")
    assert (found.disk_gb, found.ports, found.registry) == (7, ("80/http",), "")
    assert found.env == {"A": "1", "B": "2", "C": "3"}
    assert found.volume_gb is None


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"globalNetworking": True}, 400),
        ({"mounts": {"network": [{"volumeId": "v", "path": "/w"}]}}, 404),
    ],
)
def test_what_the_market_lacks_is_refused(body: dict[str, Any], status: int) -> None:
    with pytest.raises(PunaError) as refused:
        change(**body)
    assert refused.value.status == status


def test_a_pod_without_a_volume_is_given_none() -> None:
    body = UpdatePod.model_validate({"mounts": {"persistent": {"size": 20}}})
    with pytest.raises(PunaError, match="fixed when it is created"):
        change_of(body, a_pod(), None)


def test_a_serverless_template_changes_no_pod() -> None:
    template = replace(TEMPLATE, preset=replace(TEMPLATE.preset, is_serverless=True))
    with pytest.raises(PunaError) as refused:
        change(template, templateId="t")
    assert refused.value.status == 422


def test_a_new_template_has_runpods_defaults() -> None:
    wish = template_wish(CreateTemplate.model_validate({"name": "t", "image": "i"}))
    preset = wish.preset
    assert (preset.category, preset.is_serverless, wish.is_public) == ("NVIDIA", False, False)
    assert (preset.starts_ssh, preset.starts_jupyter) == (True, True)
    assert (preset.ports, preset.volume_gb) == ((), 0)


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ({"image": "j"}, "image", "j"),
        ({"args": ""}, "args", ""),
        ({"cmd": ["a b"]}, "args", "'a b'"),
        ({"entrypoint": ["sh", "-c"]}, "entrypoint", ("sh", "-c")),
        ({"env": {}}, "env", {}),
        ({"ports": []}, "ports", ()),
        ({"disk": 9}, "disk_gb", 9),
        ({"category": "CPU"}, "category", "CPU"),
        ({"startSsh": True}, "starts_ssh", True),
        ({"startJupyter": True}, "starts_jupyter", True),
        ({"serverless": True}, "is_serverless", True),
        ({"allowedCudaVersions": ["12.4"]}, "cuda_versions", ("12.4",)),
        ({"mounts": {}}, "volume_gb", 0),
        ({"mounts": {"persistent": {"size": 20, "path": "/workspace"}}}, "volume_gb", 20),
    ],
)
def test_a_templates_field_is_changed_alone(
    body: dict[str, Any], field: str, value: object
) -> None:
    found = template_change(UpdateTemplate.model_validate(body), KEPT)
    assert found == replace(KEPT, preset=replace(KEPT.preset, **{field: value}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "field", "value"),
    [
        ({"name": "u"}, "name", "u"),
        ({"public": True}, "is_public", True),
        ({"registry": None}, "registry", None),
        ({"registry": "s"}, "registry", "s"),
    ],
)
def test_what_surrounds_a_preset_is_changed_alone(
    body: dict[str, Any], field: str, value: object
) -> None:
    found = template_change(UpdateTemplate.model_validate(body), KEPT)
    assert found == replace(KEPT, **{field: value})  # type: ignore[arg-type]


def test_a_template_is_told_in_runpods_words() -> None:
    assert template_told(TEMPLATE).model_dump(by_alias=True) == {
        "id": "t",
        "name": "t",
        "image": "img:7",
        "args": "serve",
        "entrypoint": [],
        "cmd": ["serve"],
        "disk": 30,
        "env": {"B": "2"},
        "ports": ["80/http"],
        "registry": None,
        "mounts": {},
        "serverless": False,
        "public": False,
        "category": "NVIDIA",
        "startSsh": False,
        "startJupyter": False,
        "allowedCudaVersions": [],
    }
