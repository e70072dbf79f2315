"""The filter of system calls: the engine's own, without what leads past a container."""

import json
from pathlib import Path
from typing import Any

import pytest

from puna.agent.calls import NoCalls, narrowed, write_filter

OWN = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "syscalls": [
        {"names": ["read", "unshare", "clone", "clone3", "socket"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["mount", "setns"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["X"]}},
        {"names": ["userfaultfd"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
    ],
}


def rules_for(name: str) -> list[dict[str, Any]]:
    return [dict(each) for each in narrowed(OWN)["syscalls"] if name in each["names"]]


@pytest.mark.parametrize("name", ["unshare", "mount", "setns", "userfaultfd", "keyctl", "bpf"])
def test_what_no_pod_needs_is_refused_whatever_the_engine_says(name: str) -> None:
    assert [each["action"] for each in rules_for(name)] == ["SCMP_ACT_ERRNO"]


def test_a_process_is_made_and_no_namespace() -> None:
    [rule] = rules_for("clone")
    [asked] = rule["args"]
    assert (rule["action"], asked["op"], asked["valueTwo"]) == (
        "SCMP_ACT_ALLOW",
        "SCMP_CMP_MASKED_EQ",
        0,
    )
    assert asked["value"] & 0x10000000  # CLONE_NEWUSER
    assert not asked["value"] & 0x00010F00  # what makes a thread


def test_programs_are_told_to_use_the_call_that_is_looked_at() -> None:
    [rule] = rules_for("clone3")
    assert (rule["action"], rule["errnoRet"]) == ("SCMP_ACT_ERRNO", 38)


def test_sockets_are_of_the_network_and_of_this_machine_alone() -> None:
    families = {each["args"][0]["value"] for each in rules_for("socket")}
    assert families == {1, 2, 10, 16}
    assert {each["args"][0]["op"] for each in rules_for("socket")} == {"SCMP_CMP_EQ"}


def test_everything_else_stays() -> None:
    assert [each["action"] for each in rules_for("read")] == ["SCMP_ACT_ALLOW"]
    assert narrowed(OWN)["defaultAction"] == "SCMP_ACT_ERRNO"


def test_it_is_written_for_the_engine_to_read(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text(json.dumps(OWN))
    written = write_filter(own, tmp_path / "agent")
    assert json.loads(written.read_text()) == json.loads(json.dumps(narrowed(OWN)))


@pytest.mark.parametrize("text", [None, "{"])
def test_one_that_cannot_be_read_is_told(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "own.json").write_text(text)
    with pytest.raises(NoCalls, match="cannot be read"):
        write_filter(tmp_path / "own.json", tmp_path / "agent")
