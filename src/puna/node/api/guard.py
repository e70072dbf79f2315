"""Who may call: the rules that keep a web page from using a node on its reader's own machine.

Ollama's rules: a node on loopback answers only requests whose Host is local, so that no foreign
name that resolves to 127.0.0.1 reaches it; a request with a foreign Origin is refused everywhere.
puna's own: beyond loopback a node has a key, and every path but `/` asks for it.
"""

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from re import IGNORECASE, Pattern, compile as compile_pattern, escape

import psutil
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from puna.errors import Invalid, PunaError
from puna.node.api.access import Gate
from puna.node.api.reply import error_reply
from puna.node.api.watch import KEY
from puna.node.keys import KeyRing, WrongKey
from puna.settings import Address, NodeSettings

_HOSTS = ("localhost", "127.0.0.1", "0.0.0.0")  # noqa: S104 - names that a page may come from
DEFAULT_ORIGINS = (
    *(
        f"{scheme}://{host}{port}"
        for host in _HOSTS
        for scheme in ("http", "https")
        for port in ("", ":*")
    ),
    "app://*",
    "file://*",
    "tauri://*",
    "vscode-webview://*",
    "vscode-file://*",
)
_PRIVATE_NETWORKS = tuple(
    ipaddress.ip_network(each)
    for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
)
_LOCAL_ENDINGS = (".localhost", ".local", ".internal")
_METHODS = "GET,POST,PUT,PATCH,DELETE,HEAD,OPTIONS"
_STAINLESS = (
    "arch async custom-poll-interval helper-method lang os package-version poll-helper retry-count "
    "runtime runtime-version timeout"
)
_REQUEST_HEADERS = ",".join(
    (
        "Authorization,X-Api-Key,Content-Type,User-Agent,Accept,X-Requested-With,OpenAI-Beta",
        "X-Api-Key,Anthropic-Version,Anthropic-Beta,Anthropic-Dangerous-Direct-Browser-Access",
        *(f"x-stainless-{name}" for name in _STAINLESS.split()),
    )
)
_REPLY_HEADERS = (
    "Puna-Error-Code,Puna-Hint,Puna-Ignored-Options,Puna-Truncated,Request-Id,Retry-After"
)
_TWELVE_HOURS = str(12 * 3600)


class ExposedWithoutKey(Invalid):
    """The node would listen beyond this machine and let everybody in."""

    code = "exposed_without_key"


