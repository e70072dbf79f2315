"""A cloud, as a person or a program rents from it: puna's markets, and RunPod's own.

Both speak REST version 2. What only puna has is asked for under `/v2/puna`, and on RunPod is either
made of what it has (offers of its catalog, bills of its billing) or refused by name.

    from puna.cloud.client import connect

    cloud = connect("http://market.example:11500", key)
    pod = cloud.create(Order(name="a", template="puna", cards=("NVIDIA GeForce RTX 4090",)))
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from functools import cached_property
from urllib.parse import quote

from puna.cloud.line import CloudLine, CloudRefused
from puna.cloud.orders import NotThere, Order, body_of
from puna.cloud.settings import RUNPOD, Login, read_cloud_address
from puna.cloud.values import (
    Card,
    CloudPod,
    Happenings,
    Limit,
    Offer,
    Offers,
    Spend,
    Spent,
    Standing,
    money_in,
    read,
)
from puna.errors import NotFound
from puna.net import Unreachable
from puna.node.client import caller_for
from puna.node.replies import Fields
from puna.settings import read_proxies
from puna.units import Money, Span

_PAGE = 500
_IDLE_S = 3.0
"""Without `follow` a log has ended when nothing came for so long."""
_MOST_LINES = 5000
_OVER = frozenset({"EXITED", "ERROR", "TERMINATED"})
_RECONNECTS = 30
_PAUSE = Span.of(seconds=2)


class PodMissing(NotFound):
    """The account has no pod of this id or name."""

    code = "pod_missing"


def connect(address: str, key: str) -> "CloudClient":
    """Return the client of a market's address, or of `runpod`. Nothing is sent yet."""
    return client_of(Login(read_cloud_address(address), key))


def client_of(login: Login) -> "CloudClient":
    """Return the client of a login."""
    proxy = read_proxies().between(login.address.scheme, login.address.host)
    line = CloudLine(caller_for(login.address, login.key).through(proxy))
    return CloudClient(line, is_runpod=login.address == RUNPOD)


