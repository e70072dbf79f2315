"""Pulls and pushes by real processes: a real registry, a server that is killed, many at once."""

import asyncio
import os
import random
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from puna.library.sources.registries import RegistrySettings
from puna.library.store import ModelStore
from puna.models.name import ModelName
from puna.world import RealWorld
from tests.builders import a_gguf
from tests.fakes.registry import Line, a_registry
from tests.ports import free_port
from tests.serving import Serving, until
from tests.sources.pulls import pulled
from tests.stores import a_library, blob_name, leftovers, put

pytestmark = pytest.mark.journey
PROGRAM = shutil.which("docker-registry") or shutil.which("registry")
CONFIG = """
version: 0.1
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
log: {{level: error, accesslog: {{disabled: true}}}}
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def docker_registry(tmp_path: Path) -> Iterator[str]:
    """Run Debian's docker-registry; return its host and port."""
    if PROGRAM is None:
        pytest.skip("no docker-registry here; Debian: apt-get install docker-registry")
    port = free_port()
    config = tmp_path / "registry.yml"
    config.write_text(CONFIG.format(root=tmp_path / "registry", port=port))
    with subprocess.Popen([PROGRAM, "serve", str(config)], stderr=subprocess.DEVNULL) as process:
        until(lambda: listens(port))
        yield f"127.0.0.1:{port}"
        process.kill()


async def test_a_model_goes_to_a_container_registry_and_back(
    docker_registry: str, tmp_path: Path
) -> None:
    name = f"{docker_registry}/me/tiny:q4"
    weights = a_gguf() + os.urandom(20_000_000)
    manifest = put(tmp_path / "one", name, weights, license=b"Do what you like.\n")
    known = RegistrySettings(home=tmp_path / "home")
    library = a_library(tmp_path / "one", registries=known)
    async for _ in library.push(ModelName.parse(name), insecure=True):
        pass
    other = a_library(tmp_path / "two", registries=known)
    await pulled(other, name)
    assert other.find(ModelName.parse(name)).manifest.raw == manifest.raw
    assert other.find(ModelName.parse(name)).weights.read_bytes() == weights


def test_the_commands_push_and_pull(docker_registry: str, tmp_path: Path) -> None:
    name = f"{docker_registry}/me/tiny"
    put(tmp_path / "models", name, a_gguf())
    environ = {"PUNA_HOME": str(tmp_path), "PUNA_HOST": f"127.0.0.1:{free_port()}"}
    puna = [sys.executable, "-m", "puna"]

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*puna, *words], env=os.environ | environ, capture_output=True, text=True, check=True
        )

    pushed = run("push", "--insecure", name)
    assert pushed.stdout == f"\nYou can find your model at:\n\n\t{name}\n"
    assert pushed.stderr.endswith("pushing manifest\nsuccess\n")
    run("rm", name)
    assert run("pull", "--insecure", name).stderr.endswith("writing manifest\nsuccess\n")
    assert name in run("list").stdout


def test_a_server_pushes_and_pulls_for_its_clients(docker_registry: str, tmp_path: Path) -> None:
    name = f"{docker_registry}/me/tiny"
    put(tmp_path / "models", name, a_gguf())
    with Serving(tmp_path) as serving:
        body = {"model": name, "insecure": True, "stream": False}
        assert serving.ask("/api/push", body).last == {"status": "success"}
        serving.ask("/api/delete", {"model": name}, method="DELETE")
        assert serving.ask("/api/pull", body).last == {"status": "success"}
        refused = serving.ask("/api/pull", {"model": f"http://{name}"})
        assert (refused.status, refused.last["error"]) == (400, "insecure protocol http")
        missing = serving.ask("/api/push", {"model": f"{docker_registry}/me/none"})
        assert missing.status == 404


