"""The same container in Podman's own words. Pure.

Podman 4 takes Docker's words for cards by their CDI names and gives the container none, without a
word. And what those have no word for, it does: volumes for whatever paths an image names, beside
every limit; the owner's own list of hosts in `/etc/hosts`; more rights for an image that seems to
start systemd. So containers are made by Podman's own API.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from puna.agent.containers import SECCOMP, USERS, UnusablePod, first_user

_MEANT_FOR_RUNTIMES = (
    "cdi.",
    "dev.gvisor.",
    "io.containers.",
    "io.crun.",
    "io.katacontainers.",
    "io.kubernetes.",
    "io.podman.",
    "krun.",
    "module.wasm.",
    "org.systemd.property.",
    "run.oci.",
)
"""How annotations begin by which runtimes are told what to do: other limits, hooks, kernels."""


def check_annotations(named: Iterable[str]) -> None:
    """Raise `UnusablePod` for an image that would tell this machine's runtime what to do.

    Podman hands an image's annotations on to the runtime.
    """
    wrong = sorted(each for each in named if each.startswith(_MEANT_FOR_RUNTIMES))
    if wrong:
        raise UnusablePod(
            f'the image has the annotation "{wrong[0][:80]}", which is meant for a runtime',
            hint="build it without",
        )


def libpod_body(name: str, pod: str, body: Mapping[str, Any]) -> Mapping[str, object]:
    """Return the body of `POST /libpod/containers/create` for a body of Docker's."""
    host = body["HostConfig"]
    made: dict[str, object] = {
        "name": name,
        "image": body["Image"],
        "env": dict(each.split("=", 1) for each in body["Env"]),
        "labels": body["Labels"],
        "healthconfig": body["Healthcheck"],
        "image_volume_mode": "ignore",
        "base_hosts_file": "none",
        "systemd": "false",
        "httpproxy": False,
        "sysctl": host.get("Sysctls") or {},
        "storage_opts": host.get("StorageOpt") or {},
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
            {"path": card}
            for each in host.get("DeviceRequests") or ()
            for card in each["DeviceIDs"]
        ],
    }
    for ours, theirs in (("Cmd", "command"), ("Entrypoint", "entrypoint")):
        if body.get(ours):
            made[theirs] = body[ours]
    for each in host["SecurityOpt"]:
        if each.startswith(SECCOMP):
            made["seccomp_profile_path"] = each.removeprefix(SECCOMP)
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
