"""Which key opens which path, and how often.

Beyond loopback every path but the open ones needs a key. On loopback a key may be missing, but one
that is sent must be good, as soon as the node has any: whoever sends a key wants to be told.
"""

import asyncio
import hmac
import logging
from math import ceil

from starlette.datastructures import Headers
from starlette.types import Scope

from puna.errors import Denied, PunaError, Unavailable
from puna.node.api.rates import Rates
from puna.node.keys import MARK, Key, KeyRing, KeyScope, WrongKey
from puna.settings import NodeSettings
from puna.world import World

_LOG = logging.getLogger("puna.api")
OPEN_PATHS = frozenset({"/", "/health"})
SCOPES = {
    "/api/pull": KeyScope.MANAGE,
    "/api/push": KeyScope.MANAGE,
    "/api/create": KeyScope.MANAGE,
    "/api/copy": KeyScope.MANAGE,
    "/api/delete": KeyScope.MANAGE,
    "/api/blobs": KeyScope.MANAGE,
    "/metrics": KeyScope.ADMIN,
}
"""What a path and all below it need; whatever is not here needs `use`."""
_WRONG_PER_MINUTE = 10
_OWNER = "PUNA_API_KEY"
_HINT = "send the header Authorization: Bearer KEY, or x-api-key: KEY"
_ASK = "ask the node's owner for a key: he makes one with `puna keys create`"


class OutOfScope(Denied):
    """The key is good, and not for this."""

    code = "out_of_scope"


class TooOften(Unavailable):
    """The key's requests or tokens of this minute are used up, or too many wrong keys came."""

    code = "too_often"
    status = 429

    def __init__(self, message: str, *, wait_s: float, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = max(1, ceil(wait_s))


def scope_of(path: str) -> KeyScope:
    """Return what a path needs."""
    for root, scope in SCOPES.items():
        if path == root or path.startswith(f"{root}/"):
            return scope
    return KeyScope.USE


class Gate:
    """Lets a request in by its key, or says why not."""

    def __init__(self, settings: NodeSettings, ring: KeyRing, world: World) -> None:
        self._settings = settings
        self._ring = ring
        self.world = world
        self._owner = settings.api_key.encode()
        self._rates = Rates()
        self._wrong = Rates()

    async def note_use(self, key: Key | str) -> None:
        """Write down that a key was used, if that was not done lately."""
        if isinstance(key, Key) and self._ring.note_use(key):
            try:
                await asyncio.to_thread(self._ring.write_uses)
            except (OSError, PunaError) as error:
                _LOG.warning("the use of a key was not written down: %s", error)

    @property
    def needs_key(self) -> bool:
        """Whether nobody comes in without one."""
        settings = self._settings
        is_open = settings.host.is_loopback or settings.guarded
        return bool(not is_open or settings.require_keys or settings.api_key)

    def admit(self, scope: Scope, headers: Headers) -> Key | str:
        """Return the key of a request, or a name for none. Raises `WrongKey` and its like."""
        path = scope["path"]
        if path in OPEN_PATHS:
            return ""
        sent = _sent(headers)
        if not sent:
            self._check_form(headers)
            return ""
        for each in sent:
            if key := self._ring.find(each):
                return self._admit_key(key, path)
        return self._admit_other(sent, _address(scope))

    def spend_tokens(self, key: Key | str, tokens: int) -> None:
        """Take tokens from what a key has in this minute."""
        per_minute = self._tokens_of(key)
        if isinstance(key, Key) and per_minute and tokens:
            who = f"tokens {key.prefix}"
            self._rates.spend(who, tokens, per_minute=per_minute, now=self.world.elapsed())

    def wait_for_tokens(self, key: Key | str) -> float:
        """Return how many seconds are left until a key may use a token again."""
        per_minute = self._tokens_of(key)
        if not isinstance(key, Key) or not per_minute:
            return 0.0
        now = self.world.elapsed()
        return self._rates.wait_for(f"tokens {key.prefix}", per_minute=per_minute, now=now)

    def _check_form(self, headers: Headers) -> None:
        if self.needs_key:
            said = "no Bearer key" if "authorization" in headers else "no key"
            raise WrongKey(f"unauthorized: the request has {said}", hint=f"{_HINT}; {_ASK}")

    def _admit_key(self, key: Key, path: str) -> Key:
        if key.revoked is not None:
            raise WrongKey(f'unauthorized: the key "{key.name}" was revoked', hint=_ASK)
        if not key.is_good(self.world.now()):
            raise WrongKey(f'unauthorized: the key "{key.name}" has expired', hint=_ASK)
        needed = scope_of(path)
        if not key.scope.includes(needed):
            raise OutOfScope(
                f'the key "{key.name}" has the scope {key.scope}, and this needs {needed}',
                hint=f"`puna keys create NAME --scope {needed}` makes one that may",
            )
        self._check_rates(key)
        return key

    def _admit_other(self, sent: list[bytes], address: str) -> str:
        """Judge what is no key of the ring: the owner's own key, a wrong one, or a dummy."""
        if not self.needs_key and not self._ring.good() and not _looks_made(sent):
            return ""  # clients that must send something send "ollama"
        now = self.world.elapsed()
        wait = self._wrong.wait_for(address, per_minute=_WRONG_PER_MINUTE, now=now)
        if wait:  # a key of the ring cannot be guessed; the owner's own may be a short word
            raise TooOften("too many wrong keys from this address", wait_s=wait)
        if self._owner and any([hmac.compare_digest(each, self._owner) for each in sent]):  # noqa: C419 - each takes the same time
            return _OWNER
        self._wrong.spend(address, 1, per_minute=_WRONG_PER_MINUTE, now=now)
        raise WrongKey("unauthorized: the node does not know this key", hint=f"{_HINT}; {_ASK}")

    def _check_rates(self, key: Key) -> None:
        now = self.world.elapsed()
        requests = key.requests_per_minute or self._settings.rate_limit
        tokens = self._tokens_of(key)
        for what, per_minute in (("tokens", tokens), ("requests", requests)):
            who = f"{what} {key.prefix}"
            if per_minute and (wait := self._rates.wait_for(who, per_minute=per_minute, now=now)):
                raise TooOften(
                    f'the key "{key.name}" may use {per_minute} {what} a minute', wait_s=wait
                )
        if requests:
            who = f"requests {key.prefix}"
            self._rates.spend(who, 1, per_minute=requests, now=now)

    def _tokens_of(self, key: Key | str) -> int:
        own = key.tokens_per_minute if isinstance(key, Key) else 0
        return own or self._settings.token_limit


def _sent(headers: Headers) -> list[bytes]:
    """Return the keys that a request carries, in the bytes that came."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    bearer = given.strip() if scheme.lower() == "bearer" else ""
    return [text.encode("latin-1") for text in (bearer, headers.get("x-api-key", "")) if text]


def _looks_made(sent: list[bytes]) -> bool:
    return any(each.startswith(MARK.encode()) for each in sent)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""
