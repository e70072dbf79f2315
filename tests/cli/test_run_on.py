"""A model in a rented pod: the same command as at home, through the real gateway and a tunnel."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest
import pytest_asyncio

from puna.cli.cloud.pods import ssh_command
from puna.cloud.values import CloudPod
from puna.node.replies import Fields
from tests.fakes.console import Ran, puna
from tests.fakes.node import MODEL, FakeNode, running_node
from tests.market.instant import MEMORY
from tests.market.podweb import CLOSED, OPEN, Front, a_front

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Far:
    """A node in a pod, and its renter's folder."""

    front: Front
    node: FakeNode
    home: Path

    async def type(self, *words: str, **environ: str) -> Ran:
        """Run a command of puna's as the renter would."""
        given = {
            "PUNA_HOME": str(self.home),
            "PUNA_CLOUD_ADDRESS": self.front.serving.url,
            "PUNA_CLOUD_KEY": self.front.key,
            **environ,
        }
        return await asyncio.to_thread(puna, *words, environ=given)

    @property
    def identity(self) -> Path:
        """A private key of the renter's."""
        return self.home / "id"

    def address(self, port: int = CLOSED) -> str:
        return f"{self.front.serving.url}/p/{self.front.pod.id}/{port}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def far(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Far]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, running_node() as node:
        async with a_front(Path(folder)) as front:
            for port in (CLOSED, OPEN):
                front.reach.ports[front.pod.id, port] = node.port
            far = Far(front, node, tmp_path_factory.mktemp("home"))
            key = asyncssh.generate_private_key("ssh-ed25519")
            far.identity.write_bytes(key.export_private_key())
            far.identity.chmod(0o600)
            public = far.identity.with_suffix(".pub")
            public.write_bytes(key.export_public_key())
            added = await far.type("cloud", "ssh-keys", "--add", str(public))
            assert added.code == 0, added.err
            yield far


async def test_a_model_in_a_pod_is_run_by_the_pods_name(far: Far) -> None:
    ran = await far.type("run", MODEL, "--on", "mine", "Why do llamas hum?")
    assert (ran.code, ran.out) == (0, "A bun and meat.\n\n"), ran.err
    assert ran.err.startswith(f"{MODEL} runs on CPU")


async def test_the_clouds_key_opens_the_pod_and_never_reaches_it(far: Far) -> None:
    far.node.asked.clear()
    await far.type("run", MODEL, "--on", far.front.pod.id, "hi")
    sent = [header for each in far.node.asked for header in each.headers.values()]
    assert far.node.asked
    assert not any(far.front.key in value for value in sent)


@pytest.mark.parametrize("words", [("list",), ("ps",), ("show", MODEL), ("run", MODEL, "hi")])
async def test_an_address_that_leads_to_a_pod_works_with_the_key_that_is_known(
    far: Far, words: tuple[str, ...]
) -> None:
    ran = await far.type(*words, PUNA_HOST=far.address())
    assert ran.code == 0, ran.err
    assert ran.out


async def test_ollamas_own_variable_does_too(far: Far) -> None:
    ran = await far.type("list", OLLAMA_HOST=far.address())
    assert MODEL in ran.out


async def test_without_a_key_a_closed_port_is_closed_and_nothing_is_started(far: Far) -> None:
    ran = await far.type("list", PUNA_HOST=far.address(), PUNA_CLOUD_KEY="", PUNA_CLOUD_ADDRESS="")
    assert (ran.code, ran.out) == (1, "")
    assert not (far.home / "run").exists()


async def test_an_open_port_needs_none(far: Far) -> None:
    ran = await far.type(
        "list", PUNA_HOST=far.address(OPEN), PUNA_CLOUD_KEY="", PUNA_CLOUD_ADDRESS=""
    )
    assert MODEL in ran.out


async def test_a_pod_that_is_not_there_is_named(far: Far) -> None:
    ran = await far.type("run", MODEL, "--on", "other", "hi")
    assert ran.err.splitlines() == ['Error: there is no pod "other"', "see: puna pods list"]


@pytest.mark.skipif(shutil.which("ssh") is None, reason="OpenSSH is not installed")
async def test_a_command_runs_in_the_pod_over_the_systems_ssh(far: Far) -> None:
    """The market of a test does not know the port of its own gateway, so it is put in here."""
    place = {"host": "127.0.0.1", "port": far.front.serving.gateway.port}
    ssh = {"proxy": {**place, "username": far.front.pod.id}}
    pod = CloudPod.of(Fields({"id": far.front.pod.id, "ssh": ssh}))
    words = ssh_command(
        pod, ("echo", "a b; c"), known=far.home / "known_hosts", identity=str(far.identity)
    )
    running = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await running.communicate()
    assert (running.returncode, output) == (0, b"a b; c\n"), errors
    assert (far.home / "known_hosts").exists()
