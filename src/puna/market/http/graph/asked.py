"""What every field of the schema may use: the market, who asks, and what was already looked up."""

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Hashable,
    Mapping,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from puna.market.actions.accounts import check_may_write
from puna.market.db.accounts import Caller
from puna.market.db.database import Transaction
from puna.market.http.auth import reading, writing
from puna.market.http.graph.bounds import MOST_HOSTS, QueryTooLarge
from puna.market.market import Market

Shape = Mapping[str, object]
"""An object of the schema, by the names of its fields; what is not in it is null."""
Words = Mapping[str, Any]
"""Arguments as the schema has checked them."""
Field = Callable[..., Awaitable[object] | object]
"""Takes what the field is of (for one of `Query` and `Mutation`, nothing), `Asked`, `Words`."""
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    market: Market
    caller: Caller
    agent: str = ""
    """The program that asks, as it calls itself."""
    _seen: dict[Hashable, asyncio.Task[Any]] = field(default_factory=dict)
    """What several fields want and one looks up."""
    _counted: list[int] = field(default_factory=list)
    """How many hosts each field looked at."""

    @property
    def account(self) -> str:
        """The account that asks."""
        return self.caller.account.id

    @property
    def is_sdk(self) -> bool:
        """Whether RunPod's Python SDK asks, which sends wishes that its user never had."""
        return self.agent.startswith("RunPod-Python-SDK")

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """Yield a transaction that only looks."""
        async with reading(self.market) as tx:
            yield tx

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Transaction]:
        """Yield a transaction that changes something. Raises `ReadOnlyKey`."""
        check_may_write(self.caller)
        async with writing(self.market) as tx:
            yield tx

    def count(self, hosts: int) -> None:
        """Note that hosts are looked at. Raises `QueryTooLarge` where they are too many by now."""
        self._counted.append(hosts)
        if sum(self._counted) > MOST_HOSTS:
            raise QueryTooLarge(
                f"the request looks at more than {MOST_HOSTS} hosts",
                hint="ask for the price of fewer cards at once",
            )

    async def once(self, what: Hashable, look: Callable[[], Coroutine[Any, Any, Found]]) -> Found:
        """Look something up once for the whole request, whichever field asks first."""
        if what not in self._seen:
            self._seen[what] = asyncio.create_task(look())
        found: Found = await self._seen[what]
        return found
