"""The same container in Podman's own words. Pure.

Podman 4 takes Docker's words for cards by their CDI names and gives the container none, without a
word. Its own API knows them, so a container with cards is made by that.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from puna.agent.containers import USERS, first_user


def with_cards(body: Mapping[str, Any]) -> bool:
    """Return whether a body of Docker's asks for cards."""
    return bool(body["HostConfig"].get("DeviceRequests"))


def libpod_body(name: str, pod: str, body: Mapping[str, Any]) -> Mapping[str, object]:
    """Return the body of `POST /libpod/containers/create` for a body of Docker's."""
    host = body["HostConfig"]
    made: dict[str, object] = {
        "name": name,
        "image": body["Image"],
        "env": dict(each.split("=", 1) for each in body["Env"]),
        "labels": body["Labels"],
        "cap_add": host["CapAdd"],
        "cap_drop": host["CapDrop"],
        "no_new_privileges": True,
        "privileged": False,
        "resource_limits": {
            "pids": {"limit": host["PidsLimit"]},
            "cpu": {"period": host["CpuPeriod"], "quota": host["CpuQuota"]},
            "memory": {"limit": host["Memory"], "swap": host["MemorySwap"]},
        },
        "netns": {"nsmode": "bridge"},
        "networks": {host["NetworkMode"]: {}},
        "portmappings": _ports(host["PortBindings"]),
        "restart_policy": "no",
        "r_limits": [
            {"type": each["Name"], "soft": each["Soft"], "hard": each["Hard"]}
            for each in host["Ulimits"]
        ],
        "log_configuration": {"driver": "k8s-file", "size": 10 * 2**20},
        "volumes": [
            {"Name": each["Source"], "Dest": each["Target"], "Options": ["nosuid", "nodev"]}
            for each in host.get("Mounts") or ()
        ],
        "devices": [
            {"path": card} for each in host["DeviceRequests"] for card in each["DeviceIDs"]
        ],
    }
    for ours, theirs in (("Cmd", "command"), ("Entrypoint", "entrypoint")):
        if body.get(ours):
            made[theirs] = body[ours]
    if host.get("UsernsMode"):
        users = [{"container_id": 0, "host_id": first_user(pod), "size": USERS}]
        made["userns"] = {"nsmode": "private"}
        made["idmappings"] = {"UIDMap": users, "GIDMap": users}
    return made


def _ports(bindings: Mapping[str, Sequence[Mapping[str, str]]]) -> Sequence[Mapping[str, object]]:
    return [
        {
            "container_port": int(inside.partition("/")[0]),
            "host_ip": each["HostIp"],
            "host_port": int(each["HostPort"] or 0),
            "protocol": "tcp",
        }
        for inside, places in bindings.items()
        for each in places
    ]
