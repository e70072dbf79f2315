"""The Hugging Face hub itself: which files a repository has, and their bytes.

Most models of the hub come through its registry (registry.py), which knows one GGUF file at a time.
What that cannot do is done here: split models, gated repositories with a token, other revisions,
files in folders. Files are fetched like blobs of a registry, by their digests, in parts that
survive a kill; the hub redirects to its storage elsewhere, and the token stays with the hub.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError
from yarl import URL

from puna.errors import Denied, Failed, NotFound
from puna.fetcher import PATIENCE, Fetcher, Question, Reply
from puna.library.sources.access import Access, Challenge, Unauthorized
from puna.library.sources.registry import Place, RegistryRefused, Repository, refuse
from puna.models.digest import Digest
from puna.models.hub_files import HubFile
from puna.models.name import ModelName
from puna.models.reference import HubReference
from puna.origin import Nearness, Origin, nearness_of, web_url
from puna.settings import NodeSettings, read_proxies
from puna.surroundings import Proxies
from puna.units import Size, Span
from puna.version import __version__
from puna.wire.hub import RepositoryFacts, TreeEntry

_OWN_ROOTS = frozenset({"https://huggingface.co", "https://hf.co"})
_MOST_FACTS = Size(32 << 20)
_MOST_TEXT = Size(1 << 20)
_MOST_HOPS = 5
_MOST_PAGES = 20
_PAGE = TypeAdapter(list[TreeEntry])


class NotOnHub(NotFound):
    """The hub has no such repository, or does not show it to us."""

    code = "not_on_hub"


class GatedRepository(Denied):
    """The repository's licence has to be accepted by the owner of a token first."""

    code = "gated_repository"

    def __init__(self, repository: str, *, page: str, has_token: bool) -> None:
        then = "for the account of HF_TOKEN" if has_token else "and set HF_TOKEN to your token"
        super().__init__(
            f"repository {repository} is gated: its licence must be accepted first",
            hint=f"accept it at {page} {then}",
        )


class HubAnswersNonsense(Failed):
    """The hub's answer is not what its interface promises."""

    code = "hub_answers_nonsense"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings:
    """All that decides how the hub is reached."""

    root: str
    token: str = ""
    has_registry: bool = False
    """The hub's registry is reached too; a mirror has none."""
    proxies: Proxies = Proxies()  # noqa: RUF009 - a tuple of texts
    nearness: Callable[[str], Nearness] = nearness_of
    patience: Span = PATIENCE

    @classmethod
    def of(cls, settings: NodeSettings) -> "HubSettings":
        """Take them out of a node's settings."""
        address = settings.hub_endpoint
        root = f"{Origin.of(web_url(address.url))}{address.path}"  # without the usual port
        return cls(
            root=root,
            token=settings.hub_token,
            has_registry=root in _OWN_ROOTS,
            proxies=read_proxies(),
        )


THE_HUB = HubSettings(root="https://huggingface.co", has_registry=True)


def why_not_by_registry(reference: HubReference, settings: HubSettings) -> str:
    """Say why the hub's registry cannot serve a reference; empty where it can be tried."""
    if not settings.has_registry:
        return f"the hub is {settings.root}"
    if reference.revision != "main":
        return f"revision {reference.revision}"
    return "the file is in a folder" if "/" in reference.file else ""


@dataclass(frozen=True, slots=True)
class HubPlace(Place):
    """A repository at one commit; blobs are found by the paths of the files that they are."""

    commit: str = ""
    path_by_digest: Mapping[Digest, str] = field(default_factory=dict)

    def url(self, tail: str, query: str = "") -> URL:
        """Return where a blob is."""
        del query
        path = self.path_by_digest[Digest(tail.removeprefix("blobs/"))]
        return self.file_url(path)

    def file_url(self, path: str) -> URL:
        """Return where a file is."""
        root = str(self.root).rstrip("/")
        return URL(f"{root}/{self.path}/resolve/{self.commit}/{quote(path)}", encoded=True)


class HubRepository(Repository):
    """One repository at one commit: its files, and their bytes by digest."""

    def __init__(
        self, fetcher: Fetcher, place: HubPlace, files: tuple[HubFile, ...], *, has_token: bool
    ) -> None:
        super().__init__(fetcher, _NoDoor(), place)
        self.files = files
        self.hub_place = place
        self._has_token = has_token

    @property
    def name(self) -> str:
        """The repository as people write it: `user/model`."""
        return self.hub_place.path

    def denied(self) -> GatedRepository:
        """Return what to tell a person whom the hub does not let have a file."""
        page = f"{str(self.hub_place.root).rstrip('/')}/{self.name}"
        return GatedRepository(self.name, page=page, has_token=self._has_token)

    async def text(self, path: str) -> bytes:
        """Return a small file whole. Raises `TooLong` for one that is not small."""
        question = Question(url=self.hub_place.file_url(path))
        for _ in range(_MOST_HOPS):
            async with self.ask(question) as reply:
                if not reply.is_redirect:
                    await refuse(reply)
                    return await reply.read(_MOST_TEXT)
                question = replace(question, url=reply.place(), sent_by=reply.origin)
        raise RegistryRefused(f"{self.hub_place.origin} redirects in a circle")


