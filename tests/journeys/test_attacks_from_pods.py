"""What a renter tries from inside a container of a real Podman or Docker, and how far he comes."""

import asyncio
import hashlib
import io
import json
import os
import platform
import socket
import tarfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from puna.agent import walls
from puna.agent.calls import write_filter
from puna.agent.containers import Design, House, Name, Place, create_body, first_user
from puna.agent.engine import Engine
from puna.agent.inventory import named_cards
from puna.agent.notices import archive_of
from puna.agent.problems import EngineRefused
from puna.agent.volumes import Volumes, can_make_images
from puna.agent.walls import Walls, why_no_walls
from puna.agent.written import Written, programs_of, written_in
from puna.units import Size
from tests.docker import FIRST_USER, a_docker
from tests.networks import Wire, a_wire, why_no_wire
from tests.podman import IMAGE, Podman, a_podman, pack_tiny
from tests.ports import free_port

pytestmark = pytest.mark.journey
NETWORK = "puna-attacks"
HOUSE = House(host="h1", network=NETWORK, open_files=1024, processes=256)
DESIGN = Design(image=IMAGE, args="sleep 300", memory=Size(256 * 10**6), volume_path="/workspace")
MB = 10**6
LOG_OF = {True: "{{.HostConfig.LogConfig.Path}}", False: "{{.LogPath}}"}


@pytest.fixture(scope="module", params=["podman", "docker"])
def there(request: pytest.FixtureRequest) -> Iterator[Podman]:
    with a_podman() if request.param == "podman" else a_docker() as served:
        served.volumes.mkdir(exist_ok=True)
        yield served


@pytest.fixture(scope="module")
def house(there: Podman) -> House:
    return house_of(there)


def house_of(there: Podman) -> House:
    own = asyncio.run(_own_filter(there)) if there.is_podman else None
    calls = write_filter(own, there.socket.parent) if own else None
    return replace(HOUSE, is_podman=there.is_podman, calls=calls)


async def _own_filter(there: Podman) -> Path | None:
    async with Engine(there.socket) as engine:
        return await engine.own_filter()


def first_of(there: Podman, pod: str) -> int:
    """Return the number on this machine of a pod's root."""
    return first_user(pod) if there.is_podman else FIRST_USER


@pytest.fixture
async def engine(there: Podman) -> AsyncIterator[Engine]:
    async with Engine(there.socket) as engine:
        await engine.make_network(NETWORK)
        yield engine


def volumes_of(there: Podman, engine: Engine) -> Volumes:
    root = None if there.is_podman else FIRST_USER
    has_images = can_make_images()
    return Volumes(engine, "h1", there.volumes, has_images=has_images, root=root)


class Pod:
    """A renter's shell in a container."""

    def __init__(self, engine: Engine, container: str) -> None:
        self.engine = engine
        self.container = container

    async def sh(self, script: str) -> tuple[int, str]:
        """Run a script as the container's root; return how it ended and all that it said."""
        began = await self.engine.exec(self.container, ["sh", "-c", script])
        said = b""
        while (piece := await began.read()) is not None:
            said += piece[1]
        code = await began.exit_code()
        await began.close()
        assert code is not None
        return code, said.decode(errors="replace")

    async def fails(self, script: str) -> str:
        code, said = await self.sh(script)
        assert code != 0, said
        return said


@pytest.fixture(scope="module")
def made(there: Podman, house: House) -> Iterator[str]:
    """One container with a volume, for all attacks; it is whole after each."""
    made = asyncio.run(_make(there, house))
    yield made
    asyncio.run(_remove(there, made))
    assert list(there.volumes.iterdir()) == []


async def _make(there: Podman, house: House) -> str:
    async with Engine(there.socket) as engine:
        await engine.make_network(NETWORK)
        await volumes_of(there, engine).make("p1", Size(16 * MB))
        body = create_body(Name("p1"), DESIGN, house)
        made = await engine.create(str(Name("p1")), body)
        await engine.start(made)
        return made


async def _remove(there: Podman, made: str) -> None:
    async with Engine(there.socket) as engine:
        await engine.remove(made)
        await volumes_of(there, engine).remove("p1")


@pytest.fixture
async def bombed(engine: Engine, house: House) -> AsyncIterator[Pod]:
    """A container that need not be whole afterwards; the machine must."""
    body = create_body(Name("p3"), replace(DESIGN, volume_path=""), house)
    made = await engine.create(str(Name("p3")), body)
    await engine.start(made)
    yield Pod(engine, made)
    await engine.remove(made)


