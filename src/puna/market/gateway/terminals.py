"""The web terminal's socket: what is typed in a page goes to a shell in a pod.

A ticket opens it, once, within a minute: it travels as the WebSocket's protocol, so that neither it
nor a key ever stands in an address. A page of another origin is refused, whatever it has.
"""

import asyncio
from contextlib import suppress

from pydantic import ValidationError

from puna.errors import Denied, PunaError
from puna.market.actions.shares import use_ticket
from puna.market.db.database import Database
from puna.market.gateway.client import ClientSide
from puna.market.gateway.directory import Directory, check_runs
from puna.market.gateway.exchange import SWITCHED
from puna.market.gateway.flows import Inflow
from puna.market.gateway.heads import Request
from puna.market.gateway.places import Place
from puna.market.gateway.proxy import error_answer
from puna.market.gateway.pump import BROKEN
from puna.market.gateway.tunnels import Stream, Tunnels
from puna.market.gateway.websocket import Messages, Opcode, accepted, closing, message
from puna.wire.tunnel import Ask, Exited, Kind, Size, frame, read_frame
from puna.world import World

PROTOCOL = "puna-terminal"
_TICKET = "ticket."
_NORMAL, _GOING, _REFUSED = 1000, 1001, 1008


class ForeignOrigin(Denied):
    """A page of another origin wants a terminal."""

    code = "foreign_origin"


class BadTicket(Denied):
    """The ticket is unknown, used or over."""

    code = "bad_ticket"
    status = 401


class Terminals:
    """Opens terminals."""

    def __init__(
        self, database: Database, world: World, directory: Directory, tunnels: Tunnels
    ) -> None:
        self._database = database
        self._world = world
        self._directory = directory
        self._tunnels = tunnels

    async def answer(
        self, request: Request, place: Place, inflow: Inflow, client: ClientSide
    ) -> int:
        """Answer a request for a terminal's socket and return the status.

        The connection ends with it.
        """
        try:
            await self._check(request, place)
            client.write(accepted(request.one_of("sec-websocket-key"), PROTOCOL))
        except PunaError as error:
            client.write(error_answer(error, keeps=False))
            return error.status
        try:
            stream = await self._open(place)
        except PunaError as error:
            client.write(message(Opcode.TEXT, f"{error.message}\r\n".encode()))
            client.write(closing(_REFUSED, error.message))
            return SWITCHED
        await _converse(stream, inflow, client)
        return SWITCHED

    async def _check(self, request: Request, place: Place) -> None:
        origin = request.one_of("origin")
        if origin not in {f"http://{request.host}", f"https://{request.host}"}:
            raise ForeignOrigin("a terminal is opened by the market's own page alone")
        if not request.is_websocket or request.one_of("sec-websocket-version") != "13":
            raise BadTicket("a terminal is a WebSocket")
        offered = [
            each.strip()
            for value in request.all_of("sec-websocket-protocol")
            for each in value.split(",")
        ]
        tickets = [each.removeprefix(_TICKET) for each in offered if each.startswith(_TICKET)]
        async with self._database.transaction() as tx:
            for each in tickets[:1]:
                if await use_ticket(tx, self._world, place.pod, each):
                    return
        raise BadTicket("the ticket is unknown, used or over", hint="open the page again")

    async def _open(self, place: Place) -> Stream:
        route = await self._directory.route(place.pod)
        check_runs(route)
        ask = Ask(kind="shell", terminal="xterm-256color")
        return await self._tunnels.ask(route.host, route.pod, ask)


async def _converse(stream: Stream, inflow: Inflow, client: ClientSide) -> None:
    """Move what is typed and what is shown, until the shell ends or the page goes."""
    typing = asyncio.ensure_future(_type(stream, Messages(inflow, client)))
    showing = asyncio.ensure_future(_show(stream, client))
    try:
        await asyncio.wait({typing, showing}, return_when=asyncio.FIRST_COMPLETED)
        is_shown = showing.done() and showing.exception() is None
        client.write(closing(_NORMAL, showing.result()) if is_shown else closing(_GOING))
    finally:
        for each in (typing, showing):
            each.cancel()
        await asyncio.gather(typing, showing, return_exceptions=True)
        stream.close()


async def _type(stream: Stream, messages: Messages) -> None:
    """Bytes are typed, text is the terminal's new size."""
    with suppress(*BROKEN, PunaError):
        while (sent := await messages.next()) is not None:
            opcode, payload = sent
            if opcode is Opcode.TEXT:
                with suppress(ValidationError):
                    size = Size.model_validate_json(payload)
                    stream.writer.write(frame(Kind.RESIZE, size))
            else:
                stream.writer.write(frame(Kind.INPUT, payload))
            await stream.writer.drain()


async def _show(stream: Stream, client: ClientSide) -> str:
    """Show what the shell writes, and return how it ended."""
    while True:
        kind, payload = await read_frame(stream.reader)
        if kind is Kind.EXIT:
            return f"the shell ended with {Exited.model_validate_json(payload).code}"
        client.write(message(Opcode.BYTES, payload))
        await client.drain()
