"""Databases for tests: a file of SQLite's, or a fresh one in a PostgreSQL of the test run's own."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

FOLDERS = ("/usr/local/bin", "/usr/bin", "/usr/local/pgsql/bin")


class Cluster:
    """A PostgreSQL that listens on a socket in a folder of its own. Made by `postgresql`."""

    def __init__(self, programs: Path, folder: Path, user: str) -> None:
        self._programs = programs
        self._folder = folder
        self._user = user
        self._count = 0

    @property
    def folder(self) -> Path:
        """Where its socket and its data are."""
        return self._folder

    def stop(self) -> None:
        """Let it go away, with every connection."""
        self.run("pg_ctl", "-D", str(self._folder / "data"), "-m", "fast", "-w", "stop")

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let all of it stand still: connections are there, and nothing answers."""
        processes = self._processes()
        for each in processes:
            each.suspend()
        try:
            yield
        finally:
            for each in processes:
                each.resume()

    def kill(self) -> None:
        """Kill all of it at once, as a machine without memory does."""
        processes = self._processes()
        for each in processes:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(processes)

    def _processes(self) -> list[psutil.Process]:
        first = (self._folder / "data" / "postmaster.pid").read_text(encoding="ascii").split()[0]
        chief = psutil.Process(int(first))
        return [chief, *chief.children(recursive=True)]

    def start(self) -> None:
        """Let it come (back)."""
        settings = f"-k {self._folder} -c listen_addresses= -c fsync=off"
        data, log = str(self._folder / "data"), str(self._folder / "log")
        self.run("pg_ctl", "-D", data, "-l", log, "-w", "-o", settings, "start")

    def address(self) -> str:
        """Return the address of a new, empty database."""
        self._count += 1
        name = f"puna{self._count}"
        self.run("createdb", "-h", str(self._folder), name)
        return f"postgresql://{self._user}@/{name}?host={self._folder}"

    def run(self, program: str, *arguments: str) -> None:
        """Run one of its programs as the user that owns it."""
        is_root = os.geteuid() == 0
        subprocess.run(
            [self._programs / program, *arguments],
            check=True,
            user=self._user if is_root else None,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "PGUSER": self._user, "LC_ALL": "C"},
        )


@contextmanager
def postgresql() -> Iterator[Cluster | None]:
    """Start one; None where PostgreSQL is not installed, or nobody may own it."""
    programs, user = _programs(), _user()
    if programs is None or user is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="puna-pg-"))
    if os.geteuid() == 0:
        shutil.chown(folder, user)
    cluster = Cluster(programs, folder, user)
    try:
        cluster.run("initdb", "-A", "trust", "-U", user, "-D", str(folder / "data"), "-N")
        cluster.start()
        yield cluster
        cluster.run("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    """Return where `initdb` and the others lie; Debian keeps them off the path."""
    newest = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    places = (*newest, *map(Path, FOLDERS))
    return next((place for place in places if (place / "initdb").exists()), None)


def _user() -> str | None:
    """Return who may own the data: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None
