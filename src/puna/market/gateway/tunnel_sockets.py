"""Hosts' tunnels over WebSockets, for networks that let HTTPS out and no SSH.

Inside is the connection that would come to the SSH door, and it is shown in there. The host's key,
which it needs for every report too, keeps everybody else from this door.
"""

import asyncio
from contextlib import suppress

from puna.errors import Invalid, PunaError
from puna.market.actions.hosting import host_by
from puna.market.db.database import Database
from puna.market.gateway.admission import bearer_of
from puna.market.gateway.client import ClientSide
from puna.market.gateway.crowd import address_of
from puna.market.gateway.door import Door
from puna.market.gateway.exchange import SWITCHED
from puna.market.gateway.flows import Inflow
from puna.market.gateway.heads import Request
from puna.market.gateway.places import Place
from puna.market.gateway.proxy import error_answer
from puna.market.gateway.pump import BROKEN
from puna.market.gateway.replies import caller_of
from puna.market.gateway.websocket import Messages, Opcode, accepted, closing, message
from puna.wire.carried import PROTOCOL, Carried

_GOING = 1001


class NotASocket(Invalid):
    """What asks for a tunnel's socket speaks no WebSocket, or another protocol over it."""

    code = "not_a_socket"
    status = 426


class TunnelSockets:
    """Lets hosts in."""

    def __init__(self, database: Database, door: Door) -> None:
        self._database = database
        self._door = door

    async def answer(
        self, request: Request, place: Place, inflow: Inflow, client: ClientSide
    ) -> int:
        """Carry a host's SSH connection until it ends, and return the status."""
        del place
        try:
            await self._check(request)
            client.write(accepted(request.one_of("sec-websocket-key"), PROTOCOL))
        except PunaError as error:
            client.write(error_answer(error, keeps=False))
            return error.status
        address = caller_of(request, address_of(client.transport))
        await self._carry(inflow, client, address)
        return SWITCHED

    async def _check(self, request: Request) -> None:
        """Raise `NotASocket`, `UnknownHost`."""
        if not request.is_websocket or request.one_of("sec-websocket-version") != "13":
            raise NotASocket("this is where agents open a WebSocket")
        if PROTOCOL not in request.one_of("sec-websocket-protocol").replace(",", " ").split():
            raise NotASocket(f"the WebSocket's protocol is {PROTOCOL}")
        async with self._database.reading() as tx:
            await host_by(tx, bearer_of(request))

    async def _carry(self, inflow: Inflow, client: ClientSide, address: str) -> None:
        def end() -> None:
            client.write(closing(_GOING))
            client.close()

        def send(piece: bytes) -> None:
            client.write(message(Opcode.BYTES, piece))

        carried = Carried(send, end, (address, 0))
        greeting = asyncio.ensure_future(self._door.welcome(carried))
        try:
            with suppress(*BROKEN, PunaError):
                messages = Messages(inflow, client)
                while not carried.is_closing() and (sent := await messages.next()):
                    carried.feed(sent[1])
        finally:
            carried.lost()
            greeting.cancel()
            await asyncio.gather(greeting, return_exceptions=True)
