"""A machine joins by one command, with a real Podman or Docker: it is killed, and earns."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from puna.agent import walls
from puna.market.actions.accounts import make_join_token
from puna.market.db.accounts import Caller
from puna.market.db.pods import Pod
from puna.market.domain.hosts import Cloud
from puna.market.domain.pods import Action, Status
from tests.docker import a_docker
from tests.market.serving import MarketServing, market_serving
from tests.podman import IMAGE, Podman, a_podman

pytestmark = pytest.mark.journey
TRAP = """sh -c 'trap "exit 0" TERM; echo up; while :; do sleep 0.1; done'"""


@pytest.fixture(scope="module", params=["podman", "docker"])
def podman(request: pytest.FixtureRequest) -> Iterator[Podman]:
    with a_podman() if request.param == "podman" else a_docker() as served:
        yield served


@dataclass
class Owner:
    """Somebody who lends a machine, at its command line."""

    market: MarketServing
    home: Path
    environ: dict[str, str]

    async def puna(self, *words: str, code: int = 0) -> str:
        process = await self.start(*words)
        said, errors = await process.communicate()
        assert process.returncode == code, errors.decode()
        return said.decode() + errors.decode()

    async def start(self, *words: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        words = (sys.executable, "-m", "puna", "agent", *words)
        return await asyncio.create_subprocess_exec(
            *words, stdout=pipe, stderr=pipe, stdin=asyncio.subprocess.DEVNULL, env=self.environ
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run the agent; it is killed at the end of the block."""
        process = await self.start("run")
        try:
            yield process
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
            await process.communicate()

    async def shows(self, state: str) -> bool:
        """Return whether the agent says that its one pod is so."""
        status = json.loads(await self.puna("status", "--json"))
        return bool(status["runs"]) and [each["state"] for each in status["pods"]] == [state]

    async def token(self) -> str:
        owner = await self.market.account("owner@example.org")
        async with self.market.database.transaction() as tx:
            world, account = self.market.world, owner.account.id
            return await make_join_token(tx, world, account, Cloud.COMMUNITY)

    async def rent(self, **changes: object) -> tuple[Caller, Pod]:
        caller = await self.market.account("ann@example.org", "5")
        asked: dict[str, object] = {"image": IMAGE, "args": TRAP, "cards": 0, "processors": 1}
        asked |= {"memory_gb": 1, "disk_gb": 1, "card_models": ()}
        return caller, await self.market.rent(caller, **(asked | changes))

    async def until(self, pod: Pod, status: Status) -> None:
        async with asyncio.timeout(120):
            while await self.market.status(pod) is not status:
                self.market.market.nudge()
                await asyncio.sleep(0.05)

    async def until_gone(self, pod: Pod) -> None:
        async with asyncio.timeout(120):
            while not (await self.market.look(pod)).state.is_gone:
                self.market.market.nudge()
                await asyncio.sleep(0.05)


@pytest.fixture
async def owner(podman: Podman, tmp_path: Path) -> AsyncIterator[Owner]:
    network = f"puna-{os.getpid()}"
    environ = dict(os.environ) | {
        "PUNA_HOME": str(tmp_path / "puna"),
        "PUNA_AGENT_ENGINE": f"unix://{podman.socket}",
        "PUNA_AGENT_NETWORK": network,
        "PUNA_AGENT_VOLUMES": str(podman.volumes),
        "PUNA_AGENT_LOCAL_IMAGES": "true",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    async with market_serving(tmp_path, in_real_time=True, runs_loops=True) as market:
        yield Owner(market, tmp_path / "puna", environ)
    podman.clear()
    if not walls.why_no_walls():
        about = json.loads(podman.run("network", "inspect", network, check=False) or "[]")
        for each in about:
            await walls.take_down(each.get("network_interface") or f"br-{each['Id'][:12]}")
    podman.run("network", "rm", "--force", network, check=False)


async def test_a_machine_joins_is_killed_and_earns(owner: Owner, podman: Podman) -> None:
    token = await owner.token()
    join = ["join", owner.market.url, "--token", token, "--price", "3.6", "--disk", "20GB"]
    assert "nobody is here to be asked" in await owner.puna(*join, code=1)
    shown = await owner.puna(*join, "--yes", "--accept-gaps", "--detach", "--country", "pl")
    assert "They may not:" in shown
    assert "Joined as host" in shown
    assert token not in shown
    assert "lends on" in await owner.puna(*join, code=1)
    assert "no agent runs" in await owner.puna("status")

    caller, pod = await owner.rent(volume_gb=1)
    async with owner.running():
        await owner.until(pod, Status.RUNNING)
        before = podman.run("ps", "--quiet", "--no-trunc")
    async with owner.running() as agent:
        async with asyncio.timeout(90):
            while not await owner.shows("running"):
                pass
        assert podman.run("ps", "--quiet", "--no-trunc") == before
        await owner.market.act(caller, pod, Action.RESTART)
        await owner.until(pod, Status.RUNNING)
        assert podman.run("ps", "--quiet", "--no-trunc") not in {"", before}
        assert "EARNED" in await owner.puna("earnings")
        await owner.puna("pause")
        await owner.market.act(caller, pod, Action.TERMINATE)
        await owner.until_gone(pod)
        assert podman.run("ps", "--all", "--quiet") == ""
        assert podman.run("volume", "ls", "--quiet") == ""
        agent.send_signal(signal.SIGTERM)
        _, said = await agent.communicate()
        assert b"pods go on" in said
        assert b"Traceback" not in said
    lines = await owner.market.log(pod)
    assert lines.count("started") == 2
    assert not [line for line in lines if "failed" in line]
    await owner.puna("leave", "--force")
    assert "joined no market" in await owner.puna("status", code=1)
