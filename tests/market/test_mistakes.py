"""Mistakes in bodies, in the words of RunPod's schema checker."""

from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

from puna.market.http.mistakes import mistake
from puna.wire.runpod_rest import (
    ActOnPod,
    CreatePod,
    CreateRegistry,
    CreateTemplate,
    PodAction,
    Sent,
    SshKeys,
    UpdatePod,
    UpdateTemplate,
)

POD = {"name": "n"}
KEY = "ssh-ed25519 AAAA me"
NAME, BIG = "n" * 191, 1_000_000


def mistakes(shape: type[BaseModel], body: object) -> list[str]:
    """Return what the market says of a body."""
    try:
        shape.model_validate(body)
    except ValidationError as error:
        found = error.errors()
        return [mistake({**each, "loc": ("body", *each["loc"])}) for each in found]
    return []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ([], "$: got array, want object"),
        ("x", "$: got string, want object"),
        (None, "$: got null, want object"),
        ({"name": 5}, "$.name: got number, want string"),
        ({"name": None}, "$.name: got null, want string"),
        ({"name": ["n"]}, "$.name: got array, want string"),
        ({"name": {"a": 1}}, "$.name: got object, want string"),
        ({"name": True}, "$.name: got boolean, want string"),
        ({"name": ""}, "$.name: minLength: got 0, want 1"),
        ({"name": NAME + "n"}, "$.name: maxLength: got 192, want 191"),
        ({**POD, "disk": 0}, "$.disk: minimum: got 0, want 1"),
        ({**POD, "disk": BIG + 1}, "$.disk: maximum: got 1000001, want 1000000"),
        ({**POD, "disk": 1.5}, "$.disk: got number, want integer"),
        ({**POD, "env": []}, "$.env: got array, want object"),
        ({**POD, "env": {"A": None}}, "$.env.A: got null, want string"),
        ({**POD, "args": ["a"]}, "$.args: got array, want string"),
        ({**POD, "gpu": "x"}, "$.gpu: got string, want object"),
        ({**POD, "gpu": {"id": "x", "count": 0}}, "$.gpu.count: minimum: got 0, want 1"),
        ({**POD, "gpu": {"id": "x", "count": 65}}, "$.gpu.count: maximum: got 65, want 64"),
        ({**POD, "cpu": {"id": "x"}}, "$.cpu: missing property 'vcpuCount'"),
        ({**POD, "cpu": {"id": "x", "vcpuCount": 1}}, "$.cpu.vcpuCount: minimum: got 1, want 2"),
        ({**POD, "globalNetworking": "no"}, "$.globalNetworking: got string, want boolean"),
        ({**POD, "startSsh": 1}, "$.startSsh: got number, want boolean"),
        ({**POD, "ports": ["a"] * 101}, "$.ports: maxItems: got 101, want 100"),
        ({**POD, "mounts": {"disk": 1}}, "$.mounts: additional properties 'disk' not allowed"),
        (
            {**POD, "mounts": {"network": [{"path": "/w"}]}},
            "$.mounts.network[0]: missing property 'volumeId'",
        ),
        ({**POD, "puna": {"bid": "much"}}, "$.puna.bid: want dollars as a number or a string"),
        ({**POD, "puna": {"bid": True}}, "$.puna.bid: want dollars"),
        ({**POD, "puna": {"ceiling": -1}}, "$.puna.ceiling: want dollars"),
        ({**POD, "puna": {"budget": float("nan")}}, "$.puna.budget: want dollars"),
        ({**POD, "puna": {"countries": ["Poland"]}}, "$.puna.countries[0]: does not match pattern"),
        ({**POD, "puna": {"access": {"80": "all"}}}, "value must be one of 'open', 'closed'"),
        ({**POD, "image": "a\0b"}, "$.image: a zero byte is no text"),
        ({**POD, "image": "a\ud800b"}, "$.image: half a character is no text"),
        ({**POD, "env": {"\udfff": "a"}}, "half a character is no text"),
        (b"name=n", "$: the body is not JSON: send it with Content-Type: application/json"),
    ],
)
def test_a_mistake_is_named_with_its_place(body: object, told: str) -> None:
    found = mistakes(CreatePod, body)
    assert len(found) == 1
    assert told in found[0]


