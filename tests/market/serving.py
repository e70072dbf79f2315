"""A market that answers over HTTP on a real socket, in this process; its hosts obey over HTTP."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
from fastapi import APIRouter

from puna.market.actions.accounts import (
    KeyWish,
    first_admin,
    grant_credit,
    make_join_token,
    make_key,
    open_account,
)
from puna.market.db.database import Database, sqlite_address
from puna.market.domain.hosts import Cloud
from puna.market.gateway.gateway import Gateway
from puna.market.loops.meter_usage import Tariff
from puna.market.loops.runner import run_loops
from puna.market.market import Market
from puna.market.server import Server, gateway_of, uvicorn_config
from puna.market.settings import MarketSettings, load_market_settings
from puna.node.api.listening import bound, listen_at
from puna.settings import Address
from puna.units import Money, Span
from puna.wire.agent import PATH, Join, Joined, Orders, Report
from puna.world import RealWorld
from tests.market.instant import instant_database
from tests.market.stage import MACHINE, PATIENT, SEAL, TERMS, TICK, FakeHost, Stage
from tests.worlds import FakeWorld


class ActualWorld(FakeWorld):
    """The time and chance of everybody, for a stage whose market really waits."""

    def now(self) -> datetime:
        return RealWorld().now()

    def elapsed(self) -> Span:
        return RealWorld().elapsed()

    def token(self) -> str:
        return RealWorld().token()

    async def wait(self, span: Span) -> None:
        await RealWorld().wait(span)

    async def advance(self, span: Span) -> None:
        await self.wait(span)


@dataclass(frozen=True)
class Reply:
    """An answer, read whole, whatever its status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever the market says
        return json.loads(self.body)


@dataclass
class MarketServing(Stage):
    """A stage whose hosts join and report over HTTP, and whose renters ask by `ask`."""

    market: Market = field(kw_only=True)
    gateway: Gateway = field(kw_only=True)
    url: str = field(kw_only=True)
    admin_key: str = field(kw_only=True)
    session: aiohttp.ClientSession = field(kw_only=True)

    async def ask(
        self, method: str, path: str, body: object = None, *, key: str = "", **headers: str
    ) -> Reply:
        """Ask the market and read the reply. `x_y="z"` sends the header X-Y."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key:
            sent["Authorization"] = f"Bearer {key}"
        reply = self.session.request(method, self.url + path, json=body, headers=sent)
        async with reply as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def key(self, email: str, credit: str = "0", wish: KeyWish | None = None) -> str:
        """Open an account with credit, and return the secret of a key of its."""
        async with self.database.transaction() as tx:
            account = await open_account(tx, self.world, email)
            made = await make_key(tx, self.world, account.id, wish)
            if amount := Money.parse(credit):
                await grant_credit(tx, self.world, email, amount, key=email)
        return made.secret

    async def host(self, name: str = "box", **changes: object) -> FakeHost:
        """Let a machine of `NAME@example.org` join over HTTP."""
        owner = await self.account(f"{name}@example.org")
        async with self.database.transaction() as tx:
            token = await make_join_token(tx, self.world, owner.account.id, Cloud.COMMUNITY)
        machine, terms = MACHINE.model_copy(update=changes), TERMS.model_copy(update=changes)
        request = Join(token=token, name=name, machine=machine, terms=terms)
        reply = await self.ask("POST", f"{PATH}/join", request.model_dump(mode="json"))
        joined = Joined.model_validate_json(reply.body)
        host = FakeHost(joined.host, joined.key, owner.account.id, machine, terms)
        self.hosts.append(host)
        return host

    async def report(self, host: FakeHost, **changes: object) -> Orders:
        """Let a host do what it was told and report over HTTP what it sees."""
        host.obey(self.world)
        host.sequence += 1
        report = Report(
            sequence=host.sequence,
            now=self.world.now(),
            machine=host.machine,
            terms=host.terms,
            pods=list(host.shown.values()),
        ).model_copy(update=changes)
        message = report.model_dump(mode="json")
        reply = await self.ask("POST", f"{PATH}/report", message, key=host.key)
        assert reply.status == 200, reply.body
        host.orders = Orders.model_validate_json(reply.body)
        return host.orders


@asynccontextmanager
async def market_serving(
    folder: Path,
    *,
    in_real_time: bool = False,
    database: str = "",
    runs_loops: bool = False,
    extra: APIRouter | None = None,
    **settings: object,
) -> AsyncIterator[MarketServing]:
    """Serve a market from `folder` until the block ends; `settings` replace those of the same name,
    and the paths of `extra` come first.

    Without `runs_loops` only `tick` lets the loops take a turn. Its time
    is the test's own unless it is `in_real_time`.
    """
    world = ActualWorld() if in_real_time else FakeWorld()
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(
            listen_at(Address(port=0), in_use=_never, variable="PUNA_MARKET_ADDRESS")
        )
        here = bound(Address(port=0), listener)
        wanted = _settings(folder, database, {"address": here, **settings})
        is_instant = not (in_real_time or database or (folder / "market.db").exists())
        opened = instant_database(folder) if is_instant else await Database.open(wanted.database)
        stack.push_async_callback(opened.close)
        market = Market(
            database=opened,
            world=world,
            tariff=Tariff(tick=TICK, fee_share=wanted.fee_share, rules=PATIENT),
            settings=wanted,
            seal=SEAL,
        )
        async with opened.transaction() as tx:
            admin = await first_admin(tx, market.world)
        gateway = await stack.enter_async_context(gateway_of(market))
        await stack.enter_async_context(
            _answering(market, gateway, listener, runs_loops=runs_loops, extra=extra)
        )
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield MarketServing(
            opened,
            world,
            tariff=market.tariff,
            market=market,
            gateway=gateway,
            url=here.url,
            admin_key=admin.secret if admin else "",
            session=session,
        )


def _settings(folder: Path, database: str, changes: Mapping[str, object]) -> MarketSettings:
    settings = load_market_settings({"PUNA_MARKET_HOME": str(folder), "HOME": str(folder)})
    address = database or sqlite_address(folder / "market.db")
    values = {
        "database": address,
        "ssh_address": Address(port=0),
        "fee_share": 1000,
        **changes,
    }
    return replace(settings, **values)  # type: ignore[arg-type]


@asynccontextmanager
async def _answering(
    market: Market,
    gateway: Gateway,
    listener: socket.socket,
    *,
    runs_loops: bool,
    extra: APIRouter | None,
) -> AsyncIterator[None]:
    server = Server(uvicorn_config(market, gateway, *([extra] if extra else [])), market.bells)
    tasks: set[asyncio.Task[None]] = set()
    tasks.add(asyncio.create_task(server.serve(sockets=[listener])))
    if runs_loops:
        loops = asyncio.create_task(run_loops(market))
    try:
        yield
    finally:
        server.stop()
        server.stop()
        if runs_loops:
            loops.cancel()
            tasks.add(loops)
        await asyncio.wait(tasks)


def _never(address: Address) -> Any:  # noqa: ANN401 - port 0 is never in use
    raise AssertionError(address)
