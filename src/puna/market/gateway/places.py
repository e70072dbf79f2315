"""Where a request leads: by its Host or by its path. Pure.

`{pod}-{port}.{domain}` is a web origin of its own. `/p/{pod}/{port}/...` and, for a share link,
`/s/{token}/...` are for machines without such names; what they answer is put into a sandbox, since
it comes from the market's own origin.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from puna.wire.tunnel import SOCKET_PATH

LOCAL = "localhost"
"""Browsers and most systems look for every name under it on their own machine."""
_LABEL = re.compile(r"([a-z0-9]{14})-([1-9][0-9]{0,4})")
_PATH = re.compile(r"/p/([a-z0-9]{14})/([1-9][0-9]{0,4})(/[^?]*)?(\?.*)?")
_SHARED = re.compile(r"/s/([A-Za-z0-9_.-]{1,200})(/[^?]*)?(\?.*)?")
_TERMINAL = re.compile(r"/terminal/([a-z0-9]{14})/socket")
_HOST = re.compile(r"([a-z0-9.-]+)(?::[0-9]{1,5})?")
_MOST_PORT = 65535


class Form(StrEnum):
    """How a place was named."""

    HOST = "host"
    PATH = "path"
    SHARE = "share"
    TERMINAL = "terminal"
    TUNNEL = "tunnel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A port of a pod, or what stands for it."""

    form: Form
    pod: str = ""
    port: int = 0
    token: str = ""
    prefix: str = ""
    """What of the path is not the pod's."""
    target: str = "/"
    """What the pod is asked for."""


def place_of(host: str, target: str, domains: Iterable[str]) -> Place | None:
    """Return where a request leads, None where it is the market's own."""
    if found := _by_host(host, domains):
        return Place(form=Form.HOST, pod=found[1], port=int(found[2]), target=target)
    if found := _PATH.fullmatch(target):
        prefix = f"/p/{found[1]}/{found[2]}"
        rest = f"{found[3] or '/'}{found[4] or ''}"
        port = int(found[2])
        return Place(form=Form.PATH, pod=found[1], port=port, prefix=prefix, target=rest)
    if found := _SHARED.fullmatch(target):
        rest = f"{found[2] or '/'}{found[3] or ''}"
        return Place(form=Form.SHARE, token=found[1], prefix=f"/s/{found[1]}", target=rest)
    if found := _TERMINAL.fullmatch(target):
        return Place(form=Form.TERMINAL, pod=found[1])
    if target == SOCKET_PATH:
        return Place(form=Form.TUNNEL)
    return None


def is_path_alone(place: Place, target: str) -> bool:
    """Whether a path form lacks the slash after it, without which relative links lead astray."""
    return bool(place.prefix) and target.partition("?")[0] == place.prefix


def _by_host(host: str, domains: Iterable[str]) -> re.Match[str] | None:
    name = _HOST.fullmatch(host)
    if name is None:
        return None
    label, _, domain = name[1].partition(".")
    if domain.rstrip(".") not in domains:
        return None
    found = _LABEL.fullmatch(label)
    return found if found and int(found[2]) <= _MOST_PORT else None
