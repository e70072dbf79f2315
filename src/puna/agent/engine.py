"""Podman or Docker on this machine, through the socket of its Docker Engine API.

Everything here asks or tells the engine one thing; nothing decides. What an engine refuses becomes
an error of ours with its own words, and an engine that is not there becomes `EngineGone`, after
which the same call may be made again. Removing what is gone already succeeds.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import aiodocker
import aiohttp

from puna.agent.containers import POD, check_image, name_and_tag, with_registry
from puna.agent.execs import Exec, TerminalSize, start_exec
from puna.agent.libpod import check_annotations, libpod_body
from puna.agent.moby import APART, after, words_in
from puna.agent.problems import AlreadyThere, EngineGone, EngineRefused, NotOnEngine
from puna.agent.shown import (
    Bridge,
    Login,
    LogLine,
    Nature,
    Pulling,
    Shown,
    Volume,
    is_podman,
    log_lines,
    shown_of,
)
from puna.net import named_session, socket_session
from puna.text import one_line
from puna.units import Size

SOCKETS = (
    Path("/run/podman/podman.sock"),
    Path("/run/docker.sock"),
    Path("/var/run/docker.sock"),
)
"""Where an engine's socket is looked for, in this order."""
_PATIENCE_S = 60.0
_TRIES = 2
_LIBPOD = "http://engine/v4.0.0/libpod"
_AUTO = "auto"
_MISSING, _CLASH, _UNHEARD = 404, 409, 900
_TAKEN = "is already in use"
_OURS = json.dumps({"label": [POD]})


