"""Tells what runs in a pod that it must leave, and by when: a file, a hook, and the signal.

The file is `/run/puna/notice.json` in the container, whatever its image. The hook is a path of a
port, which the renter names in the variable `PUNA_NOTICE` (`8888/notice`), asked by POST with the
same JSON. After both comes SIGTERM, and when the time is over SIGKILL. No answer is waited for.
"""

import io
import json
import tarfile
from contextlib import suppress
from datetime import datetime

from puna.agent.engine import Engine
from puna.errors import PunaError

FILE = "run/puna/notice.json"
VARIABLE = "PUNA_NOTICE"
_PATIENCE_S = 3.0


async def give_notice(engine: Engine, container: str, leave_by: datetime, reason: str) -> None:
    """Leave the file and ask the hook; what does not work is passed over: the signal comes."""
    words = json.dumps({"leave_by": leave_by.isoformat(), "reason": reason}).encode()
    with suppress(PunaError):
        await engine.put_files(container, archive_of(FILE, words))
    with suppress(PunaError):
        hook = hook_of(await engine.environment(container))
        if hook is not None:
            port, path = hook
            await engine.knock(container, port, path, words, patience_s=_PATIENCE_S)


def hook_of(env: dict[str, str]) -> tuple[int, str] | None:
    """Return the port and the path that a renter named for notices; None for none."""
    port, _, path = env.get(VARIABLE, "").partition("/")
    if not (port.isascii() and port.isdigit() and len(port) < 6):  # noqa: PLR2004 - 65535
        return None
    return int(port), f"/{path.lstrip('/')}"


def archive_of(path: str, content: bytes) -> bytes:
    """Return an archive with one file that everybody in the container may read."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = tarfile.TarInfo("/".join(parts[:depth]))
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        file = tarfile.TarInfo(path)
        file.size, file.mode = len(content), 0o644
        archive.addfile(file, io.BytesIO(content))
    return packed.getvalue()
