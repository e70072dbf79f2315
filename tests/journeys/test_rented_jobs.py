"""A job on a rented machine: its program is killed or told to end, its machine is displaced."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.fakes.console import Ran
from tests.market.hall import Hall, a_hall

pytestmark = [pytest.mark.journey, pytest.mark.asyncio(loop_scope="module")]
TASK = ("--model", "tiny", "--labels", "animal,plant")
RENT = ("--rent", "1", "--card", "4090", "--yes")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hall(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hall]:
    async with a_hall(tmp_path_factory.mktemp("hall"), hosts=1) as served:
        yield served


@pytest.fixture
def words(tmp_path: Path) -> tuple[str, ...]:
    source = tmp_path / "rows.csv"
    source.write_text("id,text\n" + "".join(f"{n},row {n}\n" for n in range(300)))
    return ("batch", "run", str(source), "-o", str(tmp_path / "out.csv"), *TASK)


async def begun(hall: Hall, words: tuple[str, ...]) -> Process:
    """Begin a job whose pod runs and in which nothing answers yet; return when it says so."""
    hall.answers = False
    environ = {**os.environ, **hall.environ}
    command = (sys.executable, "-m", "puna", *words, *RENT)
    process = await asyncio.create_subprocess_exec(*command, env=environ, stderr=PIPE)
    assert process.stderr is not None
    async for line in process.stderr:
        if b"what is in it is starting" in line:
            return process
    raise AssertionError("it ended")


async def until_pod_is(hall: Hall, status: str) -> None:
    async with asyncio.timeout(60):
        while [each["status"] for each in await hall.pods()][:1] != [status]:  # noqa: ASYNC110 - a market has no event
            await asyncio.sleep(0.05)


async def test_a_kill_leaves_a_pod_that_the_same_command_uses_and_ends(
    hall: Hall, words: tuple[str, ...]
) -> None:
    process = await begun(hall, words)
    process.kill()
    await process.communicate()
    (left,) = await hall.pods()
    assert left["status"] == "RUNNING"
    assert left["puna"]["terminateAt"]  # type: ignore[index]
    hall.answers = True
    ran = await hall.type(*words, *RENT)
    assert ran.code == 0, ran.err
    assert f"{left['name']} is rented for this job already, and is used" in ran.err
    assert f"{left['name']} is gone: nothing of it is left on its host" in ran.err
    assert await hall.pods() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=str)
async def test_a_job_that_is_told_to_end_ends_its_machine(
    hall: Hall, words: tuple[str, ...], number: signal.Signals
) -> None:
    process = await begun(hall, words)
    process.send_signal(number)
    _, said = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 130
    assert b"Paused. Give the same command again to go on." in said
    assert b"is gone: nothing of it is left on its host" in said
    assert await hall.pods() == []


async def test_a_machine_that_is_displaced_comes_back_and_ends_the_job(
    hall: Hall, words: tuple[str, ...]
) -> None:
    hall.answers = False
    job = asyncio.create_task(hall.type(*words, *RENT, "--spot"))
    await until_pod_is(hall, "RUNNING")
    other = await hall.market.key("bob@example.org", "25")
    card = {"id": "NVIDIA GeForce RTX 4090", "count": 1}
    wish = {"name": "big", "image": "img", "gpu": card, "cloud": "COMMUNITY"}
    made = await hall.market.ask("POST", "/v2/pods", wish, key=other)
    assert made.status == 201, made.body
    await until_pod_is(hall, "PROVISIONING")
    (mine,) = await hall.pods()
    await hall.market.ask("DELETE", f"/v2/pods/{made.json['id']}", key=other)
    hall.answers = True
    ran: Ran = await asyncio.wait_for(job, 90)
    assert ran.code == 0, ran.err
    told = await hall.market.ask("GET", f"/v2/puna/pods/{mine['id']}/events", key=hall.key)
    assert "asks for a place again" in str(told.json["events"])
    assert told.json["isGone"] is True
