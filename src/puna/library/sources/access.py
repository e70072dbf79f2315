"""Getting past a registry's door: what it asks for, who we are, and the token that opens it.

A registry that answers 401 says how to go on. With `Basic` it wants a login. With `Bearer` it names
a token server, its realm: Ollama's wants a signature by this machine's key, Docker's a login, the
identity token that a login gave, or nothing. A login belongs to one registry and is used only where
that registry asks for it, there or at its realm; what comes of it goes to that registry alone. Our
signature goes only to a realm on the registry's own host: elsewhere it would earn a token for
somebody else, who then gets it.
"""

import base64
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from pydantic import ValidationError
from yarl import URL

from puna.errors import Denied
from puna.fetcher import Fetcher, Question
from puna.library.sources.logins import Logins
from puna.origin import Origin, web_url
from puna.units import Size
from puna.wire.registry import TokenReply
from puna.world import World

if TYPE_CHECKING:  # loads cryptography, which few pulls need
    from puna.library.sources.identity import Identity

_MOST_TOKEN = Size(1 << 20)
_FORM = re.compile(r"\s*(bearer|basic)\b\s*(.*)", re.IGNORECASE | re.DOTALL)
_FIELD = re.compile(r'(\w+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_OLLAMA_DOMAINS = ("ollama.ai", "ollama.com")
_CLIENT = "puna"
_OK = 200


class Unauthorized(Denied):
    """The registry does not let this machine do that."""

    code = "unauthorized"
    status = 401

    def __init__(self, what: str = "unauthorized: access denied") -> None:
        super().__init__(
            what,
            hint="log in with `docker login HOST`, or give a registry of Ollama's kind your public"
            " key: ~/.puna/id_ed25519.pub",
        )


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a registry asks for, from its `WWW-Authenticate`."""

    is_bearer: bool
    realm: str = ""
    service: str = ""
    scopes: tuple[str, ...] = ()


def read_challenge(headers: Iterable[str]) -> Challenge | None:
    """Return what the headers ask for, a token before a login; none if nobody knows."""
    found = [_challenge(match) for match in map(_FORM.match, headers) if match]
    return next((each for each in found if each.is_bearer), found[0] if found else None)


def _challenge(match: re.Match[str]) -> Challenge:
    fields = {name.lower(): quoted or bare for name, quoted, bare in _FIELD.findall(match[2])}
    scopes = tuple(fields.get("scope", "").split())
    is_bearer = match[1].lower() == "bearer"
    return Challenge(is_bearer, fields.get("realm", ""), fields.get("service", ""), scopes)


class Access:
    """Gets one registry's door opened."""

    def __init__(
        self, fetcher: Fetcher, logins: Logins, identity: "Callable[[], Identity]", world: World
    ) -> None:
        self._fetcher = fetcher
        self._logins = logins
        self._identity = identity
        self._world = world

    async def answer(self, challenge: Challenge | None, registry: Origin) -> None:
        """Do what the registry asks for. Raises `Unauthorized`, and what asking raises."""
        login = await self._logins.find(registry.netloc)
        if challenge is None or not challenge.is_bearer:
            if not login.header:
                raise Unauthorized
            self._fetcher.trust(registry, login.header)
            return
        realm = web_url(challenge.realm)
        token = ""
        if login.identity:
            question = _refresh(realm, challenge, login.identity)
            token = await self._token(replace(question, sent_by=registry))
        elif login:
            token = await self._told(_plain(realm, challenge), registry, login.header)
        elif _is_one_place(registry, Origin.of(realm)):
            url = self._signed(realm, challenge)
            signature = self._identity().authorization("GET", str(url))
            token = await self._told(url, registry, signature)
        token = token or await self._told(_plain(realm, challenge), registry, "")
        if not token:
            raise Unauthorized
        self._fetcher.trust(registry, f"Bearer {token}")

    async def _told(self, url: URL, registry: Origin, authorization: str) -> str:
        return await self._token(Question(url=url, authorization=authorization, sent_by=registry))

    async def _token(self, question: Question) -> str:
        """Ask a token server; an empty text if it refuses."""
        async with self._fetcher.ask(question) as reply:
            if reply.status != _OK:
                return ""
            body = await reply.read(_MOST_TOKEN)
        try:
            found = TokenReply.model_validate_json(body)
        except ValidationError:
            return ""
        token = found.token or found.access_token
        return token if token.isascii() and token.isprintable() else ""

    def _signed(self, realm: URL, challenge: Challenge) -> URL:
        """Return the address that Ollama's token server wants signed: once, and now."""
        nonce = base64.urlsafe_b64encode(bytes.fromhex(self._world.token())).rstrip(b"=").decode()
        now = str(int(self._world.now().timestamp()))
        return _with_query(realm, [*_query(challenge), ("nonce", nonce), ("ts", now)])


def _refresh(realm: URL, challenge: Challenge, identity: str) -> Question:
    """Return what turns an identity token into one for this: OAuth 2 as Docker's servers have it.

    It stands in the body, and not in the address, which servers on the way write down.
    """
    fields = {
        "grant_type": "refresh_token",
        "service": challenge.service,
        "client_id": _CLIENT,
        "scope": " ".join(challenge.scopes),
        "refresh_token": identity,
    }
    return Question(
        url=realm,
        method="POST",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=urlencode(fields).encode(),
        authorization="",
    )


def _plain(realm: URL, challenge: Challenge) -> URL:
    return _with_query(realm, _query(challenge))


def _query(challenge: Challenge) -> list[tuple[str, str]]:
    service = [("service", challenge.service)] if challenge.service else []
    return service + [("scope", scope) for scope in challenge.scopes]


def _with_query(realm: URL, fields: list[tuple[str, str]]) -> URL:
    own = parse_qsl(realm.raw_query_string, keep_blank_values=True)
    query = urlencode(sorted([*own, *fields], key=lambda field: field[0]))
    return URL(f"{str(realm).partition('?')[0].partition('#')[0]}?{query}", encoded=True)


def _is_one_place(registry: Origin, realm: Origin) -> bool:
    """Tell whether a token server belongs to the registry: same host, or both are Ollama's."""
    if registry.host == realm.host:
        return realm.scheme == "https" or registry.scheme == "http"
    return realm.scheme == "https" and all(
        f".{each.host}".endswith(tuple(f".{domain}" for domain in _OLLAMA_DOMAINS))
        for each in (registry, realm)
    )
