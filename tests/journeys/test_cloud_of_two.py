"""Two machines on one wire, each with its own Podman and agent; one loses its plug for a while."""

import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clouds import Cloud, a_cloud
from tests.networks import Wire, a_wire, why_no_wire
from tests.podman import IMAGE, Podman, a_podman, why_no_podman

REASON = why_no_podman() or why_no_wire()
pytestmark = [pytest.mark.journey, pytest.mark.skipif(bool(REASON), reason=REASON or "never")]


@dataclass
class Two:
    """A market, two hosts of it, and the renter's key."""

    cloud: Cloud
    wire: Wire
    podmans: list[Podman]
    key: str

    def rent(self, name: str) -> str:
        """Rent a pod that says its name over HTTP, with room for one on each host."""
        words = f"echo {name} > /tmp/index.html; busybox httpd -f -p 8080 -h /tmp"
        wish = {
            "name": name,
            "image": IMAGE,
            "args": f"sh -c '{words}'",
            "cpu": {"id": "cpu3c", "vcpuCount": 2},
            "disk": 1,
            "ports": ["8080/http"],
            "puna": {"access": {"8080": "open"}},
        }
        pod = self.cloud.ask("POST", "/v2/pods", wish, key=self.key)["id"]
        assert isinstance(pod, str)
        return pod

    def shown(self, pod: str) -> dict[str, object]:
        """Return what the market tells of a pod."""
        found = self.cloud.ask("GET", f"/v2/pods/{pod}", key=self.key)
        assert isinstance(found, dict)
        return found

    def says(self, pod: str) -> str:
        """Ask a pod through the gateway; empty where it cannot be reached."""
        url = f"{self.cloud.url}/p/{pod}/8080/"
        try:
            with urllib.request.urlopen(url, timeout=3) as reply:  # noqa: S310 - ours
                return str(reply.read().decode().strip())
        except OSError:
            return ""


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    with ExitStack() as stack:
        wire = stack.enter_context(a_wire(2))
        podmans = [stack.enter_context(a_podman(each)) for each in wire.machines]
        cloud = stack.enter_context(a_cloud(tmp_path, wire.address, PUNA_MARKET_TICK="120s"))
        for number, podman in enumerate(podmans):
            cloud.host(f"host{number}", podman.socket, wire.machines[number])
        yield Two(cloud, wire, podmans, cloud.account("ada@example.org", "10"))


def test_a_host_that_is_cut_off_keeps_its_pod_and_comes_back(two: Two) -> None:
    pods = [two.rent("first"), two.rent("second")]
    two.cloud.until(lambda: [two.says(each) for each in pods] == ["first", "second"], "two pods")
    assert [len(each.run("ps", "--quiet").split()) for each in two.podmans] == [1, 1]
    before = [each.run("ps", "--quiet") for each in two.podmans]
    places = [two.shown(each)["puna"] for each in pods]
    assert len({str(dict(each)["host"]) for each in places if isinstance(each, dict)}) == 2

    two.wire.cut(two.wire.machines[0])
    two.cloud.until(lambda: sorted(map(two.says, pods)) != ["first", "second"], "gap")
    two.wire.mend(two.wire.machines[0])
    two.cloud.until(lambda: [two.says(each) for each in pods] == ["first", "second"], "way back")
    assert [each.run("ps", "--quiet") for each in two.podmans] == before
