"""What a pod uses, in hundredths of what it rented, and when that counts as being used."""

from pathlib import Path

import pytest

from puna.agent.gauges import read_gauges
from puna.agent.usage import Counted, cards_in, counted_in, is_busy, use_of
from puna.units import Span
from puna.wire.agent import CardUse, UseReport

S = 10**9
BEGIN, LATER = Span(0), Span.of(seconds=30)
ID = "f13b86487f2c"
NETWORK = """Inter-|   Receive                            |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes packets
    lo:     777       0    0    0    0     0          0         0      777       0
  eth0:    1000       1    0    0    0     0          0         0      234       1
"""


@pytest.mark.parametrize(
    ("before", "after", "busy"),
    [
        (Counted(BEGIN), Counted(LATER), False),
        (Counted(BEGIN, 5 * S, 100), Counted(LATER, 5 * S + 3 * 10**8, 900), False),
        (Counted(BEGIN, 5 * S), Counted(LATER, 6 * S + 5 * 10**8), True),
        (Counted(BEGIN, 0, 0), Counted(LATER, 0, 30_000), True),
        (Counted(LATER), Counted(BEGIN, 100 * S), False),
        (Counted(BEGIN), Counted(BEGIN, 100 * S), False),
        (Counted(BEGIN, 9 * S, 9000), Counted(LATER, 0, 0), False),
        (Counted(BEGIN, 0, 0, 5), Counted(LATER, 0, 0, 10**9), False),
    ],
    ids=["nothing", "little", "computes", "talks", "back", "no time", "anew", "memory"],
)
def test_a_container_is_busy_by_what_it_used(
    before: Counted, after: Counted, *, busy: bool
) -> None:
    assert is_busy(before, after) is busy


@pytest.mark.parametrize(("share", "busy"), [(0, False), (4, False), (5, True), (100, True)])
def test_a_card_that_computes_is_used(share: float, *, busy: bool) -> None:
    cards = [CardUse(busy=0, memory=90), CardUse(busy=share, memory=0)]
    assert is_busy(Counted(BEGIN), Counted(LATER), cards) is busy


def test_use_is_a_share_of_what_was_rented() -> None:
    before, after = Counted(BEGIN, 0), Counted(LATER, 15 * S, 0, 10**9)
    cards = [CardUse(busy=1, memory=2)]
    use = use_of(before, after, processors=2, memory=4 * 10**9, cards=cards)
    assert use == UseReport(processor=25, memory=25, cards=cards)
    more = use_of(before, Counted(LATER, 99 * S, 0, 5 * 10**9), processors=2, memory=4 * 10**9)
    assert more == UseReport(processor=100, memory=100)
    assert use_of(before, before, processors=2, memory=1) is None
    assert use_of(before, after, processors=0, memory=0) is None


@pytest.mark.parametrize(
    ("stats", "counted"),
    [
        ({}, Counted(LATER)),
        ({"cpu_stats": None, "networks": None, "memory_stats": None}, Counted(LATER)),
        (
            {
                "cpu_stats": {"cpu_usage": {"total_usage": 2_500_000_000}},
                "networks": {"eth0": {"rx_bytes": 1, "tx_bytes": 2}, "eth1": {"rx_bytes": 4}},
                "memory_stats": {"usage": 9},
            },
            Counted(LATER, 2_500_000_000, 7, 9),
        ),
    ],
)
def test_what_an_engine_counts_is_read(stats: dict[str, object], counted: Counted) -> None:
    assert counted_in(stats, LATER) == counted


def test_cards_are_known_by_number_and_by_serial_name() -> None:
    said = "0, GPU-a, 37, 12288, 24576\n1, GPU-b, [N/A], 1, 2\nnonsense\n2, GPU-c, 0, 0, 0"
    found = cards_in(said)
    assert found["0"] == found["GPU-a"] == CardUse(busy=37, memory=50)
    assert set(found) == {"0", "GPU-a", "2", "GPU-c"}
    assert cards_in("") == {}


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    write(tmp_path / "proc/7/net/dev", NETWORK)
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_container_is_counted_by_its_control_group(machine: Path) -> None:
    write(machine / "proc/7/cgroup", f"0::/machine.slice/libpod-{ID}.scope/inner\n")
    group = machine / f"sys/fs/cgroup/machine.slice/libpod-{ID}.scope"
    write(group / "cpu.stat", "usage_usec 2500\nuser_usec 2000\n")
    write(group / "memory.current", "1000\n")
    write(group / "memory.stat", "anon 1\ninactive_file 300\n")
    assert read_gauges(ID, 7, LATER, machine) == Counted(LATER, 2_500_000, 1234, 700)


def test_control_groups_of_the_first_version_are_read(machine: Path) -> None:
    lines = f"4:memory:/p/libpod-{ID}\n2:cpu,cpuacct:/p/libpod-{ID}\n0::/p/libpod-{ID}\n"
    write(machine / "proc/7/cgroup", lines)
    groups = machine / "sys/fs/cgroup"
    write(groups / f"cpuacct/p/libpod-{ID}/cpuacct.usage", "99\n")
    write(groups / f"memory/p/libpod-{ID}/memory.usage_in_bytes", "1000\n")
    write(groups / f"memory/p/libpod-{ID}/memory.stat", "cache 5\ntotal_inactive_file 1\n")
    assert read_gauges(ID, 7, LATER, machine) == Counted(LATER, 99, 1234, 999)


@pytest.mark.parametrize("groups", ["0::/\n", "0::/user.slice/other\n", "", "nonsense\n"])
def test_a_group_of_somebody_elses_is_not_believed(machine: Path, groups: str) -> None:
    write(machine / "proc/7/cgroup", groups)
    write(machine / "sys/fs/cgroup/cpu.stat", "usage_usec 2500\n")
    assert read_gauges(ID, 7, LATER, machine) is None


@pytest.mark.parametrize("pid", [0, 8])
def test_a_process_that_is_not_there_is_not_counted(machine: Path, pid: int) -> None:
    assert read_gauges(ID, pid, LATER, machine) is None
