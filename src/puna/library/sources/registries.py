"""Which registry a name leads to: the host in the name, or the mirror that the settings put first.

Plain http is spoken to hosts that the user says are fine (`--insecure`, which also takes any
certificate) and to mirrors whose address says so; a name that starts with http:// needs the flag.
"""

import platform
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from yarl import URL

from puna.errors import Invalid
from puna.fetcher import PATIENCE, Fetcher, Question
from puna.library.download import Streams
from puna.library.sources.access import Access
from puna.library.sources.hub import THE_HUB, HubSettings
from puna.library.sources.logins import Logins, read_logins
from puna.library.sources.registry import Place, Repository
from puna.models.name import ModelName
from puna.net import Unreachable
from puna.origin import Nearness, nearness_of, web_url
from puna.settings import NodeSettings, read_proxies
from puna.surroundings import Proxies
from puna.units import Span
from puna.version import OLLAMA_VERSION, __version__
from puna.world import World

if TYPE_CHECKING:
    from puna.library.sources.identity import Identity

_HUB = "registry-1.docker.io"
_ALIASES = {"docker.io": _HUB, "index.docker.io": _HUB}
_AGENT = f"ollama/{OLLAMA_VERSION} ({platform.machine()} {platform.system().lower()}) puna/"


class InsecureProtocol(Invalid):
    """A name asks for plain http, and the user did not say that this is fine."""

    code = "insecure_protocol"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """All that decides how registries are reached."""

    home: Path
    mirrors: tuple[str, ...] = ()
    logins: tuple[str, ...] = ()
    docker: Path = Path("/nonexistent")
    ollama: Path = Path("/nonexistent")
    """Ollama's home, whose key pair is used where puna has none."""
    hub: HubSettings = THE_HUB
    streams: int = 8
    proxies: Proxies = Proxies()  # noqa: RUF009 - a tuple of texts
    nearness: Callable[[str], Nearness] = nearness_of
    patience: Span = PATIENCE

    @classmethod
    def of(cls, settings: NodeSettings) -> "RegistrySettings":
        """Take them out of a node's settings."""
        return cls(
            home=settings.home,
            mirrors=settings.mirrors,
            logins=settings.registry_logins,
            docker=settings.docker_config,
            ollama=Path("~/.ollama").expanduser(),
            hub=HubSettings.of(settings),
            streams=settings.pull_streams,
            proxies=read_proxies(),
        )


class Registries:
    """Opens the repository of a name."""

    def __init__(self, settings: RegistrySettings, world: World) -> None:
        self._settings = settings
        self._world = world

    @property
    def hub(self) -> HubSettings:
        """How the Hugging Face hub is reached where its registry does not serve."""
        return self._settings.hub

    @property
    def division(self) -> Streams:
        """How a download is divided."""
        return Streams(self._settings.streams)

    @asynccontextmanager
    async def open(self, name: ModelName, *, insecure: bool = False) -> AsyncIterator[Repository]:
        """Return the repository of a model, for one piece of work.

        Raises `InsecureProtocol`, and `Unreachable` where the registry has to be tried out first.
        """
        settings = self._settings
        if name.scheme == "http" and not insecure:
            raise InsecureProtocol(
                "insecure protocol http", hint="add --insecure if you trust the network"
            )
        async with Fetcher(
            agent=f"{_AGENT}{__version__}",
            proxies=settings.proxies,
            verifies=not insecure,
            nearness=settings.nearness,
            patience=settings.patience,
        ) as fetcher:
            root = self._mirror_of(name.host) or await _root_of(name, fetcher, insecure=insecure)
            access = Access(fetcher, self._logins(), self._identity, self._world)
            yield Repository(fetcher, access, Place.of(name, root))

    def _mirror_of(self, host: str) -> URL | None:
        for pair in self._settings.mirrors:
            mirrored, _, url = pair.partition("=")
            if mirrored.lower() == host.lower():
                return web_url(url)
        return None

    def _logins(self) -> Logins:
        return read_logins(self._settings.logins, self._settings.docker)

    def _identity(self) -> "Identity":
        from puna.library.sources.identity import load_identity  # noqa: PLC0415 - cryptography, which few pulls need

        return load_identity(self._settings.home, ollama=self._settings.ollama)


async def _root_of(name: ModelName, fetcher: Fetcher, *, insecure: bool) -> URL:
    """Return the address of a registry; with `insecure`, http if it speaks no https."""
    host = _ALIASES.get(name.host.lower(), name.host)
    root = web_url(f"{name.scheme}://{host}")
    if not insecure or name.scheme == "http":
        return root
    try:
        async with fetcher.ask(Question(url=root / "v2/")):
            return root
    except Unreachable:
        return web_url(f"http://{host}")