@pytest.mark.parametrize(
    "body",
    [
        POD,
        {"name": NAME},
        {**POD, "disk": 1},
        {**POD, "disk": BIG},
        {**POD, "env": {}},
        {**POD, "env": {"A": ""}},
        {**POD, "ports": []},
        {**POD, "ports": ["8888/http", "22/tcp"]},
        {**POD, "gpu": {"id": "x", "count": 64}},
        {**POD, "gpu": {"id": "x", "allowedCudaVersions": ["12.4", "13.0"]}},
        {**POD, "cpu": {"id": "cpu3c", "vcpuCount": 2}},
        {**POD, "mounts": {"persistent": {"size": 10, "path": "/w"}}},
        {**POD, "puna": {}},
        {**POD, "puna": {"bid": 0}},
        {**POD, "puna": {"bid": "$0.25"}},
        {**POD, "puna": {"minDownloadMbps": 0.5}},
    ],
)
def test_what_is_allowed_is_taken(body: object) -> None:
    assert mistakes(CreatePod, body) == []


@pytest.mark.parametrize(
    ("shape", "body", "told"),
    [
        (ActOnPod, {}, "$: missing property 'action'"),
        (
            ActOnPod,
            {"action": "reset"},
            "$.action: value must be one of 'start', 'stop', 'restart', 'terminate'",
        ),
        (UpdatePod, {"cloud": "SECURE"}, "$: additional properties 'cloud' not allowed"),
        (UpdatePod, {"cost": 1}, "$: additional properties 'cost' not allowed"),
        (UpdatePod, {"puna": {"bad": 1}}, "$.puna: additional properties 'bad' not allowed"),
        (UpdatePod, {"mounts": None}, "$.mounts: got null, want object"),
        (UpdatePod, {"locked": 1}, "$.locked: got number, want boolean"),
        (CreateTemplate, {"image": "i"}, "$: missing property 'name'"),
        (
            CreateTemplate,
            {"name": "t", "image": "i", "imageName": "i"},
            "$: additional properties 'imageName' not allowed",
        ),
        (
            CreateTemplate,
            {"name": "t", "image": "i", "mounts": {"network": []}},
            "$.mounts: additional properties 'network' not allowed",
        ),
        (
            UpdateTemplate,
            {"category": "TPU"},
            "$.category: value must be one of 'NVIDIA', 'AMD', 'CPU'",
        ),
        (
            UpdateTemplate,
            {"allowedCudaVersions": ["new"]},
            "$.allowedCudaVersions[0]: does not match pattern '^[0-9]{1,3}\\.[0-9]{1,3}$'",
        ),
        (CreateRegistry, {"name": "r", "username": "u"}, "$: missing property 'password'"),
        (
            CreateRegistry,
            {"name": "r", "username": "", "password": "p"},
            "$.username: minLength: got 0, want 1",
        ),
        (SshKeys, {}, "$: missing property 'keys'"),
        (SshKeys, {"keys": KEY}, "$.keys: got string, want array"),
    ],
)
def test_every_body_is_checked_so(shape: type[Sent], body: object, told: str) -> None:
    assert mistakes(shape, body) == [told]


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        "ssh-rsa AAAAB3Nza+/=",
        "ecdsa-sha2-nistp256 AAAA a b c",
        "sk-ssh-ed25519@openssh.com AAAA",
    ],
)
def test_keys_of_every_kind_are_taken(key: str) -> None:
    assert mistakes(SshKeys, {"keys": [key]}) == []


@pytest.mark.parametrize("key", ["", "AAAA", "pgp-rsa AAAA", "ssh-rsa", f"{KEY}\nssh-rsa B", "x\0"])
def test_what_is_no_key_is_refused(key: str) -> None:
    (told,) = mistakes(SshKeys, {"keys": [key]})
    assert told.startswith("$.keys[0]: ")


def test_a_password_is_never_repeated() -> None:
    body = {"name": "r", "username": "u", "password": "sesame", "pass": "sesame"}
    assert "sesame" not in " ".join(mistakes(CreateRegistry, body))


def test_all_mistakes_are_told_at_once() -> None:
    body = {"image": 1, "disk": 0, "x": 1, "gpu": {}}
    assert sorted(mistakes(CreatePod, body)) == [
        "$.disk: minimum: got 0, want 1",
        "$.gpu: missing property 'id'",
        "$.image: got number, want string",
        "$: additional properties 'x' not allowed",
        "$: missing property 'name'",
    ]


def test_a_body_that_is_no_json_is_told_so() -> None:
    found = {"type": "json_invalid", "loc": ("body", 7), "msg": "JSON decode error"}
    assert mistake(found) == "$: the body is not JSON"


def test_a_body_that_is_not_there_is_told_so() -> None:
    found = {"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}
    assert mistake(found) == "$: got null, want object"


def test_a_name_of_many_lines_stays_on_one() -> None:
    (told,) = mistakes(ActOnPod, {"action": "stop", "a\nb": 1})
    assert "\n" not in told


@pytest.mark.parametrize("action", get_args(PodAction))
def test_every_action_can_be_asked_for(action: str) -> None:
    assert mistakes(ActOnPod, {"action": action}) == []
