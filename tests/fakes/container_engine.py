"""A container engine on a socket file: the part of Docker's API that the agent asks, in memory.

What is in it outlives the agents that use it. Its time is the test's. `refuses` says which calls
fail and with what; `dies_at` is for tests that kill an agent in the middle: the call of that number
is answered never, after its effect or before it.
"""

import asyncio
import io
import itertools
import json
import struct
import tarfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import web

from puna.agent.containers import POD
from tests.worlds import FakeWorld

_NEVER = "0001-01-01T00:00:00Z"
Call = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Made:
    """A container."""

    id: str
    name: str
    body: Mapping[str, Any]
    status: str = "created"
    started: datetime | None = None
    ended: datetime | None = None
    code: int = 0
    said: list[str] = field(default_factory=list)
    processor_s: float = 0
    received: int = 0
    written: int = 0


class ContainerEngine:
    """Its containers, images, volumes and networks, and what it is to do wrong."""

    def __init__(self, world: FakeWorld) -> None:
        self.world = world
        self.is_docker = False
        """Whether it is Docker's own, of a newer version, instead of Podman's."""
        self.containers: dict[str, Made] = {}
        self.images: set[str] = set()
        self.annotations: dict[str, str] = {}
        """Of the manifests of all images."""
        self.sizes: dict[str, int] = {}
        """Bytes that images take, where it matters."""
        self.registry: set[str] = set()
        """Images that can be pulled; others are not known there."""
        self.logins: dict[str, str] = {}
        """Images that only this password may pull."""
        self.volumes: dict[str, Mapping[str, Any]] = {}
        self.networks: dict[str, Mapping[str, Any]] = {}
        self.refuses: dict[str, list[str]] = {}
        """By a call's name, such as `create`: what it fails with, one reason for each time."""
        self.files: dict[str, str] = {}
        """What was put into containers."""
        self.asked_since = ""
        """From when on a log was last asked for."""
        self.calls: Counter[str] = Counter()
        self.holds_pulls: asyncio.Event | None = None
        """Where it is set, a download waits for it."""
        self.dies_at: tuple[int, bool] | None = None
        """The number of a call, and whether it still has its effect."""
        self.died = asyncio.Event()
        self._ids = itertools.count(1)
        self._ports = itertools.count(40_001)

    def end(self, pod: str, code: int) -> None:
        """Let the running container of a pod end by itself."""
        [made] = [each for each in self.of(pod) if each.status == "running"]
        self._end(made, code)

    def of(self, pod: str) -> list[Made]:
        """Return the containers of a pod."""
        return [each for each in self.containers.values() if each.body["Labels"].get(POD) == pod]

    def running(self, pod: str) -> list[Made]:
        """Return those that run."""
        return [each for each in self.of(pod) if each.status == "running"]

    @asynccontextmanager
    async def served(self, socket: Path) -> AsyncIterator[None]:
        """Answer at a socket file until the end."""
        runner = web.AppRunner(self._app(), shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.UnixSite(runner, str(socket)).start()
            yield
        finally:
            await runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application()
        routes: list[tuple[str, str, Call]] = [
            ("GET", "/version", self._version),
            ("GET", "/info", self._info),
            ("GET", "/containers/json", self._list),
            ("POST", "/containers/create", self._create),
            ("GET", "/containers/{id}/json", self._inspect),
            ("GET", "/containers/{id}/logs", self._logs),
            ("GET", "/containers/{id}/stats", self._stats),
            ("POST", "/containers/{id}/start", self._start),
            ("POST", "/containers/{id}/stop", self._stop),
            ("POST", "/containers/{id}/kill", self._kill),
            ("PUT", "/containers/{id}/archive", self._put_archive),
            ("DELETE", "/containers/{id}", self._remove),
            ("POST", "/images/create", self._pull),
            ("GET", "/images/{name:.+}/json", self._image),
            ("DELETE", "/images/{name:.+}", self._remove_image),
            ("GET", "/volumes", self._list_volumes),
            ("POST", "/volumes/create", self._create_volume),
            ("GET", "/volumes/{id}", self._volume),
            ("DELETE", "/volumes/{id}", self._remove_volume),
            ("GET", "/networks/{id}", self._network),
            ("POST", "/networks/create", self._create_network),
        ]
        for method, path, call in routes:
            name = call.__name__.strip("_")
            for version in ("1.41", "1.54"):
                app.router.add_route(method, f"/v{version}{path}", self._told(name, call))
        app.router.add_route("GET", "/version", self._version)
        own = self._told("create", self._create_in_podmans_words)
        app.router.add_route("POST", "/v4.0.0/libpod/containers/create", own)
        about = self._told("manifest", self._manifest)
        app.router.add_route("GET", "/v4.0.0/libpod/images/{name:.+}/json", about)
        return app

    def _told(self, name: str, call: Call) -> Call:
        async def told(request: web.Request) -> web.StreamResponse:
            self.calls[name] += 1
            dies, has_effect = self.dies_at or (0, False)
            is_last = dies == self.calls.total()
            if is_last and not has_effect:
                await self._never()
            if reasons := self.refuses.get(name):
                return _no(500, reasons.pop(0))
            answer = await call(request)
            if is_last:
                await self._never()
            return answer

        return told

    async def _never(self) -> None:
        self.died.set()
        await asyncio.Event().wait()

    async def _version(self, _: web.Request) -> web.Response:
        if self.is_docker:
            return web.json_response({"ApiVersion": "1.54", "Version": "29.7.2"})
        parts = [{"Name": "Podman Engine"}]
        return web.json_response({"ApiVersion": "1.41", "Version": "4.3.1", "Components": parts})

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"DockerRootDir": "/", "SecurityOptions": ["name=seccomp"], "Runtimes": {"runc": {}}}
        )

    async def _list(self, _: web.Request) -> web.Response:
        ours = [each for each in self.containers.values() if POD in each.body["Labels"]]
        return web.json_response([{"Id": each.id, "SizeRw": each.written} for each in ours])

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.is_docker and body["HostConfig"]["LogConfig"]["Type"] == "k8s-file":
            return _no(400, "logger: no log driver named 'k8s-file' is registered")
        return self._make(request.query["name"], body)

    async def _create_in_podmans_words(self, request: web.Request) -> web.Response:
        body = await request.json()
        host = {
            "PortBindings": {
                f"{each['container_port']}/tcp": [
                    {"HostIp": each["host_ip"], "HostPort": str(each["host_port"] or "")}
                ]
                for each in body["portmappings"]
            },
            "Mounts": [{"Source": each["Name"]} for each in body["volumes"]],
        }
        if body["devices"]:
            host["DeviceRequests"] = [{"DeviceIDs": [each["path"] for each in body["devices"]]}]
        env = [f"{name}={text}" for name, text in body["env"].items()]
        made = {"Image": body["image"], "Labels": body["labels"], "Env": env, "HostConfig": host}
        return self._make(body["name"], made)

    async def _manifest(self, request: web.Request) -> web.Response:
        if request.match_info["name"] not in self.images:
            return _no(404, "image not known")
        return web.json_response({"Annotations": self.annotations})

    def _make(self, name: str, body: Mapping[str, Any]) -> web.Response:
        if any(each.name == name for each in self.containers.values()):
            return _no(500, f'the container name "{name}" is already in use by another')
        if body["Image"] not in self.images:
            return _no(404, f"{body['Image']}: image not known")
        made = Made(f"{next(self._ids):064x}", name, body)
        self.containers[made.id] = made
        return web.json_response({"Id": made.id, "Warnings": []}, status=201)

    async def _inspect(self, request: web.Request) -> web.Response:
        made = self._found(request)
        if made is None:
            return _no(404, "no such container")
        return web.json_response(self._about(made))

    def _about(self, made: Made) -> Mapping[str, Any]:
        bindings = made.body["HostConfig"].get("PortBindings") or {}
        return {
            "Id": made.id,
            "Name": f"/{made.name}",
            "Config": {"Labels": made.body["Labels"], "Tty": False, "Env": made.body["Env"]},
            "State": {
                "Status": made.status,
                "StartedAt": _when(made.started),
                "FinishedAt": _when(made.ended),
                "ExitCode": made.code,
            },
            "NetworkSettings": {
                "Ports": {each: [{"HostPort": str(next(self._ports))}] for each in bindings},
                "Networks": {"puna": {"IPAddress": "10.89.0.2"}},
            },
        }

    async def _logs(self, request: web.Request) -> web.Response:
        made = self._found(request)
        if made is None:
            return _no(404, "no such container")
        since = request.query.get("since", "")
        if self.is_docker and "T" in since:
            return _no(400, f'parsing "{since}": invalid syntax')
        self.asked_since = since
        lines = [f"{_when(made.started)} {line}\n".encode() for line in made.said]
        return web.Response(body=b"".join(struct.pack(">BxxxL", 1, len(x)) + x for x in lines))

    async def _stats(self, request: web.Request) -> web.Response:
        made = self._found(request)
        if made is None:
            return _no(404, "no such container")
        processor = {"cpu_usage": {"total_usage": int(made.processor_s * 10**9)}}
        network = {"eth0": {"rx_bytes": made.received, "tx_bytes": 0}}
        return web.json_response({"cpu_stats": processor, "networks": network})

    async def _start(self, request: web.Request) -> web.Response:
        made = self._found(request)
        if made is None:
            return _no(404, "no such container")
        if made.status != "running":
            made.status, made.started = "running", self.world.now()
        return web.Response(status=204)

    async def _stop(self, request: web.Request) -> web.Response:
        made = self._found(request)
        if made is None:
            return _no(404, "no such container")
        if made.status == "running":
            self._end(made, 143)
        return web.Response(status=204)

    async def _kill(self, request: web.Request) -> web.Response:
        made = self._found(request)
        if made is None or made.status != "running":
            return _no(409, "it does not run")
        made.said.append(f"signal {request.query.get('signal')}")
        return web.Response(status=204)

    async def _put_archive(self, request: web.Request) -> web.Response:
        with tarfile.open(fileobj=io.BytesIO(await request.read())) as archive:
            for each in archive.getmembers():
                if (file := archive.extractfile(each)) is not None:
                    self.files[request.query["path"] + each.name] = file.read().decode()
        return web.Response()

    async def _remove(self, request: web.Request) -> web.Response:
        made = self._found(request)
        if made is None:
            return _no(404, "no such container")
        del self.containers[made.id]
        return web.Response(status=204)

    async def _pull(self, request: web.Request) -> web.StreamResponse:
        image = request.query["fromImage"]
        image = f"{image}:{request.query['tag']}"
        answer = web.StreamResponse()
        await answer.prepare(request)
        await _line(answer, {"status": "Pulling fs layer", "id": "abc"})
        if self.holds_pulls is not None:
            await self.holds_pulls.wait()
        progress = {"current": 5, "total": 10}
        await _line(answer, {"status": "Downloading", "id": "abc", "progressDetail": progress})
        if image not in self.registry or not self._may_pull(image, request):
            await _line(answer, {"error": f"{image}: manifest unknown"})
            return answer
        self.images.add(image)
        await _line(answer, {"status": "Download complete", "id": "abc"})
        return answer

    def _may_pull(self, image: str, request: web.Request) -> bool:
        password = self.logins.get(image)
        if password is None:
            return True
        return bool(request.headers.get("X-Registry-Auth"))

    async def _image(self, request: web.Request) -> web.Response:
        if request.match_info["name"] not in self.images:
            return _no(404, "no such image")
        name = request.match_info["name"]
        return web.json_response({"Id": f"sha256:{name}", "Size": self.sizes.get(name, 0)})

    async def _remove_image(self, request: web.Request) -> web.Response:
        image = request.match_info["name"]
        if any(each.body["Image"] == image for each in self.containers.values()):
            return _no(409, f"image {image} is in use by a container")
        self.images.discard(image)
        return web.json_response([])

    async def _list_volumes(self, _: web.Request) -> web.Response:
        ours = [each for each in self.volumes.values() if POD in (each.get("Labels") or {})]
        return web.json_response({"Volumes": ours})

    async def _create_volume(self, request: web.Request) -> web.Response:
        body = await request.json()
        made = body | {"Mountpoint": f"/volumes/{body['Name']}"}
        return web.json_response(self.volumes.setdefault(body["Name"], made), status=201)

    async def _volume(self, request: web.Request) -> web.Response:
        found = self.volumes.get(request.match_info["id"])
        return _no(404, "no such volume") if found is None else web.json_response(found)

    async def _remove_volume(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        users = [
            each.name
            for each in self.containers.values()
            for mount in each.body["HostConfig"].get("Mounts") or ()
            if mount["Source"] == name
        ]
        if users:
            return _no(409, f"volume {name} is being used by {users}")
        self.volumes.pop(name, None)
        return web.Response(status=204)

    async def _network(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        each = (net for net in self.networks.values() if name in {net["Name"], net["Id"]})
        found = next(each, None)
        return _no(404, "no such network") if found is None else web.json_response(found)

    async def _create_network(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.networks[body["Name"]] = body | {"Id": "0" * 64, "Labels": {}}
        return web.json_response({"Id": "0" * 64}, status=201)

    def _found(self, request: web.Request) -> Made | None:
        name = request.match_info["id"]
        return self.containers.get(name)

    def _end(self, made: Made, code: int) -> None:
        made.status, made.code, made.ended = "exited", code, self.world.now()


def _no(status: int, reason: str) -> web.Response:
    body = json.dumps({"message": reason}).encode()
    return web.Response(body=body, status=status, content_type="application/json")


def _when(moment: datetime | None) -> str:
    return _NEVER if moment is None else moment.isoformat().replace("+00:00", "Z")


async def _line(answer: web.StreamResponse, words: Mapping[str, Any]) -> None:
    await answer.write(json.dumps(words).encode() + b"\n")
