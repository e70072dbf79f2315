"""Limits of containers are read from both versions of the kernel's interface."""

from pathlib import Path

import pytest

from puna.hardware.cgroups import (
    Groups,
    Limits,
    parse_cached,
    parse_groups,
    parse_limit,
    parse_quota,
    read_limits,
)
from tests.hardware.machines import a_machine

GIB = 2**30
STAT = "anon 300000000\nfile 500000000\ninactive_file 400000000\nactive_file 100000000\n"
OLD_STAT = "cache 1\ninactive_file 1\ntotal_inactive_file 400000000\ntotal_active_file 100000000\n"


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("0::/\n", Groups("/", None, None)),
        (
            "0::/user.slice/user-1000.slice/session-2.scope\n",
            Groups("/user.slice/user-1000.slice/session-2.scope", None, None),
        ),
        (
            "9:name=systemd:/\n4:memory:/docker/0a1b\n2:cpu,cpuacct:/docker/0a1b\n0::/\n",
            Groups("/", "/docker/0a1b", "/docker/0a1b"),
        ),
        ("", Groups(None, None, None)),
        ("rubbish\n1:\n:::\n", Groups(None, None, None)),
    ],
    ids=["container", "desktop", "first version", "no groups", "rubbish"],
)
def test_the_groups_of_a_process_are_understood(text: str, groups: Groups) -> None:
    assert parse_groups(text) == groups


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("4294967296", 4 * GIB),
        ("0", 0),
        ("max", None),
        ("-1", None),
        ("9223372036854771712", None),
        ("", None),
        ("many", None),
    ],
)
def test_a_limit_is_a_number_or_none(text: str, limit: int | None) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("max 100000", None),
        ("200000 100000", 2.0),
        ("150000 100000", 1.5),
        ("50000 100000", 0.5),
        ("100000 0", None),
        ("", None),
    ],
)
def test_a_quota_is_worth_so_many_processors(text: str, share: float | None) -> None:
    assert parse_quota(text) == share


def test_cached_files_count_as_free() -> None:
    assert parse_cached(STAT) == 500_000_000
    assert parse_cached(OLD_STAT, prefix="total_") == 500_000_000


def test_without_groups_nothing_is_limited(tmp_path: Path) -> None:
    assert read_limits(tmp_path) == Limits(None, None, None)


def test_the_second_version_limits_memory_and_time(tmp_path: Path) -> None:
    root = a_machine(
        tmp_path,
        {
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/memory.max": "2000000000",
            "sys/fs/cgroup/memory.current": "800000000",
            "sys/fs/cgroup/memory.stat": STAT,
            "sys/fs/cgroup/cpu.max": "150000 100000",
        },
    )

    assert read_limits(root) == Limits(2_000_000_000, 1_700_000_000, 1.5)  # type: ignore[arg-type]


def test_the_first_version_limits_memory_and_time(tmp_path: Path) -> None:
    root = a_machine(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/0a1b\n2:cpu,cpuacct:/docker/0a1b",
            # In the container the group is the root of the tree.
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "2000000000",
            "sys/fs/cgroup/memory/memory.usage_in_bytes": "800000000",
            "sys/fs/cgroup/memory/memory.stat": OLD_STAT,
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
    )

    assert read_limits(root) == Limits(2_000_000_000, 1_700_000_000, 0.5)  # type: ignore[arg-type]


def test_the_tightest_level_counts(tmp_path: Path) -> None:
    root = a_machine(
        tmp_path,
        {
            "proc/self/cgroup": "0::/machine.slice/puna.service",
            "sys/fs/cgroup/machine.slice/memory.max": "3000000000",
            "sys/fs/cgroup/machine.slice/memory.current": "2500000000",
            "sys/fs/cgroup/machine.slice/puna.service/memory.max": "max",
            "sys/fs/cgroup/machine.slice/puna.service/cpu.max": "300000 100000",
            "sys/fs/cgroup/machine.slice/cpu.max": "200000 100000",
        },
    )

    limits = read_limits(root)
    assert (limits.memory, limits.memory_free) == (3_000_000_000, 500_000_000)
    assert limits.processors == 2.0


def test_a_group_used_beyond_its_limit_has_nothing_free(tmp_path: Path) -> None:
    root = a_machine(
        tmp_path,
        {
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/memory.max": "1000",
            "sys/fs/cgroup/memory.current": "2000",
        },
    )

    assert read_limits(root).memory_free == 0


def test_a_group_outside_the_tree_is_not_followed(tmp_path: Path) -> None:
    root = a_machine(
        tmp_path,
        {
            "proc/self/cgroup": "0::/../../../../secret",
            "secret/memory.max": "1",
            "sys/fs/cgroup/memory.max": "1",
        },
    )

    assert read_limits(root).memory is None