@pytest.mark.timeout(240)
def test_a_pull_killed_at_any_moment_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    """Twenty times: start a server, pull, kill it; what has arrived is not asked for again."""
    dice = random.Random(20)  # noqa: S311 - chance that repeats
    weights = os.urandom(64_000_000)
    with a_registry(line=Line(bytes_per_s=2e6)) as registry:
        registry.add("a/b:latest", weights)
        name = f"http://{registry.name}/a/b"
        folder = tmp_path / "models" / "blobs"
        for _ in range(20):
            goal = min(arrived(folder, weights) + dice.randrange(2_000_000), 60_000_000)
            with Serving(tmp_path) as serving:
                client = serving.begin({"model": name, "insecure": True}, "/api/pull")
                until(partial(has_arrived, folder, weights, goal))
                serving.process.kill()
                client.close()
        here = arrived(folder, weights)
        registry.line = Line()
        registry.asked.clear()
        with Serving(tmp_path) as serving:
            body = {"model": name, "insecure": True, "stream": False}
            assert serving.ask("/api/pull", body).last == {"status": "success"}
        assert registry.asked_for <= len(weights) - here + 8_000_000
    assert (folder / blob_name(weights)).read_bytes() == weights
    assert leftovers(tmp_path / "models") == set()


def has_arrived(folder: Path, blob: bytes, goal: int) -> bool:
    return arrived(folder, blob) >= goal


def arrived(folder: Path, blob: bytes) -> int:
    """Return how many bytes the states of the parts count."""
    texts = [path.read_text() for path in folder.glob(f"{blob_name(blob)}-partial-*")]
    return sum(int(each) for text in texts for each in re.findall(r'"Completed": (\d+)', text))


async def test_eight_pulls_and_eight_removals_at_once_leave_a_whole_store(tmp_path: Path) -> None:
    shared = os.urandom(9_000_000)
    with a_registry(line=Line(breaks_after=3_000_000)) as registry:
        for number in range(8):
            registry.add(f"a/b{number}:latest", shared, system=b"%d" % number)
            put(tmp_path, f"old{number}", shared, system=b"%d" % number)
        known = RegistrySettings(home=tmp_path / "home")

        async def pull(number: int) -> None:
            await pulled(
                a_library(tmp_path, registries=known), f"http://{registry.name}/a/b{number}"
            )

        def remove(number: int) -> None:
            ModelStore(tmp_path, RealWorld()).remove(ModelName(f"old{number}"))

        with ThreadPoolExecutor(8) as pool:
            removals = [pool.submit(remove, number) for number in range(8)]
            await asyncio.gather(*(pull(number) for number in range(8)))
        assert [removal.exception() for removal in removals] == [None] * 8
    models = a_library(tmp_path).list_models().models
    assert sorted(model.name.model for model in models) == [f"b{number}" for number in range(8)]
    assert {model.weights.read_bytes() for model in models} == {shared}
    assert leftovers(tmp_path) == set()


async def test_eight_pulls_of_one_model_fetch_it_once(tmp_path: Path) -> None:
    weights = os.urandom(6_000_000)
    with a_registry(line=Line(bytes_per_s=20e6)) as registry:
        registry.add("a/b:latest", weights)
        known = RegistrySettings(home=tmp_path / "home")
        pulls = [
            pulled(a_library(tmp_path, registries=known), f"http://{registry.name}/a/b")
            for _ in range(8)
        ]
        await asyncio.gather(*pulls)
        assert sum(registry.sent) < 2 * len(weights)
    assert leftovers(tmp_path) == set()


def test_a_model_that_rotted_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    weights = a_gguf()
    put(tmp_path / "models", "tiny", weights)
    path = tmp_path / "models" / "blobs" / blob_name(weights)
    path.write_bytes(weights[:-1] + b"\x01")
    with Serving(tmp_path, PUNA_ENGINE="scripted") as serving:
        reply = serving.ask("/api/generate", {"model": "tiny", "prompt": "hi", "stream": False})
    assert reply.status == 500
    assert blob_name(weights)[7:] in str(reply.last["error"])
