"""Which system calls a pod may make: the engine's own filter, without what leads past a container.

Podman lets a container make namespaces of its own and mount in them. There a renter would be root
of a network stack and of mounts, where most ways out through the kernel were found. Sockets of
virtual machines know no network namespace: they lead past the walls to this machine and to the one
that it runs on. Docker's own filter has neither, and programs know how to do without.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from puna.errors import Failed
from puna.node.private import make_folder

FILE = "calls.json"
_NEVER = (
    "add_key",
    "bpf",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "io_uring_enter",
    "io_uring_register",
    "io_uring_setup",
    "keyctl",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_by_handle_at",
    "open_tree",
    "perf_event_open",
    "pivot_root",
    "request_key",
    "setns",
    "socketcall",
    "umount",
    "umount2",
    "unshare",
    "userfaultfd",
)
"""`socketcall` is how old programs of 32 bits make sockets, of kinds that no filter sees."""
_NOT_HERE, _NOT_ALLOWED = 38, 1
_NAMESPACES = 0x7E020000
"""The flags of `clone` that make a namespace, of any kind."""
_NETLINK, _AUDIT = 16, 9
_FAMILIES = (1, 2, 10)
"""Of sockets: on this machine, IPv4, IPv6; netlink besides."""
Rule = Mapping[str, Any]


class NoCalls(Failed):
    """The engine's filter of system calls cannot be read."""

    code = "no_calls"


def narrowed(profile: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a filter, in the form that engines read, without what no pod needs. Pure."""
    ours = {*_NEVER, "clone", "clone3", "socket"}
    rules = [_without(rule, ours) for rule in profile.get("syscalls") or ()]
    return {**profile, "syscalls": [*(each for each in rules if each["names"]), *_RULES]}


def _without(rule: Rule, names: Iterable[str]) -> Rule:
    return {**rule, "names": [each for each in rule.get("names") or () if each not in names]}


def _allowed(name: str, *conditions: tuple[int, str, int, int]) -> Rule:
    asked = [
        {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": second}
        for index, op, value, second in conditions
    ]
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": asked}


def _refused(names: Sequence[str], error: int) -> Rule:
    return {"names": list(names), "action": "SCMP_ACT_ERRNO", "errnoRet": error, "args": []}


_RULES: Sequence[Rule] = (
    _allowed("clone", (0, "MASKED_EQ", _NAMESPACES, 0)),
    _refused(("clone3",), _NOT_HERE),  # its flags are where no filter sees them
    *(_allowed("socket", (0, "EQ", family, 0)) for family in _FAMILIES),
    _allowed("socket", (0, "EQ", _NETLINK, 0), (2, "NE", _AUDIT, 0)),
    _refused(_NEVER, _NOT_ALLOWED),
)


def write_filter(own: Path, folder: Path) -> Path:
    """Write what pods may call, made from the engine's `own` filter. Raises `NoCalls`."""
    try:
        profile = json.loads(own.read_text(encoding="utf-8"))
        make_folder(folder)
        (folder / FILE).write_text(json.dumps(narrowed(profile)), encoding="utf-8")
    except (OSError, ValueError) as error:
        raise NoCalls(f"the engine's filter of system calls cannot be read: {error}") from error
    return folder / FILE