@pytest.fixture
def pod(engine: Engine, made: str) -> Pod:
    return Pod(engine, made)


async def test_the_kernel_holds_what_a_container_is_given(pod: Pod, there: Podman) -> None:
    _, status = await pod.sh("cat /proc/self/status")
    words = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert words["NoNewPrivs"] == "1"
    assert words["Seccomp"] == "2"
    assert int(words["CapEff"], 16) == int("4fb", 16)
    _, mapped = await pod.sh("cat /proc/self/uid_map")
    assert mapped.split() == ["0", str(first_of(there, "p1")), "65536"]


ONLY_THE_OWNERS = (
    "mount -t tmpfs none /tmp",
    "mknod /tmp/disk b 254 0 && cat /tmp/disk",
    "echo 1 > /proc/sys/kernel/panic",
    "echo b > /proc/sysrq-trigger",
    "cat /proc/kcore",
    "echo 1 > /sys/fs/cgroup/memory/memory.limit_in_bytes",
    "ping -c 1 -W 1 127.0.0.1",
    "ls /run/podman/podman.sock",
    "busybox unshare -U true",
    "busybox unshare -n true",
    "busybox unshare -m true",
    'i=3; while [ $i -lt 5000 ]; do eval "exec $i</dev/null" || exit 7; i=$((i+1)); done',
)


async def test_what_only_the_machines_owner_may(pod: Pod) -> None:
    tries = [f"({each}) > /dev/null 2>&1 && echo {n}" for n, each in enumerate(ONLY_THE_OWNERS)]
    assert await pod.sh("\n".join([*tries, "echo done"])) == (0, "done\n")


async def test_a_pod_has_no_addresses_by_which_pods_reach_each_other_unfiltered(pod: Pod) -> None:
    _, known = await pod.sh("cat /proc/net/if_inet6")
    assert [line.split()[-1] for line in known.splitlines()] in ([], ["lo"])


async def test_an_image_asks_this_machine_for_nothing(
    engine: Engine, house: House, there: Podman, tmp_path: Path
) -> None:
    """Neither for room beside every limit, nor for its own programs to be run every second."""
    image = an_image(tmp_path, {"Volumes": {"/data": {}}, "Healthcheck": EVERY_MOMENT})
    there.run("load", "--input", str(image))
    design = replace(DESIGN, image="localhost/tricks:1", volume_path="")
    made = await engine.create(str(Name("p6")), create_body(Name("p6"), design, house))
    try:
        await engine.start(made)
        await Pod(engine, made).sh("mkdir -p /data; head -c 3000000 /dev/zero > /data/fill")
        [shown] = [each for each in await engine.containers() if each.container.pod == "p6"]
        if shown.folders:
            assert written_in(shown.folders, (), most=Written()).size >= 3 * MB
        assert (await Pod(engine, made).sh("cat /checked"))[0] != 0
    finally:
        await engine.remove(made)
    assert not there.run("volume", "ls", "--quiet", "--filter", "dangling=true").strip()


EVERY_MOMENT = {"Test": ["CMD-SHELL", "echo >> /checked"], "Interval": 1_000_000}


def an_image(folder: Path, config: dict[str, object]) -> Path:
    """Write an archive of `localhost/tricks:1`, with a configuration as somebody likes it."""
    layer = pack_tiny(folder / "layer.tar").read_bytes()
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    about = {"architecture": platform_name(), "os": "linux", "config": config}
    about["rootfs"] = {"type": "layers", "diff_ids": [digest]}
    named = {"Config": "config.json", "RepoTags": ["localhost/tricks:1"], "Layers": ["layer.tar"]}
    with tarfile.open(folder / "image.tar", "w") as archive:
        archive.add(folder / "layer.tar", "layer.tar")
        for name, each in (("config.json", about), ("manifest.json", [named])):
            words = json.dumps(each).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(words)
            archive.addfile(entry, io.BytesIO(words))
    return folder / "image.tar"


def platform_name() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


HIDDEN = "exec 3> /gone; rm /gone; head -c 3000000 /dev/zero >&3; echo written; sleep 30"