class Hub:
    """The hub for one piece of work. Raises `Unreachable` and its kin wherever it asks."""

    def __init__(self, fetcher: Fetcher, settings: HubSettings) -> None:
        self._fetcher = fetcher
        self._root = web_url(settings.root)
        self._has_token = bool(settings.token)
        if settings.token:
            fetcher.trust(Origin.of(self._root), f"Bearer {settings.token}")

    async def repository(self, name: ModelName, revision: str = "main") -> HubRepository:
        """Look a repository up. Raises `NotOnHub`, `GatedRepository`, `HubAnswersNonsense`."""
        path = f"{name.namespace}/{name.model}"
        api = f"{str(self._root).rstrip('/')}/api/models/{path}"
        facts_url = URL(f"{api}/revision/{quote(revision, safe='')}", encoded=True)
        raw, _ = await self._read(facts_url, path)
        commit = _parsed(RepositoryFacts, raw, self._root).sha
        files = await self._files(URL(f"{api}/tree/{commit}?recursive=true", encoded=True), path)
        path_by_digest = {file.digest: file.path for file in files if file.digest}
        place = HubPlace(self._root, path, commit, path_by_digest)
        return HubRepository(self._fetcher, place, files, has_token=self._has_token)

    async def _files(self, url: URL, path: str) -> tuple[HubFile, ...]:
        files: list[HubFile] = []
        for _ in range(_MOST_PAGES):
            raw, following = await self._read(url, path, sent_by=Origin.of(self._root))
            try:
                entries = _PAGE.validate_json(raw)
            except ValidationError as error:
                raise HubAnswersNonsense(f"{self._root} lists no files of {path}") from error
            files += [_file(entry) for entry in entries if entry.type == "file"]
            if not following:
                break
            url = web_url(following, base=url)
        return tuple(files)

    async def _read(
        self, url: URL, path: str, *, sent_by: Origin | None = None
    ) -> tuple[bytes, str]:
        """Return an answer of the interface, and the address of what follows it."""
        question = Question(url=url, sent_by=sent_by)
        for _ in range(_MOST_HOPS):
            async with self._fetcher.ask(question) as reply:
                if not reply.is_redirect:
                    self._check(reply, path)
                    await refuse(reply)
                    return await reply.read(_MOST_FACTS), _following(reply)
                # A repository that was renamed.
                question = replace(question, url=reply.place(), sent_by=reply.origin)
        raise RegistryRefused(f"{self._root} redirects in a circle")

    def _check(self, reply: Reply, path: str) -> None:
        code = reply.headers.get("X-Error-Code", "")
        if code == "GatedRepo":
            page = f"{str(self._root).rstrip('/')}/{path}"
            raise GatedRepository(path, page=page, has_token=self._has_token)
        if code == "RevisionNotFound":
            raise NotOnHub(f"repository {path} has no such revision", hint="check the link")
        if reply.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
            with_token = "" if self._has_token else ", or set HF_TOKEN if it is private"
            raise NotOnHub(
                f"repository {path} is not on the hub", hint=f"check its name{with_token}"
            )


@asynccontextmanager
async def open_hub(settings: HubSettings) -> AsyncIterator[Hub]:
    """Return the hub, for one piece of work."""
    async with Fetcher(
        agent=f"puna/{__version__}",
        proxies=settings.proxies,
        nearness=settings.nearness,
        patience=settings.patience,
    ) as fetcher:
        yield Hub(fetcher, settings)


class _NoDoor(Access):
    """The hub asks for nothing: a token opens a repository, or nothing does."""

    def __init__(self) -> None:
        """Need nothing."""

    async def answer(self, challenge: Challenge | None, registry: Origin) -> None:
        """Raise `Unauthorized`."""
        del challenge, registry
        raise Unauthorized


def _file(entry: TreeEntry) -> HubFile:
    if entry.lfs is None:
        return HubFile(entry.path, Size(entry.size), None)
    return HubFile(entry.path, Size(entry.lfs.size), Digest(f"sha256:{entry.lfs.oid}"))


def _parsed(shape: type[RepositoryFacts], raw: bytes, root: URL) -> RepositoryFacts:
    try:
        return shape.model_validate_json(raw)
    except ValidationError as error:
        raise HubAnswersNonsense(f"{root} answers with something that is no repository") from error


def _following(reply: Reply) -> str:
    """Return the address in `Link: <...>; rel="next"`."""
    link = reply.headers.get("Link", "")
    address, _, relation = link.partition(">")
    return address.strip(" <") if 'rel="next"' in relation else ""
