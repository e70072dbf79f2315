"""An agent beside the market: joined once, run again when it ends, and ended with the market."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from puna.market.companion import Companion, keep_company
from puna.units import Span
from tests.market.serving import MarketServing, market_serving
from tests.worlds import becomes

PROGRAM = """
import pathlib, sys, time, urllib.request, json
folder = pathlib.Path(sys.argv[1])
words = sys.argv[2:]
with (folder / "log").open("a") as log:
    print(*words, file=log)
if words[0] == "join":
    machine = {"processors": 1, "memory": 1, "disk": 1}
    asked = {"token": sys.stdin.read(), "name": "here", "machine": machine, "terms": {"price": 1}}
    request = urllib.request.Request(words[1] + "/agent/v1/join", json.dumps(asked).encode(),
        {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=30)
    (folder / "identity.json").write_text("{}")
else:
    (folder / "pid").write_text(str(__import__("os").getpid()))
    time.sleep(0 if (folder / "ends").exists() else 60)
"""


def a_companion(folder: Path, program: str = PROGRAM) -> Companion:
    script = folder / "agent.py"
    script.write_text(program)
    return Companion(
        program=(sys.executable, str(script), str(folder)),
        join=("join",),
        run=("run",),
        identity=folder / "identity.json",
        environ={},
    )


@asynccontextmanager
async def in_company(folder: Path, companion: Companion) -> AsyncIterator[MarketServing]:
    async with market_serving(folder) as serving:
        company = asyncio.create_task(keep_company(serving.market, companion, serving.url))
        try:
            yield serving
        finally:
            company.cancel()
            await asyncio.wait({company})


def said(folder: Path) -> list[str]:
    log = folder / "log"
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []


async def test_it_joins_once_and_runs_until_the_market_ends(tmp_path: Path) -> None:
    async with in_company(tmp_path, a_companion(tmp_path)) as serving:
        await becomes((tmp_path / "pid").exists)
        reply = await serving.ask("GET", "/operator/v1/hosts", key=serving.admin_key)
        assert [each["name"] for each in reply.json["hosts"]] == ["here"]
        await becomes((tmp_path / "pid").read_text)
        process = psutil.Process(int((tmp_path / "pid").read_text()))
        assert process.is_running()
    assert not psutil.pid_exists(process.pid)
    assert said(tmp_path) == ["join", "run"]
    assert (tmp_path / "log").read_text().splitlines()[0] == f"join {serving.url}"  # and no token


async def test_one_that_ends_is_started_again_without_joining_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "ends").touch()
    async with in_company(tmp_path, a_companion(tmp_path)) as serving:
        await becomes(lambda: serving.world.sleepers)
        await serving.world.advance(Span.of(seconds=5))
        await becomes(lambda: said(tmp_path) == ["join", "run", "run"])
        await becomes(lambda: serving.world.sleepers)
    assert caplog.text.count("ended with 0") == 1


async def test_one_that_cannot_join_is_said_and_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with in_company(tmp_path, a_companion(tmp_path, "raise SystemExit(3)")) as serving:
        await becomes(lambda: "could not join (exit code 3)" in caplog.text)
        await becomes(lambda: serving.world.sleepers)
        await serving.world.advance(Span.of(minutes=1))
        await becomes(lambda: caplog.text.count("could not join") == 2)
