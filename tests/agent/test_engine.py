"""What the agent asks an engine, over a socket: refusals in its words, harmless repeats."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from puna.agent.containers import POD, Design, House, Name, create_body
from puna.agent.converge import Phase
from puna.agent.engine import Engine
from puna.agent.moby import APART
from puna.agent.problems import AlreadyThere, EngineGone, EngineRefused, NotOnEngine
from puna.agent.shown import Bridge, Login, Pulling
from tests.fakes.container_engine import ContainerEngine
from tests.worlds import FakeWorld

BODY = create_body(Name("p1"), Design(image="img:1", ports=(8888,)), House())


@pytest.fixture
def there() -> ContainerEngine:
    return ContainerEngine(FakeWorld())


@pytest.fixture
async def engine(there: ContainerEngine, tmp_path: Path) -> AsyncIterator[Engine]:
    socket = tmp_path / "engine.sock"
    async with there.served(socket), Engine(socket) as engine:
        yield engine


async def test_a_container_is_made_started_ended_and_removed(
    there: ContainerEngine, engine: Engine
) -> None:
    there.images.add("img:1")
    made = await engine.create("puna-p1-1-0", BODY)
    await engine.start(made)
    [shown] = await engine.containers()
    assert (shown.container.pod, shown.container.phase) == ("p1", Phase.RUNNING)
    assert await engine.address(made, 8888) == ("10.89.0.2", 8888)
    await engine.signal(made, "SIGUSR1")
    assert [line.text async for line in engine.logs(made)] == ["signal SIGUSR1"]
    await engine.stop(made, timedelta(seconds=1))
    assert (await engine.containers())[0].container.exit_code == 143
    with pytest.raises(NotOnEngine, match="cannot be reached"):
        await engine.address(made, 8888)
    await engine.remove(made)
    await engine.remove(made)
    assert await engine.containers() == []


async def test_docker_is_asked_in_its_own_version_and_words(
    there: ContainerEngine, engine: Engine
) -> None:
    there.is_docker = True
    there.images.add("img:1")
    with pytest.raises(EngineRefused, match="no log driver"):
        await engine.create("puna-p1-1-0", BODY)
    house = House(is_podman=False)
    design = Design(image="img:1", ports=(8888,))
    made = await engine.create("puna-p1-1-0", create_body(Name("p1"), design, house))
    await engine.start(made)
    moment = "1970-01-01T00:00:01.5Z"
    assert [line async for line in engine.logs(made, since=moment)] == []
    assert there.asked_since == "1.500000001"
    await engine.make_network("puna")
    assert there.networks["puna"]["Options"] == APART


async def test_podman_is_asked_for_a_log_by_the_moment_itself(
    there: ContainerEngine, engine: Engine
) -> None:
    there.images.add("img:1")
    made = await engine.create("puna-p1-1-0", BODY)
    moment = "1970-01-01T00:00:01.5Z"
    assert [line async for line in engine.logs(made, since=moment)] == []
    assert there.asked_since == moment
    with pytest.raises(NotOnEngine, match="no such container"):
        [line async for line in engine.logs("f" * 64)]


async def test_an_engine_that_became_another_is_asked_anew(tmp_path: Path) -> None:
    there, socket = ContainerEngine(FakeWorld()), tmp_path / "engine.sock"
    async with Engine(socket) as engine:
        async with there.served(socket):
            assert await engine.containers() == []
        socket.unlink(missing_ok=True)
        with pytest.raises(EngineGone):
            await engine.containers()
        there.is_docker = True
        async with there.served(socket):
            await engine.make_network("puna")
    assert there.networks["puna"]["Options"] == APART


async def test_a_name_that_is_taken_is_told_apart(there: ContainerEngine, engine: Engine) -> None:
    there.images.add("img:1")
    await engine.create("puna-p1-1-0", BODY)
    with pytest.raises(AlreadyThere):
        await engine.create("puna-p1-1-0", BODY)


async def test_what_the_engine_refuses_is_said_in_its_words(
    there: ContainerEngine, engine: Engine
) -> None:
    there.images.add("img:1")
    there.refuses["create"] = ["no space left\non device"]
    with pytest.raises(EngineRefused, match="no space left on device"):
        await engine.create("puna-p1-1-0", BODY)
    with pytest.raises(NotOnEngine):
        await engine.start("f" * 64)


async def test_a_download_tells_how_far_it_is(there: ContainerEngine, engine: Engine) -> None:
    there.registry.add("img:1")
    lines = [line async for line in engine.pull("img:1")]
    assert lines[1] == Pulling(layer="abc", status="Downloading", done=5, total=10)
    assert await engine.has_image("img:1")
    await engine.remove_image("img:1")
    assert not await engine.has_image("img:1")


async def test_a_private_image_needs_its_login(there: ContainerEngine, engine: Engine) -> None:
    there.registry.add("reg.example/img:1")
    there.logins["reg.example/img:1"] = "secret"
    with pytest.raises(EngineRefused, match="manifest unknown"):
        [line async for line in engine.pull("reg.example/img:1")]
    login = Login(username="me", password="secret")
    assert [line async for line in engine.pull("reg.example/img:1", login)]
    assert "secret" not in repr(login)


async def test_volumes_and_networks_are_made_once(there: ContainerEngine, engine: Engine) -> None:
    there.volumes["theirs"] = {"Name": "theirs", "Labels": None}
    for _ in range(2):
        await engine.make_volume("puna-p1", {POD: "p1"}, {"type": "ext4"})
        await engine.make_network("puna")
    [volume] = await engine.volumes()
    assert (volume.pod, volume.folder) == ("p1", Path("/volumes/puna-p1"))
    assert there.calls["create_network"] == 1
    assert await engine.network("puna") == Bridge(interface="br-000000000000")
    for _ in range(2):
        await engine.remove_volume("puna-p1")
    assert list(there.volumes) == ["theirs"]


async def test_a_volume_in_use_stays(there: ContainerEngine, engine: Engine) -> None:
    there.images.add("img:1")
    await engine.make_volume("puna-p1", {POD: "p1"}, {})
    design = Design(image="img:1", volume_path="/workspace")
    await engine.create("puna-p1-1-0", create_body(Name("p1"), design, House()))
    with pytest.raises(AlreadyThere, match="being used"):
        await engine.remove_volume("puna-p1")
    assert "puna-p1" in there.volumes


async def test_an_engine_that_went_away_is_asked_again_when_it_is_back(tmp_path: Path) -> None:
    there, socket = ContainerEngine(FakeWorld()), tmp_path / "engine.sock"
    async with Engine(socket) as engine:
        with pytest.raises(EngineGone):
            await engine.containers()
        async with there.served(socket):
            assert await engine.containers() == []
        with pytest.raises(EngineGone, match="does not answer"):
            await engine.nature()
