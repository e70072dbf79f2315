"""The agent's engine against a real Podman, and a real Docker where there is one.

Containers, shells, logs, downloads that fail.
"""

import json
import os
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from puna.agent.containers import POD, Design, House, Name, create_body, volume_name
from puna.agent.converge import Phase
from puna.agent.engine import Engine
from puna.agent.execs import TerminalSize
from puna.agent.gauges import read_gauges
from puna.agent.problems import AlreadyThere, EngineGone, EngineRefused
from puna.agent.shown import Shown
from puna.agent.usage import Counted, counted_in, is_busy
from puna.units import Size, Span
from tests.docker import a_docker
from tests.podman import IMAGE, Podman, a_podman
from tests.serving import until

pytestmark = pytest.mark.journey
NETWORK = f"puna-engine-{os.getpid()}"
LOOP = (
    """sh -c 'trap "echo bye; exit 3" TERM; echo out; echo err >&2; while :; do sleep 0.1; done'"""
)


@pytest.fixture(scope="module", params=["podman", "docker"])
def there(request: pytest.FixtureRequest) -> Iterator[Podman]:
    with a_podman() if request.param == "podman" else a_docker() as served:
        yield served


@pytest.fixture
async def engine(there: Podman) -> AsyncIterator[Engine]:
    async with Engine(there.socket) as engine:
        await engine.make_network(NETWORK)
        yield engine
        await engine.remove_network(NETWORK)


async def a_body(engine: Engine, args: str = LOOP) -> dict[str, Any]:
    is_podman = (await engine.nature()).is_podman
    house = House(network=NETWORK, is_podman=is_podman, open_files=1024, processes=1024)
    design = Design(image=IMAGE, args=args, ports=(8888,), memory=Size(64 * 10**6))
    return dict(json.loads(json.dumps(create_body(Name("p1"), design, house))))


async def test_a_container_lives_and_ends(engine: Engine) -> None:
    name = str(Name("p1"))
    assert await engine.has_image(IMAGE)
    made = await engine.create(name, await a_body(engine))
    with pytest.raises(AlreadyThere):
        await engine.create(name, await a_body(engine))
    try:
        await engine.start(made)
        await engine.start(made)
        [shown] = await engine.containers()
        assert (shown.container.id, shown.container.phase) == (made, Phase.RUNNING)
        assert await engine.address(made, 8888) == (shown.address, 8888)

        began = await engine.exec(made, ["sh", "-c", "cat; echo $A >&2; exit 7"], env={"A": "b"})
        await began.write(b"hello")
        await began.end_input()
        both = {await began.read(), await began.read()}  # Docker brings them as they come
        assert both == {(False, b"hello"), (True, b"b\n")}
        assert await began.read() is None
        assert await began.exit_code() == 7
        await began.close()

        before = time.monotonic()
        await engine.stop(made, timedelta(seconds=60))
        assert time.monotonic() - before < 50
        [shown] = await engine.containers()
        assert (shown.container.phase, shown.container.exit_code) == (Phase.EXITED, 3)
        said = [(line.text, line.is_error) async for line in engine.logs(made)]
        assert sorted(said[:2]) == [("err", True), ("out", False)]
        assert said[2:] == [("bye", False)]
        assert [line.text async for line in engine.logs(made, tail=1)] == ["bye"]
        moment = [line.at async for line in engine.logs(made)][1]
        later = [line.text async for line in engine.logs(made, since=moment)]
        assert later[-1] == "bye"  # Podman 4 gives what was before too
        assert made in await engine.written()
    finally:
        await engine.remove(made)
        await engine.remove(made)
    assert await engine.containers() == []


async def test_a_terminal_has_a_size_and_a_log_can_be_followed(engine: Engine) -> None:
    body = await a_body(engine, "sh -c 'sleep 1; echo end'")
    made = await engine.create(str(Name("p1")), body)
    try:
        await engine.start(made)
        began = await engine.exec(made, ["sh"], tty=True, size=TerminalSize(100, 30))
        assert is_in(await began.running_pid(), made)
        await began.write(b"stty size; exit 4\n")
        said = b""
        while (piece := await began.read()) is not None:
            said += piece[1]
        assert b"30 100" in said
        assert await began.exit_code() == 4
        await began.close()
        assert [line.text async for line in engine.logs(made, follow=True)] == ["end"]
    finally:
        await engine.remove(made)


def is_in(pid: int, container: str) -> bool:
    """Tell whether a process of this machine is one of a container's."""
    return container in Path(f"/proc/{pid}/cgroup").read_text()


async def test_what_a_container_uses_is_read_from_the_kernel(engine: Engine) -> None:
    made = await engine.create(str(Name("p1")), await a_body(engine, "sh -c 'while :; do :; done'"))
    try:
        await engine.start(made)
        [shown] = await engine.containers()
        before = gauged(shown)
        told = counted_in(await engine.stats(made), before.at)
        assert before.processor_ns <= told.processor_ns <= gauged(shown).processor_ns
        until(lambda: is_busy(before, gauged(shown)))
        assert 0 < gauged(shown).memory < 64 * 10**6
    finally:
        await engine.remove(made)
    assert read_gauges(made, shown.pid, Span(0)) is None


def gauged(shown: Shown) -> Counted:
    counted = read_gauges(shown.container.id, shown.pid, Span(time.monotonic_ns()))
    assert counted is not None
    return counted


async def test_volumes_are_found_by_their_pod(engine: Engine) -> None:
    await engine.make_volume(volume_name("p9"), {POD: "p9"}, {})
    await engine.make_volume(volume_name("p9"), {POD: "p9"}, {})
    assert [volume.pod for volume in await engine.volumes()] == ["p9"]
    await engine.remove_volume(volume_name("p9"))
    await engine.remove_volume(volume_name("p9"))
    assert await engine.volumes() == []


async def test_an_image_that_nobody_has_is_refused_with_a_reason(engine: Engine) -> None:
    with pytest.raises(EngineRefused, match="connection refused"):
        async for _ in engine.pull("localhost:5/nothere:1"):
            pass


async def test_an_engine_that_is_not_there_is_said_to_be_gone(tmp_path: Path) -> None:
    async with Engine(tmp_path / "none.sock") as engine:
        with pytest.raises(EngineGone):
            await engine.containers()