class Engine:
    """One engine. Close it, or use it as a context."""

    def __init__(self, socket: Path) -> None:
        """Needs a running event loop. Connects at the first call."""
        self.socket = socket
        self._session = socket_session(str(socket))
        self._docker = aiodocker.Docker(
            url="http://engine",  # what it is called; the session leads to the socket
            connector=self._session.connector,
            session=self._session,
            timeout=aiohttp.ClientTimeout(total=_PATIENCE_S),
        )
        self._is_podman: bool | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Let its connections go."""
        await self._docker.close()
        await self._session.close()

    async def nature(self) -> Nature:
        """Return what kind of engine it is."""
        with _translated():
            version = await self._docker.version()
            about = await self._docker.system.info()
        return Nature.of(version, about)

    async def _api(self) -> str:
        """Return the address of Docker's API in the version that this engine has newest."""
        if self._is_podman is None or self._docker.api_version == _AUTO:
            self._is_podman = is_podman(await self._docker.version())
        return f"http://engine/{self._docker.api_version}"

    async def containers(self) -> Sequence[Shown]:
        """Return all containers with our label, whatever they do."""
        try:
            with _translated():
                listed = await self._docker.containers.list(all="true", filters=_OURS)
        except EngineGone:  # it may come back as another version, or another engine
            self._docker.api_version, self._is_podman = _AUTO, None
            raise
        found: list[Shown] = []
        for each in listed:
            try:
                shown = await self._look(each.id)
            except NotOnEngine:  # removed meanwhile
                continue
            if shown is not None:
                found.append(shown)
        return found

    async def has_image(self, image: str) -> bool:
        """Return whether an image is here. Raises `UnusablePod` for what is no image's name."""
        check_image(image)
        try:
            with _translated():
                await self._docker.images.inspect(image)
        except NotOnEngine:
            return False
        return True

    async def image(self, image: str) -> tuple[str, Size]:
        """Return the id and the size of an image. Raises `NotOnEngine`, `UnusablePod`."""
        check_image(image)
        with _translated():
            about = await self._docker.images.inspect(image)
        return str(about.get("Id") or image), Size(int(about.get("Size") or 0))

    async def pull(self, image: str, login: Login | None = None) -> AsyncIterator[Pulling]:
        """Fetch an image, and tell how far it is. Raises `EngineRefused`, `UnusablePod`."""
        check_image(image)
        name, tag = name_and_tag(image if login is None else with_registry(image))
        headers = {} if login is None else {"X-Registry-Auth": _pass_of(login, name)}
        asked = {"fromImage": name, "tag": tag}
        with _translated():
            url = f"{await self._api()}/images/create"
            async with self._session.post(url, params=asked, headers=headers) as answer:
                if not answer.ok:
                    raise EngineRefused(words_in(await answer.text()))
                async for line in answer.content:
                    yield _line_of(line)

    async def remove_image(self, image: str) -> None:
        """Remove an image that no container uses."""
        check_image(image)
        with _translated():
            await self._docker.images.delete(image)

    async def create(self, name: str, body: Mapping[str, Any]) -> str:
        """Make a container and return its id.

        Raises `AlreadyThere` if the name is taken, `UnusablePod` for an image that asks too much.
        """
        with _translated():
            await self._api()
        if self._is_podman:
            sent = libpod_body(name, body["Labels"][POD], body)
            check_annotations(await self._annotations(body["Image"]))
            with _translated():
                call = self._session.post(f"{_LIBPOD}/containers/create", json=sent)
                async with call as answer:
                    if not answer.ok:
                        raise _error_of(answer.status, words_in(await answer.text()))
                    return str((await answer.json(content_type=None))["Id"])
        with _translated():
            made = await self._docker.containers.create(json.loads(json.dumps(body)), name=name)
        return made.id

    async def _annotations(self, image: str) -> Mapping[str, str]:
        """Return what an image's manifest says for others; nothing for one that is not here."""
        with _translated():
            async with self._session.get(f"{_LIBPOD}/images/{image}/json") as answer:
                about = await answer.json(content_type=None) if answer.ok else {}
        return about.get("Annotations") or {}

    async def own_filter(self) -> Path | None:
        """Return where Podman keeps its filter of system calls; None of another engine."""
        with _translated():
            async with self._session.get(f"{_LIBPOD}/info") as answer:
                about = await answer.json(content_type=None) if answer.ok else {}
        security = (about.get("host") or {}).get("security") or {}
        path = str(security.get("seccompProfilePath") or "")
        return Path(path) if path.startswith("/") else None

    async def start(self, container: str) -> None:
        """Let a container begin."""
        with _translated():
            await self._docker.containers.container(container).start()

    async def stop(self, container: str, grace: timedelta) -> None:
        """Ask a container to end, and end it after the grace. Returns when it has ended."""
        seconds = max(0, round(grace.total_seconds()))
        with _translated():
            await self._docker.containers.container(container).stop(
                t=seconds, timeout=seconds + _PATIENCE_S
            )

    async def signal(self, container: str, signal: str) -> None:
        """Send a signal to a container's first process."""
        with _translated():
            await self._docker.containers.container(container).kill(signal=signal)

    async def remove(self, container: str) -> None:
        """Remove a container, and end it if it runs; its named volume stays.

        Podman 4 says now and then that what it has just unmounted is busy: it is asked again.
        """
        with suppress(EngineRefused, NotOnEngine):
            await self.stop(container, timedelta(0))
        for _ in range(_TRIES):
            with suppress(EngineRefused):
                return await self._remove(container)
        return await self._remove(container)

    async def _remove(self, container: str) -> None:
        with _translated(missing_is_fine=True):
            await self._docker.containers.container(container).delete(force=True, v=True)

    async def exec(
        self,
        container: str,
        argv: Sequence[str],
        *,
        tty: bool = False,
        size: TerminalSize | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Exec:
        """Begin a program in a running container. The caller closes what is returned.

        With a terminal, output and errors are one. `env` is added to the container's own.
        """
        with _translated():
            made = await self._docker.containers.container(container).exec(
                list(argv), stdin=True, tty=tty, environment=dict(env or {})
            )
            began = await start_exec(self.socket, made, tty=tty, api=await self._api())
        if size is not None and tty:
            await began.resize(size)
        return began

    async def logs(
        self, container: str, *, since: str = "", tail: int | None = None, follow: bool = False
    ) -> AsyncIterator[LogLine]:
        """Yield what a container wrote after `since` (RFC 3339), only the last `tail` lines.

        With `follow` it goes on until the container ends.
        """
        asked = {
            "stdout": "true",
            "stderr": "true",
            "timestamps": "true",
            "follow": "true" if follow else "false",
            "tail": "all" if tail is None else str(tail),
        }
        with _translated():
            about = await self._docker.containers.container(container).show()
            is_raw = bool(about["Config"]["Tty"])
            url = f"{await self._api()}/containers/{container}/logs"
            if since:
                asked["since"] = since if self._is_podman else after(since)
            async with self._session.get(url, params=asked) as answer:
                if not answer.ok:
                    raise _error_of(answer.status, words_in(await answer.text()))
                async for line in log_lines(answer.content, is_raw=is_raw):
                    yield line

    async def environment(self, container: str) -> dict[str, str]:
        """Return the variables that a container was given."""
        with _translated():
            about = await self._docker.containers.container(container).show()
        pairs = (str(each).partition("=") for each in about["Config"].get("Env") or ())
        return {name: text for name, _, text in pairs}

    async def put_files(self, container: str, archive: bytes) -> None:
        """Unpack an archive in a container, from its root on."""
        with _translated():
            await self._docker.containers.container(container).put_archive(  # type: ignore[no-untyped-call]
                "/", archive
            )

    async def knock(
        self, container: str, port: int, path: str, body: bytes, *, patience_s: float
    ) -> None:
        """Ask an HTTP server in a container by POST; its answer is not looked at."""
        host, number = await self.address(container, port)
        with _translated():
            async with asyncio.timeout(patience_s):
                # One address, never joined: a path that begins with two slashes names a host.
                asked = f"http://{host}:{number}/{path.lstrip('/')}"
                session = named_session(f"http://{host}:{number}", {})
                async with session, session.post(asked, data=body, allow_redirects=False):
                    return

    async def stats(self, container: str) -> Mapping[str, Any]:
        """Return what a container uses now, as the engine counts it."""
        with _translated():
            found = await self._docker.containers.container(container).stats(stream=False)
        return found[0] if found else {}

    async def written(self) -> Mapping[str, int]:
        """Return the bytes that each container of ours has written beside its volume.

        The engine walks through all of them: ask seldom.
        """
        with _translated():
            asked = {"all": "true", "size": "true", "filters": _OURS}
            url = f"{await self._api()}/containers/json"
            async with self._session.get(url, params=asked) as answer:
                listed = await answer.json(content_type=None)
        return {str(each["Id"]): int(each.get("SizeRw") or 0) for each in listed}

    async def address(self, container: str, port: int) -> tuple[str, int]:
        """Return where a port of a running container is reached from this machine.

        Its own address where it has one; else where the engine opened the port. Raises
        `NotOnEngine`.
        """
        shown = await self._look(container)
        if shown is not None and shown.is_running:
            if shown.address:
                return shown.address, port
            if outside := shown.ports.get(port):
                return "127.0.0.1", outside
        raise NotOnEngine(f"port {port} of container {container[:12]} cannot be reached")

    async def volumes(self) -> Sequence[Volume]:
        """Return all volumes with our label."""
        with _translated():
            found = await self._docker.volumes.list(  # type: ignore[no-untyped-call]
                filters={"label": [POD]}
            )
        return [Volume.of(each) for each in found.get("Volumes") or ()]

    async def make_volume(
        self, name: str, labels: Mapping[str, str], options: Mapping[str, str]
    ) -> None:
        """Make a volume of the engine's local driver; one that is there stays as it is."""
        ask = {
            "Name": name,
            "Labels": dict(labels),
            "Driver": "local",
            "DriverOpts": dict(options),
        }
        try:
            with _translated():
                await self._docker.volumes.create(ask)  # type: ignore[no-untyped-call]
        except AlreadyThere:
            return

    async def remove_volume(self, name: str) -> None:
        """Remove a volume and what is in it. Raises `AlreadyThere` while a container has it."""
        with _translated(missing_is_fine=True):
            volume = await self._docker.volumes.get(name)  # type: ignore[no-untyped-call]
            await volume.delete()

    async def make_network(self, name: str) -> None:
        """Make a bridge on this machine; one that is there stays as it is."""
        try:
            with _translated():
                await self._docker.networks.get(name)
        except NotOnEngine:
            ask = {"Name": name, "Driver": "bridge", "Labels": {POD: ""}, "CheckDuplicate": True}
            if not (await self.nature()).is_podman:
                ask["Options"] = APART
            with _translated():
                await self._docker.networks.create(ask)

    async def network(self, name: str) -> Bridge:
        """Return what a network is on this machine."""
        with _translated():
            about = await (await self._docker.networks.get(name)).show()
            async with self._session.get(f"{_LIBPOD}/networks/{name}/json") as answer:
                more = await answer.json(content_type=None) if answer.ok else {}
        return Bridge.of(about, more or {})

    async def remove_network(self, name: str) -> None:
        """Remove a network that nobody uses."""
        with _translated(missing_is_fine=True):
            await (await self._docker.networks.get(name)).delete()

    async def _look(self, container: str) -> Shown | None:
        with _translated():
            return shown_of(await self._docker.containers.container(container).show())


@contextmanager
def _translated(*, missing_is_fine: bool = False) -> Iterator[None]:
    """Raise what the engine says, or that it says nothing, as errors of ours."""
    try:
        yield
    except aiodocker.DockerError as error:
        if error.status == _MISSING and missing_is_fine:
            return
        raise _error_of(error.status, error.message) from error
    except (OSError, aiohttp.ClientError) as error:  # a TimeoutError is an OSError
        raise _error_of(_UNHEARD, str(error) or "no answer in time") from error


def _pass_of(login: Login, image: str) -> str:
    """Return a login as the engine takes it: in a header, so that it is in no list or log."""
    words = {
        "username": login.username,
        "password": login.password,
        "serveraddress": image.partition("/")[0],
    }
    return base64.urlsafe_b64encode(json.dumps(words).encode()).decode()


def _line_of(line: bytes) -> Pulling:
    """Read a line of a download. Raises `EngineRefused` for one that says that it failed."""
    words = json.loads(line)
    if error := words.get("error"):
        raise EngineRefused(one_line(str(error), 500))
    return Pulling.of(words)


def _error_of(status: int, words: str) -> Exception:
    said = one_line(words, 500)
    if status == _UNHEARD:
        return EngineGone(
            f"the container engine does not answer: {said}",
            hint="start Podman's or Docker's service",
        )
    if status == _MISSING:
        return NotOnEngine(said)
    if status == _CLASH or _TAKEN in said:  # Podman 4 says 500 and these words
        return AlreadyThere(said)
    return EngineRefused(said)
