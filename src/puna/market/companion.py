"""An agent on the market's own machine, so that one command is a whole cloud.

It is a process of its own with the rights of whoever started the market, begun again when it ends,
and ended with the market. It joins once, with a token that is made for it.
"""

import asyncio
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from puna.market.actions.accounts import make_join_token
from puna.market.db.accounts import first_operator
from puna.market.domain.hosts import Cloud
from puna.market.market import Market
from puna.units import Span

_LOG = logging.getLogger("puna.market")
_AGAIN = Span.of(seconds=5)
_JOIN_AGAIN = Span.of(minutes=1)
_END_S = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """How to start the agent, and where it keeps who it is once it has joined."""

    program: Sequence[str]
    join: Sequence[str]
    run: Sequence[str]
    identity: Path
    environ: Mapping[str, str]


async def keep_company(market: Market, companion: Companion, url: str) -> None:
    """Let the agent join if it has not, and run it until cancelled."""
    told = None
    while True:
        if not companion.identity.exists() and not await _join(market, companion, url):
            await market.world.wait(_JOIN_AGAIN)
            continue
        code = await _call(companion, companion.run)
        if code != told:  # one of an earlier life may still run, and this one waits for it
            _LOG.warning("the agent of this machine ended with %d and is started again", code)
        told = code
        await market.world.wait(_AGAIN)


async def _join(market: Market, companion: Companion, url: str) -> bool:
    async with market.database.transaction() as tx:
        operator = await first_operator(tx)
        token = await make_join_token(tx, market.world, operator, Cloud.SECURE)
    if code := await _call(companion, [*companion.join, url], said=token):
        _LOG.error("the agent of this machine could not join (exit code %d)", code)
        return False
    return True


async def _call(companion: Companion, words: Sequence[str], *, said: str = "") -> int:
    """Run the agent's program to its end, and end it when cancelled.

    What is said to it is on its input, where no list of processes shows it.
    """
    process = await asyncio.create_subprocess_exec(
        *companion.program,
        *words,
        stdin=asyncio.subprocess.PIPE if said else asyncio.subprocess.DEVNULL,
        env=dict(companion.environ),
        start_new_session=True,
    )
    try:
        if said:
            await process.communicate(said.encode())
        return await process.wait()
    finally:
        if process.returncode is None:
            await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let it end by itself, for it leaves its containers as they should be, or end it."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
