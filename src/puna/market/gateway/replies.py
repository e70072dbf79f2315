"""What of a pod's answer a client sees, and what a pod is told of its client. Pure.

A pod's page on its own host name is an origin of its own. What comes by path comes from the
market's origin: there it is put into a sandbox, so that it reads neither the market's cookies nor
its storage and its requests to the market carry none, and it sets no cookie and no rule for that
origin.
"""

from collections.abc import Iterator

from puna.market.gateway.admission import COOKIE
from puna.market.gateway.heads import Answer, Request, end_to_end
from puna.market.gateway.places import Form, Place

SANDBOX = "sandbox allow-scripts allow-forms allow-modals allow-popups allow-downloads"
_HERE = frozenset({"127.0.0.1", "::1"})
_SCHEMES = frozenset({"http", "https", "ws", "wss"})
_NEVER = frozenset(
    {
        "alt-svc",
        "public-key-pins",
        "strict-transport-security",
        "x-accel-buffering",
        "x-accel-charset",
        "x-accel-expires",
        "x-accel-limit-rate",
        "x-accel-redirect",
        "x-sendfile",
    }
)
"""What a pod would say for its neighbours too, or to a proxy before us."""
_NOT_BY_PATH = frozenset(
    {
        "clear-site-data",
        "nel",
        "origin-agent-cluster",
        "report-to",
        "reporting-endpoints",
        "service-worker-allowed",
        "set-cookie",
        "set-login",
    }
)
"""What would hold for the market's own origin."""


def for_the_client(answer: Answer, place: Place, request: Request) -> list[tuple[str, str]]:
    """Return the headers of an answer that a client sees, without those that frame it."""
    by_host = place.form is Form.HOST
    kept = list(_kept(answer, place, by_host=by_host))
    if not by_host:
        kept += [("content-security-policy", SANDBOX), ("x-content-type-options", "nosniff")]
        if place.form is Form.SHARE:
            kept.append(("referrer-policy", "no-referrer"))
            if request.one_of("origin") == "null":  # the page that the link itself has opened
                kept = [each for each in kept if each[0] != "access-control-allow-origin"]
                kept.append(("access-control-allow-origin", "null"))
    return kept


def _kept(answer: Answer, place: Place, *, by_host: bool) -> Iterator[tuple[str, str]]:
    for name, value in end_to_end(answer.headers):
        if name in _NEVER or (name in _NOT_BY_PATH and not by_host):
            continue
        if name == "set-cookie":
            if cookie := _own_cookie(value):
                yield name, cookie
        elif name == "location" and place.prefix and value.startswith("/"):
            yield name, value if value.startswith("//") else f"{place.prefix}{value}"
        else:
            yield name, value


def _own_cookie(value: str) -> str:
    """Return a cookie for the pod's own host alone; nothing for one that is the gateway's."""
    first, *attributes = [part.strip() for part in value.split(";")]
    if first.partition("=")[0].strip() == COOKIE:
        return ""
    kept = [each for each in attributes if each.partition("=")[0].strip().lower() != "domain"]
    return "; ".join([first, *kept])


def caller_of(request: Request, peer: str) -> str:
    """Return whose address a request comes from: what a proxy on this machine says, or the peer."""
    told = request.all_of("x-forwarded-for") if peer in _HERE else []
    return told[-1].rpartition(",")[2].strip() if told else peer


def scheme_of(request: Request, peer: str, scheme: str) -> str:
    """Return how a client came: what a proxy on this machine says, or the market's own `scheme`."""
    told = request.all_of("x-forwarded-proto") if peer in _HERE else []
    said = told[-1].rpartition(",")[2].strip().lower() if told else ""
    return said if said in _SCHEMES else scheme


def is_ours(name: str) -> bool:
    """Tell whether a header says what the gateway alone may say of a client.

    Some servers take an underline for a dash.
    """
    plain = name.replace("_", "-")
    return plain.startswith("x-forwarded-") or plain in {"forwarded", "x-real-ip"}


def forwarded(request: Request, place: Place, peer: str, scheme: str) -> list[tuple[str, str]]:
    """Return the headers that tell a pod who called and how.

    What the client says of itself is believed only from this machine, where a proxy may stand
    before the market.
    """
    chain = peer
    if peer in _HERE:
        chain = ", ".join([*request.all_of("x-forwarded-for"), peer])
    headers = [
        ("x-forwarded-for", chain),
        ("x-forwarded-proto", scheme_of(request, peer, scheme)),
        ("x-forwarded-host", request.host),
    ]
    if place.prefix:
        headers.append(("x-forwarded-prefix", place.prefix))
    return headers
