"""The processor's name, its cores and the threads that are worth starting."""

import os
from pathlib import Path

import pytest

from puna.hardware.cgroups import Limits
from puna.hardware.processor import (
    Processor,
    busy_share,
    count_cores,
    detect_processor,
    halves_wide_steps,
    parse_name,
    usable_threads,
)
from puna.units import Span
from tests.hardware.machines import a_machine


def a_listing(*processors: tuple[int, int, int], name: str = "AMD EPYC 7763") -> str:
    """Write `/proc/cpuinfo` of (processor, package, core)."""
    return "\n\n".join(
        f"processor\t: {number}\nvendor_id\t: AuthenticAMD\nmodel name\t: {name}\n"
        f"physical id\t: {package}\ncore id\t\t: {core}\nflags\t\t: fpu sse avx2"
        for number, package, core in processors
    )


ARM = "processor\t: 0\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\n\nprocessor\t: 1\n"
PI = "processor\t: 0\nBogoMIPS\t: 108.00\n\nRevision\t: c04170\nModel\t\t: Raspberry Pi 5 Model B"
TWO_THREADS_A_CORE = a_listing((0, 0, 0), (1, 0, 1), (2, 0, 0), (3, 0, 1))
TWO_PACKAGES = a_listing((0, 0, 0), (1, 0, 1), (2, 1, 0), (3, 1, 1))


@pytest.mark.parametrize(
    ("listing", "name"),
    [
        (a_listing((0, 0, 0)), "AMD EPYC 7763"),
        (a_listing((0, 0, 0), name="Intel(R)  Core(TM)   i7"), "Intel(R) Core(TM) i7"),
        (PI, "Raspberry Pi 5 Model B"),
        (ARM, ""),
        ("", ""),
    ],
)
def test_the_name_is_the_one_that_the_kernel_tells(listing: str, name: str) -> None:
    assert parse_name(listing) == name


@pytest.mark.parametrize(
    ("listing", "allowed", "cores"),
    [
        (TWO_THREADS_A_CORE, {0, 1, 2, 3}, 2),
        (TWO_THREADS_A_CORE, {0, 2}, 1),
        (TWO_PACKAGES, {0, 1, 2, 3}, 4),
        (TWO_PACKAGES, {0}, 1),
        (ARM, {0, 1}, 0),
        ("", {0}, 0),
    ],
)
def test_only_cores_that_may_be_used_count(listing: str, allowed: set[int], cores: int) -> None:
    assert count_cores(listing, allowed) == cores


@pytest.mark.parametrize(
    ("allowed", "share", "threads"),
    [(8, None, 8), (8, 2.0, 2), (8, 1.5, 1), (8, 0.2, 1), (2, 16.0, 2)],
)
def test_threads_stay_within_the_time_that_may_be_taken(
    allowed: int, share: float | None, threads: int
) -> None:
    assert usable_threads(allowed, Limits(None, None, share)) == threads


@pytest.mark.parametrize(("cores", "threads", "best"), [(4, 8, 4), (8, 2, 2), (1, 1, 1), (0, 4, 1)])
def test_one_thread_a_core_is_best(cores: int, threads: int, best: int) -> None:
    assert Processor("x", cores, threads).best_threads == best


def test_this_machine_has_a_processor() -> None:
    processor = detect_processor()

    assert processor.name
    assert 1 <= processor.best_threads <= (os.cpu_count() or 1)


def test_a_quota_leaves_one_thread(tmp_path: Path) -> None:
    root = a_machine(
        tmp_path,
        {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "100000 100000"},
    )

    assert detect_processor(root).threads == 1


def a_core(vendor: str, family: str, flags: str) -> str:
    return f"processor\t: 0\nvendor_id\t: {vendor}\ncpu family\t: {family}\nflags\t\t: {flags}\n"


@pytest.mark.parametrize(
    ("listing", "halves"),
    [
        (a_core("AuthenticAMD", "25", "avx2 avx512f avx512bw"), True),
        (a_core("AuthenticAMD", "25", "avx avx2"), False),
        (a_core("AuthenticAMD", "26", "avx2 avx512f"), False),
        (a_core("GenuineIntel", "6", "avx2 avx512f"), False),
        (ARM, False),
        ("", False),
    ],
    ids=["Zen 4", "Zen 3", "Zen 5", "Intel", "ARM", "no listing"],
)
def test_only_zen_4_takes_512_bits_in_two_halves(listing: str, halves: bool) -> None:
    assert halves_wide_steps(listing) is halves


def test_the_share_in_use_is_between_nothing_and_all() -> None:
    assert 0 <= busy_share(Span.of(ms=20)) <= 1
