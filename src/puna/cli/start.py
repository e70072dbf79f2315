"""Start a server in the background when a command needs one and none runs, once, however many ask.

The server is a process of its own session: it outlives the command, as Ollama's does, and keeps
models in memory for the next one. Its words go to a log that only its owner can read. `puna stop
--server` ends it; what was started is written down with the process's birth, so that a number
that now belongs to another program is never signalled.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from puna.cli.reach import client_of, find_node
from puna.cli.session import Session
from puna.cli.spinner import Spinner
from puna.errors import Failed, NotFound, PunaError
from puna.library.disk import free_room
from puna.node.client import NodeClient
from puna.text import one_line
from puna.units import Size, Span
from puna.world import wait_until

_START_LIMIT = Span.of(seconds=60)
_STOP_LIMIT = Span.of(seconds=30)
_LOG_LIMIT = Size(10 * 10**6)
_LAST_WORDS = 3
_LEAST_ROOM = Size(256 * 10**3)


class NotStarted(Failed):
    """The server in the background did not come up; the message carries its last words."""

    code = "not_started"


class NoServer(NotFound):
    """There is no server here that a command started."""

    code = "no_server"


@dataclass(frozen=True, slots=True)
class Started:
    """A server that a command started in the background."""

    pid: int
    born: float


def ensure_node(session: Session) -> NodeClient:
    """Return a node that answers: the one that runs, or one started now. Raises `NotStarted`."""
    return find_node(session) or start_node(session)


def start_node(session: Session) -> NodeClient:
    """Start a server in the background and return when it answers; of several callers one does."""
    run = _private_folder(session.settings.home / "run")
    lock = FileLock(run / "start.lock", mode=0o600)
    try:
        with lock.acquire(timeout=_START_LIMIT.seconds * 2):
            return find_node(session) or _start(session, run)
    except Timeout as error:
        raise NotStarted("another command has been starting the server for two minutes") from error


def stop_server(session: Session) -> int:
    """End the server that a command started here and return its number. Raises `NoServer`."""
    record = _record_of(session, session.settings.home / "run")
    process = _process(_read_record(record))
    if process is None:
        raise NoServer(
            "no server runs here that a command started in the background",
            hint="a server that was started with `puna serve` ends where it runs, with Ctrl-C",
        )
    process.terminate()
    if not wait_until(lambda: not process.is_running() or _is_dead(process), limit=_STOP_LIMIT):
        process.kill()
    record.unlink(missing_ok=True)
    return process.pid


def _check_room(home: Path) -> None:
    """Raise `NotStarted` where a server would end as soon as it writes to its log."""
    if free_room(home) < _LEAST_ROOM:
        raise NotStarted(
            f"the disk of {home} is full, and a server in the background needs room for its log",
            hint="make room there, or run `puna serve` in another terminal, which needs none",
        )


def _start(session: Session, run: Path) -> NodeClient:
    _check_room(session.settings.home)
    log = _private_folder(session.settings.home / "logs") / "serve.log"
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_suffix(".log.old"))
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        begin = os.fstat(descriptor).st_size
        process = subprocess.Popen(
            [sys.executable, "-m", "puna", "serve"],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            cwd=session.settings.home,
            start_new_session=True,
        )
    finally:
        os.close(descriptor)
    client = client_of(session)
    with Spinner(session.terminal, "starting the server"):
        wait_until(lambda: process.poll() is not None or _answers(client), limit=_START_LIMIT)
    if not _answers(client):
        process.terminate()
        raise NotStarted(
            f"the server did not start: {_last_words(log, begin)}", hint=f"its log: {log}"
        )
    if process.poll() is None:
        _write_record(_record_of(session, run), process.pid)
        session.terminal.say(
            f"Started a server in the background (log: {log}); `puna stop --server` ends it"
        )
    return client


def _answers(client: NodeClient) -> bool:
    try:
        client.greet()
    except PunaError:
        return False
    return True


def _last_words(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines()]
    said = [line.removeprefix("Error: ") for line in lines if line]
    return one_line("; ".join(said[-_LAST_WORDS:]), 1000) or "it said nothing"


def _private_folder(folder: Path) -> Path:
    for each in (folder.parent, folder):  # a mode is given to the last folder of a path only
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _record_of(session: Session, run: Path) -> Path:
    return run / f"server-{session.settings.host.port}.json"


def _write_record(record: Path, pid: int) -> None:
    born = psutil.Process(pid).create_time()
    draft = record.with_suffix(".new")
    draft.write_text(json.dumps({"pid": pid, "born": born}), encoding="utf-8")
    draft.replace(record)


def _read_record(record: Path) -> Started | None:
    try:
        value = json.loads(record.read_text(encoding="utf-8"))
        return Started(int(value["pid"]), float(value["born"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _process(started: Started | None) -> psutil.Process | None:
    """Return the process if it is still the one that was started, not another with its number."""
    if started is None:
        return None
    try:
        process = psutil.Process(started.pid)
        is_same = abs(process.create_time() - started.born) < 1.0 and not _is_dead(process)
    except psutil.Error:
        return None
    return process if is_same else None


def _is_dead(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
