"""One model's repository in a registry: Ollama's own, Hugging Face, or any that serves containers.

All of them speak the OCI distribution protocol. Where they differ, each is taken as it is: Ollama's
redirects to a storage with addresses that expire, plain ones send the blob themselves, some know no
ranges. What a registry says is believed only as far as it can be checked: sizes against the
manifest here, digests where the blob is put together (download.py).
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus

from pydantic import ValidationError
from yarl import URL

from puna.errors import Failed, NotFound, Unavailable
from puna.fetcher import Fetcher, Question, Reply, is_busy
from puna.library.sources.access import Access, Unauthorized, read_challenge
from puna.models.digest import Digest, digest_of
from puna.models.manifest import MAX_MANIFEST, DamagedManifest, Layer, Manifest, MediaType
from puna.models.name import ModelName
from puna.origin import Origin
from puna.text import one_line
from puna.units import Size
from puna.wire.registry import RegistryErrors

MOST_LAYERS = 4096
"""More than any model has; a list of ten thousand blobs is an attack."""
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_MOST_REASON = Size(1 << 16)
_MOST_HOPS = 10
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class ManifestMissing(NotFound):
    """The registry has no such model."""

    code = "manifest_missing"


class RegistryRefused(Failed):
    """The registry says no, or something that makes no sense; the message has its reason."""

    code = "registry_refused"


class RegistryBusy(Unavailable):
    """The registry says that it cannot just now."""

    code = "registry_busy"

    def __init__(self, message: str, *, hint: str = "", retry_after: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after
        """When to come back, as the registry wrote it: seconds, or a date."""


class WrongSize(Failed):
    """A blob in the registry does not have the size that its manifest says."""

    code = "wrong_size"


class NoRanges(Failed):
    """The server sends whole blobs only; `DownloadedBlob` falls back to that by itself."""

    code = "no_ranges"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a repository is: the registry's root, and the path of the model in it."""

    root: URL
    path: str

    @classmethod
    def of(cls, name: ModelName, root: URL) -> "Place":
        """Return the place of a model in the registry at `root`."""
        return cls(root, f"{name.namespace}/{name.model}")

    @property
    def origin(self) -> Origin:
        """The registry."""
        return Origin.of(self.root)

    def url(self, tail: str, query: str = "") -> URL:
        """Return an address of the protocol."""
        root = str(self.root).rstrip("/")
        return URL(f"{root}/v2/{self.path}/{tail}{f'?{query}' if query else ''}", encoded=True)


