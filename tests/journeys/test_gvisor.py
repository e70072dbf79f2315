"""A pod in gVisor, where `runsc` is installed: another kernel, the same walls, the same shell."""

import os
import platform
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from puna.agent.containers import Design, House, Name, create_body
from puna.agent.engine import Engine
from puna.agent.execs import Exec, TerminalSize
from puna.agent.inventory import GVISOR, installed_runtimes
from puna.units import Size
from tests.docker import a_docker
from tests.podman import IMAGE, Podman, a_podman

pytestmark = pytest.mark.journey
NETWORK = f"puna-gvisor-{os.getpid()}"
HOUSE = House(network=NETWORK, open_files=1024, processes=256, runtimes=(GVISOR,))
TELLS = "sh -c 'cat /proc/version; trap \"echo bye; exit 3\" TERM; while :; do sleep 0.1; done'"
DESIGN = Design(image=IMAGE, args=TELLS, memory=Size(256 * 10**6), ports=(80,), runtime=GVISOR)


@pytest.fixture(scope="module", params=["podman", "docker"])
def there(request: pytest.FixtureRequest) -> Iterator[Podman]:
    program = shutil.which(GVISOR)
    if program is None:
        pytest.skip("no runsc here")
    with a_podman(runtime=program) if request.param == "podman" else a_docker() as served:
        yield served


@pytest.fixture
async def engine(there: Podman) -> AsyncIterator[Engine]:
    async with Engine(there.socket) as engine:
        assert GVISOR in installed_runtimes(await engine.nature())
        await engine.make_network(NETWORK)
        yield engine
        await engine.remove_network(NETWORK)


@pytest.fixture
async def pod(engine: Engine, there: Podman) -> AsyncIterator[str]:
    house = replace(HOUSE, is_podman=there.is_podman)
    made = await engine.create(str(Name("p1")), create_body(Name("p1"), DESIGN, house))
    try:
        await engine.start(made)
        yield made
    finally:
        await engine.remove(made)


async def test_a_pod_has_gvisors_kernel_and_not_this_machines(engine: Engine, pod: str) -> None:
    said: list[str] = []
    while not said:
        said = [line.text async for line in engine.logs(pod)]
    assert said[0].startswith("Linux version")
    assert platform.release() not in said[0]
    began = await engine.exec(pod, ["sh", "-c", "cat /proc/version; exit 7"])
    assert await began.read() == (False, f"{said[0]}\n".encode())
    assert await began.read() is None
    assert await end_of(began) == 7
    await began.close()


async def test_its_terminal_has_a_size_and_it_ends_when_told(
    engine: Engine, pod: str, there: Podman
) -> None:
    if there.is_podman:
        pytest.skip("Podman's conmon says --tty to runsc, which does not know it")
    began = await engine.exec(pod, ["sh"], tty=True, size=TerminalSize(100, 30))
    await began.write(b"stty size; exit 4\n")
    said = b""
    while (piece := await began.read()) is not None:
        said += piece[1]
    assert b"30 100" in said
    assert await end_of(began) == 4
    await began.close()
    await engine.stop(pod, timedelta(seconds=60))
    [shown] = await engine.containers()
    assert shown.container.exit_code == 3


async def end_of(began: Exec) -> int:
    """Return how it ended, which the engine knows a moment after its output has."""
    while (code := await began.exit_code()) is None:
        pass
    return code