class CloudClient:
    """Blocking. All raise `Unreachable`, `CloudRefused`, `NotACloud`, and `NotThere` on RunPod."""

    def __init__(self, line: CloudLine, *, is_runpod: bool = False) -> None:
        self._line, self._is_runpod = line, is_runpod

    @property
    def url(self) -> str:
        """The cloud's address."""
        return self._line.url

    @cached_property
    def is_puna(self) -> bool:
        """Whether it is one of puna's markets. Asks once."""
        if self._is_runpod:
            return False
        try:
            self._line.ask("GET", "/v2/puna/account")
        except CloudRefused as error:
            if error.is_not_found:
                return False
            raise
        return True

    def standing(self) -> Standing:
        """Return the account and its money, as far as the cloud tells."""
        if self.is_puna:
            return Standing.of(self._line.ask("GET", "/v2/puna/account"))
        pods = self.pods()
        return Standing(
            an_hour=Money(sum(pod.cost for pod in pods)),
            pods=len(pods),
            running=sum(pod.status == "RUNNING" for pod in pods),
        )

    def cards(self) -> tuple[Card, ...]:
        """Return the catalog of cards."""
        query = {"include": "AVAILABILITY", "product": "POD"}
        reply = self._line.ask("GET", "/v2/catalog/gpus", query=query)
        return tuple(Card.of(each) for each in reply.each("gpus"))

    def offers(self, search: Mapping[str, object]) -> Offers:
        """Return every machine that does, the cheapest first; why others do not is counted.

        `search` has the names of `/v2/puna/offers`.
        """
        self._only_puna("offers of single machines")
        found: list[Offer] = []
        why_by_host: dict[str, str] = {}
        for page in self._pages("/v2/puna/offers", search):
            found += [read(Offer, each) for each in page.each("offers")]
            why_by_host |= {each.text("host"): each.text("why") for each in page.each("refused")}
        found.sort(key=lambda each: (each.displaces > 0, each.an_hour, each.host))
        return Offers(tuple(found), why_by_host)

    def templates(self) -> tuple[Fields, ...]:
        """Return the account's own templates and the official ones."""
        own = self._line.ask("GET", "/v2/templates")
        official = self._line.ask("GET", "/v2/catalog/templates")
        found = {e.text("id"): e for reply in (official, own) for e in reply.each("templates")}
        return tuple(found.values())

    def template(self, id_or_name: str) -> Fields:
        """Return a template. Raises `NotFound`."""
        for each in self.templates():
            if id_or_name.lower() in {each.text("id").lower(), each.text("name").lower()}:
                return each
        return self._line.ask("GET", f"/v2/templates/{quote(id_or_name, safe='')}")

    def create(self, order: Order) -> CloudPod:
        """Rent a pod. Asked for once: an answer that is lost may have made it."""
        body = body_of(order, is_puna=self.is_puna)
        try:
            return CloudPod.of(self._line.ask("POST", "/v2/pods", body))
        except Unreachable as error:
            raise Unreachable(
                f"{error.message}; whether the pod was made is not known: see puna pods list"
            ) from error

    def pods(self) -> tuple[CloudPod, ...]:
        """Return every pod that is not terminated."""
        reply = self._line.ask("GET", "/v2/pods")
        return tuple(CloudPod.of(each) for each in reply.each("pods"))

    def pod(self, id_or_name: str) -> CloudPod:
        """Return a pod by its id, or by its name where one alone has it. Raises `PodMissing`."""
        named = [each for each in self.pods() if id_or_name in {each.id, each.name}]
        exact = [each for each in named if each.id == id_or_name]
        if len(exact or named) == 1:
            return (exact or named)[0]
        if named:
            ids = ", ".join(each.id for each in named)
            raise PodMissing(f'several pods are named "{id_or_name}"', hint=f"use an id: {ids}")
        raise PodMissing(f'there is no pod "{id_or_name}"', hint="see: puna pods list")

    def act(self, pod: str, action: str) -> None:
        """Start, stop or restart a pod."""
        self._line.ask("POST", f"/v2/pods/{pod}/action", {"action": action})

    def terminate(self, pod: str) -> None:
        """Tell a pod to go. That it is gone is told by `is_gone`."""
        try:
            self._line.ask("DELETE", f"/v2/pods/{pod}")
        except CloudRefused as error:
            if not error.is_not_found:
                raise

    def share(self, pod: str, port: str, lasts: str) -> str:
        """Return a new link to a port of a pod, for whoever has it, and for so long."""
        self._only_puna("links to ports")
        wish = {"port": int(port), "lasts": lasts}
        return self._line.ask("POST", f"/v2/puna/pods/{pod}/shares", wish).text("url")

    def happenings(self, pod: str, after: str = "") -> Happenings:
        """Return what is new with a pod since the last look; the end of it too."""
        if self.is_puna:
            reply = self._line.ask("GET", f"/v2/puna/pods/{pod}/events", query={"after": after})
            return Happenings.of(reply)
        try:
            fields = self._line.ask("GET", f"/v2/pods/{pod}")
        except CloudRefused as error:
            if not error.is_not_found:
                raise
            fields = Fields({"status": "TERMINATED"})
        status = fields.text("status")
        return Happenings(
            lines=(),
            after="",
            status=status,
            runs=status == "RUNNING",
            is_gone=status == "TERMINATED",
            an_hour=money_in(fields, "cost"),
            spent=Money(0),
        )

    def logs(
        self, pod: str, *, source: str = "", tail: int = 100, since: str = "", follow: bool = False
    ) -> Iterator[Fields]:
        """Yield lines of a pod's log; with `follow` until the pod ends, across breaks."""
        path, last, tries = f"/v2/pods/{pod}/logs", since, _RECONNECTS
        while tries:
            tail_now = tail if last == since else _MOST_LINES
            query = {"source": source, "tail": tail_now, "follow": follow}
            with suppress(Unreachable) if follow else nullcontext():
                idle_s = None if follow else _IDLE_S
                for number, line in self._line.events(path, query, idle_s=idle_s, last=last):
                    last, tries = number or last, _RECONNECTS
                    yield line
            # A stream that was cut off looks as one that has ended: only the pod tells which.
            if not follow or self.happenings(pod).status in _OVER:
                return
            tries -= 1
            self._line.rest(_PAUSE)
        raise Unreachable(f"the log of {pod} breaks off again and again")

    def spend(self, by: str, query: Mapping[str, object]) -> Spend:
        """Sum what was spent by `day`, `pod`, `project`, `key` or `card`."""
        if not self.is_puna:
            return self._spend_on_runpod(by, query)
        rows: list[Spent] = []
        total = Money(0)
        for page in self._pages("/v2/puna/spend", {**query, "by": by}):
            rows += map(Spent.of, page.each("rows"))
            total = money_in(page, "total")
        return Spend(tuple(rows), total)

    def bill(self, query: Mapping[str, object]) -> Iterator[Fields]:
        """Yield every line of the bill, the oldest first."""
        self._only_puna("lines of bills")
        for page in self._pages("/v2/puna/bill", query):
            yield from page.each("lines")

    def explain(self, line: str) -> Fields:
        """Return where a line of the bill comes from."""
        self._only_puna("lines of bills")
        return self._line.ask("GET", f"/v2/puna/bill/{quote(line, safe=':')}")

    def budgets(self) -> tuple[Limit, ...]:
        """Return every limit and how it stands."""
        self._only_puna("budgets")
        pages = self._pages("/v2/puna/budgets", {})
        return tuple(read(Limit, each) for page in pages for each in page.each("budgets"))

    def set_budget(self, scope: str, owner: str, limit: Money, *, a_day: bool) -> Limit:
        """Set a limit in place of the one over the same thing and period."""
        self._only_puna("budgets")
        amount = str(limit).replace("$", "")
        period = "day" if a_day else "ever"
        body = {"scope": scope, "owner": owner, "period": period, "limit": amount}
        return read(Limit, self._line.ask("PUT", "/v2/puna/budgets", body))

    def remove_budget(self, budget: str) -> None:
        """Forget a limit."""
        self._only_puna("budgets")
        self._line.ask("DELETE", f"/v2/puna/budgets/{quote(budget, safe='')}")

    def projects(self) -> tuple[Fields, ...]:
        """Return the words under which the account rents."""
        self._only_puna("projects")
        return tuple(
            e for page in self._pages("/v2/puna/projects", {}) for e in page.each("projects")
        )

    def keys(self) -> tuple[Fields, ...]:
        """Return the account's keys."""
        self._only_puna("keys by way of its API")
        return tuple(e for page in self._pages("/v2/puna/keys", {}) for e in page.each("keys"))

    def make_key(self, name: str, *, read_only: bool, expires: str) -> Fields:
        """Make a key; `key` of the reply is shown this once."""
        self._only_puna("keys by way of its API")
        body = {"name": name, "readOnly": read_only, "expiresAfter": expires}
        return self._line.ask("POST", "/v2/puna/keys", body)

    def revoke_key(self, key: str) -> None:
        """End a key, by its id, name or beginning."""
        self._only_puna("keys by way of its API")
        self._line.ask("DELETE", f"/v2/puna/keys/{quote(key, safe='')}")

    def ssh_keys(self) -> tuple[str, ...]:
        """Return the account's public keys, by which `ssh` leads into its pods."""
        return self._line.ask("GET", "/v2/account/ssh-keys").texts("keys")

    def set_ssh_keys(self, keys: tuple[str, ...]) -> None:
        """Replace the account's public keys."""
        self._line.ask("PUT", "/v2/account/ssh-keys", {"keys": list(keys)})

    def _pages(self, path: str, query: Mapping[str, object]) -> Iterator[Fields]:
        after = ""
        while True:
            page = self._line.ask("GET", path, query={**query, "limit": _PAGE, "after": after})
            yield page
            after = page.text("after")
            if not after:
                return

    def _spend_on_runpod(self, by: str, query: Mapping[str, object]) -> Spend:
        if by not in {"day", "pod"}:
            raise NotThere(f"RunPod does not sum bills by {by}; it does by day and by pod")
        path = "/v2/billing" if by == "day" and not query.get("pod") else "/v2/billing/pods"
        asked = {"startTime": query.get("start"), "endTime": query.get("end")}
        reply = self._line.ask("GET", path, query={**asked, "podId": query.get("pod")})
        amounts: Counter[str] = Counter()
        for each in reply.each("records"):
            name = each.text("startTime")[:10] if by == "day" else each.text("podId")
            amounts[name] += money_in(each, "totalAmount")
        rows = [
            Spent(id=name, name=name, amount=Money(amount))
            for name, amount in sorted(amounts.items())
        ]
        return Spend(tuple(rows), Money(sum(each.amount for each in rows)))

    def _only_puna(self, what: str) -> None:
        if not self.is_puna:
            raise NotThere(f"RunPod has no {what}", hint="puna's own markets do: puna market serve")