class Repository:
    """Asks one repository. Raises `Unreachable` and its kin wherever it asks."""

    def __init__(self, fetcher: Fetcher, access: Access, place: Place) -> None:
        self.place = place
        self._fetcher = fetcher
        self._access = access
        self._door = asyncio.Lock()
        self._opened = 0
        self._direct_by_digest: dict[Digest, tuple[URL, Origin]] = {}

    async def manifest(self, tag: str) -> Manifest:
        """Return the manifest of a tag. Raises `ManifestMissing`, `DamagedManifest`."""
        accept = f"{MediaType.MANIFEST}, {OCI_MANIFEST};q=0.9"
        question = Question(url=self.place.url(f"manifests/{tag}"), headers={"Accept": accept})
        async with self._follow(question) as reply:
            if reply.status == HTTPStatus.NOT_FOUND:
                raise ManifestMissing("file does not exist", hint="check the name and its tag")
            await refuse(reply)
            raw = await reply.read(Size(MAX_MANIFEST))
            promised = reply.headers.get("Docker-Content-Digest", "")
        if promised.startswith("sha256:") and promised.lower() != digest_of(raw):
            raise DamagedManifest(f"{self.place.origin} sent another manifest than it announced")
        manifest = Manifest.parse(raw)
        if len(manifest.layers) > MOST_LAYERS:
            raise DamagedManifest(
                f"the manifest lists {len(manifest.layers)} layers, more than {MOST_LAYERS}"
            )
        return manifest

    async def read(self, layer: Layer, begin: int, end: int) -> AsyncGenerator[bytes]:
        """Yield the bytes of a blob from `begin` to `end`.

        It can end early without an error, as connections do. Raises `WrongSize`, and `NoRanges` if
        the middle of a blob cannot be had.
        """
        is_whole = (begin, end) == (0, layer.size)
        headers = {} if is_whole else {"Range": f"bytes={begin}-{end - 1}"}
        async with self._open(layer.digest, headers) as reply:
            left = end - begin
            _check_extent(reply, layer, begin)
            async for chunk in reply.chunks():
                if len(chunk) > left:
                    if not is_whole:
                        yield chunk[:left]
                        return
                    raise WrongSize(f"blob {layer.digest} is longer than its {layer.size} bytes")
                left -= len(chunk)
                yield chunk

    async def has(self, digest: Digest) -> bool:
        """Tell whether a blob is in the repository."""
        question = Question(url=self.place.url(f"blobs/{digest}"), method="HEAD")
        async with self.ask(question) as reply:
            if reply.status == HTTPStatus.NOT_FOUND:
                return False
            if reply.is_redirect:
                return True
            await refuse(reply)
            return True

    async def put_manifest(self, tag: str, manifest: Manifest) -> None:
        """Give the blobs that were sent a name. Raises `Unauthorized`, `RegistryRefused`."""
        question = Question(
            url=self.place.url(f"manifests/{tag}"),
            method="PUT",
            headers={"Content-Type": MediaType.MANIFEST},
            body=manifest.raw,
        )
        async with self.ask(question) as reply:
            await refuse(reply)

    @asynccontextmanager
    async def ask(self, question: Question) -> AsyncIterator[Reply]:
        """Ask the registry, and once more with what it asks for if it answers 401."""
        opened = self._opened
        async with self._fetcher.ask(question) as reply:
            is_shut = reply.status == HTTPStatus.UNAUTHORIZED and reply.origin == self.place.origin
            if not is_shut:
                yield reply
                return
            challenge = read_challenge(_all_values(reply.headers, "WWW-Authenticate"))
        async with self._door:
            if opened == self._opened:
                await self._access.answer(challenge, self.place.origin)
                self._opened += 1
        async with self._fetcher.ask(question) as reply:
            if reply.status == HTTPStatus.UNAUTHORIZED:
                raise Unauthorized
            yield reply

    @asynccontextmanager
    async def _open(self, digest: Digest, headers: Mapping[str, str]) -> AsyncIterator[Reply]:
        """Ask for a blob where it was last found, else where the registry says that it is."""
        known = self._direct_by_digest.get(digest)
        if known:
            url, by = known
            question = Question(url=url, headers=headers, sent_by=by)
            async with self._fetcher.ask(question) as reply:
                if reply.status in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
                    yield reply
                    return
            self._direct_by_digest.pop(digest, None)  # such addresses expire
        question = Question(url=self.place.url(f"blobs/{digest}"), headers=headers)
        async with self._follow(question) as reply:
            if reply.status == HTTPStatus.NOT_FOUND:
                raise RegistryRefused(f"blob {digest} is not in the registry")
            if reply.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise WrongSize(f"blob {digest} is shorter than its manifest says")
            await refuse(reply)
            if reply.origin != self.place.origin:
                self._direct_by_digest[digest] = (reply.url, self.place.origin)
            yield reply

    @asynccontextmanager
    async def _follow(self, question: Question) -> AsyncIterator[Reply]:
        """Ask, and go where redirects lead. Raises `UnsafeRedirect`."""
        for _ in range(_MOST_HOPS):
            async with self.ask(question) as reply:
                if not reply.is_redirect:
                    yield reply
                    return
                question = replace(question, url=reply.place(), sent_by=reply.origin)
        raise RegistryRefused(f"{self.place.origin} redirects in a circle")


async def refuse(reply: Reply) -> None:
    """Raise what an error status means, in the registry's own words; do nothing for a success."""
    if reply.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    reason = ""
    if reply.status >= HTTPStatus.BAD_REQUEST:
        try:
            body = await reply.read(_MOST_REASON)
            reason = RegistryErrors.model_validate_json(body).reason
        except (Failed, ValidationError):
            reason = ""
    shown = f"{reply.origin} answered {reply.status}{f': {one_line(reason)}' if reason else ''}"
    if is_busy(reply.status):
        raise RegistryBusy(shown, retry_after=reply.headers.get("Retry-After", ""))
    if reply.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        raise Unauthorized(f"unauthorized: {one_line(reason) or 'access denied'}")
    raise RegistryRefused(shown)


def _check_extent(reply: Reply, layer: Layer, begin: int) -> None:
    """Compare what an answer says of its size with the manifest."""
    if reply.status == HTTPStatus.PARTIAL_CONTENT:
        match = _RANGE.fullmatch(reply.headers.get("Content-Range", "").strip())
        if match is None or int(match[1]) != begin:
            raise NoRanges(f"{reply.origin} sends other ranges than it is asked for")
        if match[3] not in {"*", str(int(layer.size))}:
            raise WrongSize(_sizes(layer, match[3]))
        return
    length = reply.headers.get("Content-Length", "")
    if length and length != str(int(layer.size)):
        raise WrongSize(_sizes(layer, length))
    if begin:
        raise NoRanges(f"{reply.origin} sends whole blobs only")


def _sizes(layer: Layer, found: str) -> str:
    return (
        f"blob {layer.digest} has {one_line(found, 20)} bytes in the registry,"
        f" and its manifest says {int(layer.size)}"
    )


def _all_values(headers: Mapping[str, str], name: str) -> list[str]:
    return [value for key, value in headers.items() if key.lower() == name.lower()]
