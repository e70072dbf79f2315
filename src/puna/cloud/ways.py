"""The way into a pod: which address leads to the model in it, and by which key."""

from dataclasses import dataclass
from http import HTTPStatus

from puna.cloud.settings import RUNPOD, Login
from puna.cloud.values import CloudPod
from puna.errors import Conflict
from puna.net import Caller
from puna.settings import Address, read_address, read_proxies

_NODE_PORT = "11434"
_HTTP = "/http"
_PATIENCE_S = 60
_NOTHING_THERE = b'"nothing_there"'
RUNS = "RUNNING"


class NoWay(Conflict):
    """The pod cannot be reached so, or not now."""

    code = "no_way_in"


@dataclass(frozen=True, slots=True)
class Way:
    """An address, and the key that is sent there; empty where none is."""

    address: Address
    key: str


def way_into(pod: CloudPod, login: Login) -> Way:
    """Return the way to the model in a pod. Raises `NoWay` if it has no HTTP port.

    The cloud's key goes along only where the pod's address is the cloud's own.
    """
    urls = pod.urls or (_urls_on_runpod(pod) if login.address == RUNPOD else {})
    url = urls.get(_NODE_PORT) or next(iter(urls.values()), "")
    if not url:
        raise NoWay(f"{pod.name} has no HTTP port for a model", hint="make it with --template puna")
    address = read_address(url.rstrip("/"))
    return Way(address, login.key if login.covers(address) else "")


def _urls_on_runpod(pod: CloudPod) -> dict[str, str]:
    ports = [each.removesuffix(_HTTP) for each in pod.ports if each.endswith(_HTTP)]
    return {port: f"https://{pod.id}-{port}.proxy.runpod.net" for port in ports}


def is_answered(way: Way) -> bool:
    """Tell whether something in the pod answers; until then its gateway says that nothing does.

    Blocks. Raises `Unreachable` where the gateway does not answer either.
    """
    headers = {"Authorization": f"Bearer {way.key}"} if way.key else {}
    at = way.address
    proxy = read_proxies().between(at.scheme, at.host)
    asked = Caller(at.scheme, at.host, at.port, prefix=at.path, headers=headers).through(proxy)
    with asked.request("GET", "/", timeout_s=_PATIENCE_S) as answer:
        told = answer.read() if answer.status == HTTPStatus.BAD_GATEWAY else b""
    return _NOTHING_THERE not in told