def check_exposure(settings: NodeSettings, ring: KeyRing) -> None:
    """Refuse to listen beyond this machine without a key. Raises `ExposedWithoutKey`."""
    if settings.host.is_loopback or settings.guarded or settings.api_key or ring.good():
        return
    raise ExposedWithoutKey(
        f"no key is set, and listening on {settings.host.host} lets in everyone who reaches it",
        hint="make one with `puna keys create NAME`, set PUNA_API_KEY to a secret of your own,"
        " or set PUNA_HOST to 127.0.0.1",
    )


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one node, decided once."""

    checks_host: bool
    any_origin: bool
    origins: Pattern[str]
    own_names: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, settings: NodeSettings) -> "Rules":
        """Read the rules from a node's settings and this machine's names."""
        origins = (*settings.origins, *DEFAULT_ORIGINS)
        return cls.at(settings.host, origins, checks_host=settings.host.is_loopback)

    @classmethod
    def at(
        cls,
        address: Address,
        origins: Iterable[str],
        *,
        checks_host: bool,
        names: Iterable[str] = (),
    ) -> "Rules":
        """Return the rules of a server at an address, which has further names."""
        allowed = tuple(origins)
        return cls(
            checks_host=checks_host,
            any_origin="*" in allowed,
            origins=_pattern(allowed),
            own_names=_own_names(address) | frozenset(names),
        )

    def allows_host(self, host: str) -> bool:
        """Tell whether a Host header names this machine."""
        name = _without_port(host).lower().rstrip(".")
        if name in {"", "localhost"} or name in self.own_names or name.endswith(_LOCAL_ENDINGS):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        if address.is_loopback or address.is_unspecified:
            return True
        return any(address in network for network in _PRIVATE_NETWORKS)

    def allows_origin(self, origin: str, host: str) -> bool:
        """Tell whether a page of `origin` may call."""
        if self.any_origin or origin in {f"http://{host}", f"https://{host}"}:
            return True
        return self.origins.fullmatch(origin) is not None


def _pattern(origins: Iterable[str]) -> Pattern[str]:
    """`*` in an origin stands for any port or any text without a slash; other signs for themselves.

    As a port it is digits alone, so that nothing after `localhost:` can be the name of a host.
    """
    parts = (
        escape(origin).replace(r":\*", ":[0-9]*").replace(r"\*", "[^/]*") for origin in origins
    )
    return compile_pattern("|".join(parts), IGNORECASE)


def _own_names(address: Address) -> frozenset[str]:
    cards = psutil.net_if_addrs().values()
    addresses = {each.address.partition("%")[0].lower() for card in cards for each in card}
    return frozenset({socket.gethostname().lower(), address.host.lower(), *addresses} - {""})


_AUTHORITY = compile_pattern(r"(\[[0-9a-f:.%]*\]|[^:\[\]]*)(:[0-9]*)?", IGNORECASE)
_NO_HOST = "\0"


def _without_port(host: str) -> str:
    """Return the name in a Host header; what is no name with a port is no name of ours."""
    if match := _AUTHORITY.fullmatch(host):
        return match[1].strip("[]")
    return host if set(host.lower()) <= set("0123456789abcdef:.") else _NO_HOST


class Guard:
    """Lets a request through to `app`, or answers it: 403 for strangers, 401 without the key."""

    def __init__(self, app: ASGIApp, rules: Rules, gate: Gate) -> None:
        self._app = app
        self._rules = rules
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one request by its headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin, host = headers.get("origin", ""), headers.get("host", "")
        refusal = self._refusal(scope, headers, origin=origin, host=host)
        if refusal is not None:
            await refusal(scope, receive, send)
        elif origin:
            await self._app(scope, receive, _with_headers(send, self._cors_headers(origin)))
        else:
            await self._app(scope, receive, send)

    def _refusal(
        self, scope: Scope, headers: Headers, *, origin: str, host: str
    ) -> Response | None:
        """Return the answer to a request that goes no further: a preflight, or one that may not."""
        rules = self._rules
        if origin and not rules.allows_origin(origin, host):
            return Response(status_code=403)
        is_one = len(headers.getlist("host")) < 2  # noqa: PLR2004 - of two, each reader takes his own
        if rules.checks_host and not (is_one and rules.allows_host(host)):
            return Response(status_code=403)
        if scope["method"] == "OPTIONS":
            return Response(status_code=204, headers=self._preflight_headers(origin))
        try:
            scope[KEY] = self._gate.admit(scope, headers)
        except PunaError as error:
            reply = error_reply(error, scope)
            if isinstance(error, WrongKey):
                reply.headers["WWW-Authenticate"] = "Bearer"
            return reply
        return None

    def _cors_headers(self, origin: str) -> dict[str, str]:
        if self._rules.any_origin:
            return {
                "Access-Control-Allow-Origin": "*",
                "Access-Control-Expose-Headers": _REPLY_HEADERS,
            }
        return {
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Expose-Headers": _REPLY_HEADERS,
            "Vary": "Origin",
        }

    def _preflight_headers(self, origin: str) -> dict[str, str]:
        if not origin:
            return {}
        return {
            **self._cors_headers(origin),
            "Access-Control-Allow-Methods": _METHODS,
            "Access-Control-Allow-Headers": _REQUEST_HEADERS,
            "Access-Control-Max-Age": _TWELVE_HOURS,
        }


def _with_headers(send: Send, headers: dict[str, str]) -> Send:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *raw]}
        await send(message)

    return sending