async def test_a_file_that_was_removed_is_counted_while_it_is_written(
    pod: Pod, engine: Engine
) -> None:
    [shown] = [each for each in await engine.containers() if each.container.id == pod.container]
    if not shown.folders:
        pytest.skip("this engine does not tell where containers write")
    began = await engine.exec(pod.container, ["sh", "-c", HIDDEN])
    assert (await began.read()) == (False, b"written\n")
    most = Written()
    seen = written_in(shown.folders, (), most=most)
    found = written_in(shown.folders, programs_of(pod.container), most=most)
    assert found.size >= seen.size + 3 * MB
    await began.close()
    await pod.sh("kill $(busybox pgrep sleep | busybox tail -n +2) 2> /dev/null")


async def test_a_fork_bomb_ends_in_its_own_pod(bombed: Pod) -> None:
    script = "i=0; while [ $i -lt 400 ]; do sleep 1 & i=$((i+1)); done; echo all"
    said = await bombed.fails(script)
    assert "can't fork" in said or "Resource temporarily unavailable" in said


FLOOD = (
    "i=0; while [ $i -lt 60 ]; do head -c 1000000 /dev/zero | tr '\\0' x; echo; i=$((i+1)); done"
)


async def test_a_log_has_an_end(engine: Engine, house: House, there: Podman) -> None:
    design = replace(DESIGN, entrypoint=("sh", "-c", FLOOD), args="", volume_path="")
    made = await engine.create(str(Name("p5")), create_body(Name("p5"), design, house))
    try:
        await engine.start(made)
        there.run("wait", made)
        log = Path(there.run("inspect", "--format", LOG_OF[there.is_podman], made).strip())
        assert 0 < sum(each.stat().st_size for each in log.parent.glob(f"{log.name}*")) < 25 * MB
    finally:
        await engine.remove(made)


async def test_memory_has_an_end(bombed: Pod) -> None:
    code, said = await bombed.sh("head -c 900000000 /dev/zero | tr '\\0' 'x' | sort | wc -c")
    assert (code, said.strip()) != (0, "900000000")


@pytest.mark.skipif(not can_make_images(), reason="volumes cannot be images here")
async def test_a_volume_is_full_when_it_is_full(pod: Pod) -> None:
    said = await pod.fails("dd if=/dev/zero of=/workspace/fill bs=1M count=64")
    assert "No space left on device" in said
    await pod.sh("rm /workspace/fill")
    assert (await pod.sh("touch /workspace/more"))[0] == 0


