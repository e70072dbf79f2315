"""What of a renter's limits cannot be enforced on this machine, in words for its owner. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from puna.agent.shown import Nature

MAY_NOT = (
    "see or change files of this machine, or run anything outside their container",
    "be root of this machine: their root is a number without rights",
    "load kernel modules, mount, trace or open devices but the cards that they rent",
    "reach this machine, its networks, metadata addresses or other pods",
    "send mail, or take more processors, memory, disk and processes than they pay for",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What this machine has to hold renters by."""

    why_no_walls: str = ""
    has_images: bool = True
    """Whether volumes can be file systems of a fixed size."""
    limits_disk: bool = False


def gaps_of(nature: Nature, means: Means) -> Sequence[str]:
    """Return what is not enforced, worst first."""
    found: list[str] = []
    if means.why_no_walls:
        found.append(f"pods can reach this machine and its networks: {means.why_no_walls}")
    if not nature.is_podman and not nature.maps_all_users:
        found.append(
            "root in a pod has the number of this machine's root:"
            ' set "userns-remap" in Docker\'s daemon.json'
        )
    if not nature.has_seccomp:
        found.append("the engine filters no system calls (seccomp is off)")
    if not means.has_images:
        found.append(
            "a volume can grow beyond what was rented (needs root, mkfs.ext4 and loop devices)"
        )
    if not means.limits_disk:
        found.append(
            "what a pod writes beside its volume is bounded by looks, twice a minute and whenever"
            " a gigabyte is gone: one that writes fast can take a little more (XFS with pquota"
            " bounds it)"
        )
    return found


def can_limit_disk(folder: Path, mounts: str) -> bool:
    """Return whether the disk of `folder` has quotas for projects, from `/proc/mounts`."""
    best, has = "", False
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 4:  # noqa: PLR2004 - what, where, which kind, how
            continue
        where, kind, options = words[1], words[2], words[3].split(",")
        is_in = where == "/" or folder == Path(where) or Path(where) in folder.parents
        if is_in and len(where) >= len(best):
            best, has = where, kind == "xfs" and bool({"prjquota", "pquota"} & set(options))
    return has
