"""One blob on its way to a registry.

A registry may take a part itself and then say where the next one goes, or lead it to a storage
(307), where several parts are taken at once. What breaks is begun again, a few times.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode

from yarl import URL

from puna.errors import PunaError, Unavailable
from puna.fetcher import Question, Reply
from puna.library.blobs import BlobMissing
from puna.library.sources.patience import pause_before
from puna.library.sources.registry import Repository, refuse
from puna.library.threads import first_of, in_thread
from puna.models.manifest import Layer
from puna.models.name import InvalidName, ModelName
from puna.models.regular_file import open_regular
from puna.world import World

_TRIES = 6
_CHUNK = 1 << 20
_PART = 100 * 10**6


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a blob: in a file, or in memory where a package has no file of it."""

    path: Path | None = None
    raw: bytes = b""

    def read(self, begin: int, size: int) -> bytes:
        """Return some of it. Blocks. Raises `UnusableFile`."""
        if self.path is None:
            return self.raw[begin : begin + size]
        with open_regular(self.path) as file:
            return os.pread(file.fileno(), size, begin)

    def md5(self, begin: int, end: int) -> bytes:
        """Return the tag that a storage gives to a part. Blocks."""
        found = hashlib.md5(usedforsecurity=False)
        for at in range(begin, end, _CHUNK):
            found.update(self.read(at, min(_CHUNK, end - at)))
        return found.digest()


class Upload:
    """Sends one blob. Reading the file blocks threads, never the caller."""

    def __init__(
        self, repository: Repository, layer: Layer, content: Content, world: World
    ) -> None:
        self.layer = layer
        self.most = 0
        """The most bytes that were under way; it never goes back."""
        self._repository = repository
        self._content = content
        self._world = world
        self._sent = 0

    async def send(self) -> None:
        """Bring the blob there, unless it is there. Raises `BlobMissing`, and what asking does."""
        for attempt in range(_TRIES):
            try:
                if not await self._repository.has(self.layer.digest):
                    await self._send_once()
            except Unavailable as error:
                if attempt == _TRIES - 1:
                    raise
                await self._world.wait(pause_before(attempt + 1, error, self._world))
            else:
                self.most = self.layer.size
                return

    async def _send_once(self) -> None:
        self._sent = 0
        where = await self._begin()
        if where is None:
            return
        tags = hashlib.md5(usedforsecurity=False)  # of a whole, as S3 makes it of those of parts
        total, count = int(self.layer.size), 0
        try:
            async with asyncio.TaskGroup() as elsewhere:
                for begin in range(0, total, _PART):
                    part = (begin, min(begin + _PART, total))
                    where, storage = await self._send_part(where, part)
                    if storage is not None:
                        elsewhere.create_task(self._send_to_storage(storage, part))
                    tags.update(await in_thread(self._content.md5, *part))
                    count += 1
        except* PunaError as errors:
            raise first_of(errors) from None
        query = urlencode({"digest": self.layer.digest, "etag": f"{tags.hexdigest()}-{count}"})
        where = URL(f"{where}{'&' if where.raw_query_string else '?'}{query}", encoded=True)
        async with self._asked(Question(url=where, method="PUT", body=b"")) as reply:
            await refuse(reply)

    async def _begin(self) -> URL | None:
        """Open an upload and return its address; nothing if the registry had the blob elsewhere."""
        query = _mount(self.layer)
        url = self._repository.place.url("blobs/uploads/", query)
        async with self._repository.ask(Question(url=url, method="POST", body=b"")) as reply:
            await refuse(reply)
            return None if reply.status == HTTPStatus.CREATED else _next_place(reply)

    async def _send_part(self, where: URL, part: tuple[int, int]) -> tuple[URL, URL | None]:
        """Send a part; return where the next one goes, and the storage that this one goes to."""
        begin, end = part
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(end - begin),
            "Content-Range": f"{begin}-{end - 1}",
            "X-Redirect-Uploads": "1",
        }
        body = partial(self._bytes_of, part)
        question = Question(url=where, method="PATCH", headers=headers, body=body)
        async with self._asked(question) as reply:
            if reply.status == HTTPStatus.TEMPORARY_REDIRECT:
                return _next_place(reply), reply.place()
            await refuse(reply)
            return _next_place(reply), None

    async def _send_to_storage(self, storage: URL, part: tuple[int, int]) -> None:
        headers = {"Content-Length": str(part[1] - part[0])}
        body = partial(self._bytes_of, part)
        question = Question(url=storage, method="PUT", headers=headers, body=body)
        async with self._asked(question) as reply:
            await refuse(reply)

    @asynccontextmanager
    async def _asked(self, question: Question) -> AsyncIterator[Reply]:
        """Ask at a place that the registry named; elsewhere nobody gets its credentials."""
        by = self._repository.place.origin
        async with self._repository.ask(replace(question, sent_by=by)) as reply:
            yield reply

    async def _bytes_of(self, part: tuple[int, int]) -> AsyncGenerator[bytes]:
        begin, end = part
        for at in range(begin, end, _CHUNK):
            chunk = await in_thread(self._content.read, at, min(_CHUNK, end - at))
            if not chunk:
                raise BlobMissing(
                    f"blob {self.layer.digest} is shorter than its {self.layer.size}",
                    hint="pull the model again",
                )
            yield chunk
            self._sent += len(chunk)
            self.most = max(self.most, min(self._sent, self.layer.size))


def _mount(layer: Layer) -> str:
    """Return what asks a registry to take a blob from the model that it came from."""
    try:
        source = ModelName.parse(layer.source or "")
    except InvalidName:
        return ""
    return urlencode({"mount": layer.digest, "from": f"{source.namespace}/{source.model}"})


def _next_place(reply: Reply) -> URL:
    """Return where the upload goes on."""
    header = "Docker-Upload-Location" if "Docker-Upload-Location" in reply.headers else "Location"
    return reply.place(header)
