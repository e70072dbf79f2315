"""Memory is what this process can have, not what the machine has."""

from pathlib import Path

import pytest

from puna.hardware.cgroups import Limits
from puna.hardware.memory import Memory, available_memory, within
from puna.units import Size
from tests.hardware.machines import a_machine

GB = 10**9
MACHINE = Memory(Size(24 * GB), Size(20 * GB))


@pytest.mark.parametrize(
    ("limit", "free", "expected"),
    [
        (None, None, (24, 20)),
        (8, 5, (8, 5)),
        (64, 60, (24, 20)),
        (8, 0, (8, 0)),
        (22, 21, (22, 20)),
    ],
    ids=["none", "tighter", "looser", "used up", "the machine itself has less"],
)
def test_the_tighter_of_machine_and_limit_counts(
    limit: int | None, free: int | None, expected: tuple[int, int]
) -> None:
    limits = Limits(_size(limit), _size(free), None)

    memory = within(MACHINE, limits)
    assert (memory.total // GB, memory.available // GB) == expected


def _size(gigabytes: int | None) -> Size | None:
    return None if gigabytes is None else Size(gigabytes * GB)


def test_this_machine_has_memory(tmp_path: Path) -> None:
    memory = available_memory(tmp_path)

    assert 0 < memory.available <= memory.total


def test_a_container_has_what_its_limit_leaves(tmp_path: Path) -> None:
    root = a_machine(
        tmp_path,
        {
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/memory.max": "1000000",
            "sys/fs/cgroup/memory.current": "400000",
        },
    )

    assert available_memory(root) == Memory(Size(1_000_000), Size(600_000))