async def test_a_link_in_a_volume_leads_nowhere_but_into_the_pod(
    pod: Pod, engine: Engine, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the owner's")
    await pod.sh(f"ln -s {secret} /workspace/link; ln -s / /workspace/root; mkdir -p /run")
    await pod.fails("cat /workspace/link")
    await pod.sh(f"rm -rf /run; ln -s {tmp_path} /run")
    with suppress(EngineRefused):
        await engine.put_files(pod.container, archive_of("run/puna/notice.json", b"{}"))
    await pod.sh("rm /run /workspace/link /workspace/root; mkdir /run")
    assert secret.read_text() == "the owner's"
    assert not (tmp_path / "puna").exists()


@contextmanager
def listening(address: str) -> Iterator[int]:
    """Answer at an address of this machine."""
    with socket.create_server((address, 0)) as server:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    client.sendall(b"the owner's\n")
                    client.close()

        threading.Thread(target=answer, daemon=True).start()
        yield server.getsockname()[1]
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


@pytest.mark.skipif(bool(why_no_walls()), reason=why_no_walls() or "walls can be put up")
async def test_the_host_the_lan_and_the_neighbours_are_closed(
    pod: Pod, engine: Engine, house: House
) -> None:
    bridge = await engine.network(NETWORK)
    own = walls.own_networks([bridge.interface])
    gateway = bridge.gateways[0]
    answers = "sh -c 'while :; do echo there | nc -l -p 9000; done'"
    neighbour = replace(DESIGN, args=answers, volume_path="")
    body = create_body(Name("p2"), neighbour, house)
    other = await engine.create(str(Name("p2")), body)
    await engine.start(other)
    where, _ = await engine.address(other, 9000)
    try:
        with listening(gateway) as port:
            reach = f"nc -w 2 {gateway} {port} < /dev/null"
            assert "the owner's" in (await pod.sh(reach.replace("-w 2", "-w 20")))[1]
            notice = await walls.put_up(
                Walls(
                    bridge=bridge.interface,
                    subnets=bridge.subnets,
                    gateways=bridge.gateways,
                    networks=own,
                )
            )
            assert await walls.are_up(bridge.interface)
            assert "the owner's" not in (await pod.sh(reach))[1]
        if not notice:
            assert "there" not in (await pod.sh(f"nc -w 2 {where} 9000 < /dev/null"))[1]
        closed = ("169.254.169.254 80", "192.0.2.1 22", "10.1.2.3 443", "1.1.1.1 25")
        tries = [f"(nc -w 1 {each} < /dev/null && echo '{each}') 2> /dev/null &" for each in closed]
        assert await pod.sh("\n".join([*tries, "wait"])) == (0, "")
    finally:
        await walls.take_down(bridge.interface)
        await engine.remove(other)


@pytest.mark.skipif(bool(why_no_wire() or why_no_walls()), reason="no networks can be made here")
async def test_a_port_is_reached_from_elsewhere_only_if_its_owner_opened_it(
    engine: Engine, house: House
) -> None:
    if not house.is_podman:
        pytest.skip("this Docker sets no packet filters: a proxy of this machine has its ports")
    bridge = await engine.network(NETWORK)
    port = free_port("0.0.0.0")
    says = "sh -c 'while :; do echo pod $RUNPOD_TCP_PORT_22 | nc -l -p 22; done'"
    design = replace(DESIGN, args=says, volume_path="", ports=(22,))
    body = create_body(Name("p3"), design, house, Place(ports={22: port}))
    made = await engine.create(str(Name("p3")), body)
    await engine.start(made)
    try:
        with a_wire(1) as wire:
            own = walls.own_networks([bridge.interface])
            closed = Walls(bridge=bridge.interface, subnets=bridge.subnets, networks=own)
            await walls.put_up(closed)
            assert await _heard(wire, port) == ""
            await walls.put_up(replace(closed, open_ports=f"{port}-{port}"))
            assert await _heard(wire, port) == f"pod {port}"
    finally:
        await walls.take_down(bridge.interface)
        await engine.remove(made)


async def _heard(wire: Wire, port: int) -> str:
    """Return what a machine on the wire hears at a port of this one."""
    words = ["ip", "netns", "exec", wire.machines[0], "timeout", "3", "busybox", "nc"]
    process = await asyncio.create_subprocess_exec(
        *words,
        wire.address,
        str(port),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return said.decode().strip()


@pytest.fixture
def fake_card() -> Iterator[str]:
    """A card that only a CDI file knows, which sets a variable."""
    folder = Path("/etc/cdi")
    was_there = folder.exists()
    folder.mkdir(exist_ok=True)
    kind = f"puna-test-{os.getpid()}.example/gpu"
    edits = {"env": ["FAKE_CARD=zero"], "deviceNodes": [{"path": "/dev/zero"}]}
    file = folder / f"puna-test-{os.getpid()}.json"
    devices = [{"name": "0", "containerEdits": edits}]
    file.write_text(json.dumps({"cdiVersion": "0.5.0", "kind": kind, "devices": devices}))
    yield f"{kind}=0"
    file.unlink()
    if not was_there:
        folder.rmdir()


async def test_a_card_is_given_by_its_name(
    engine: Engine, made: str, fake_card: str, there: Podman, house: House
) -> None:
    nature = await engine.nature()
    if not there.is_podman and not nature.card_folders:
        pytest.skip(f"Docker {nature.version} gives containers no cards")
    assert fake_card in named_cards([Path("/etc/cdi")])
    design = replace(DESIGN, cards=1, volume_path="", args="sh -c 'echo $FAKE_CARD; sleep 60'")
    body = create_body(Name("p4"), design, house, Place(devices=(fake_card,)))
    container = await engine.create(str(Name("p4")), body)
    try:
        await engine.start(container)
        [shown] = [each for each in await engine.containers() if each.container.pod == "p4"]
        assert shown.devices == (fake_card,)
        said: list[str] = []
        while not said:
            said = [line.text async for line in engine.logs(container)]
        assert said == ["zero"]
        _, status = await Pod(engine, container).sh("cat /proc/self/status /proc/self/uid_map")
        assert "NoNewPrivs:\t1" in status
        assert str(first_of(there, "p4")) in status
    finally:
        await engine.remove(container)
        assert made
