"""`ssh POD@GATEWAY`: a shell, a command, files and ports of a pod, by the account's keys.

The shell is opened by the host's agent in the pod's container, so it works in any image that has a
`/bin/sh`, with the pod's own environment; no SSH server is needed in it.
"""

import asyncio
from contextlib import suppress

import asyncssh

from puna.errors import PunaError
from puna.market.gateway.directory import Directory, NoSuchPod, check_runs, pod_in, reach
from puna.market.gateway.pump import BROKEN
from puna.market.gateway.tunnels import Stream, Tunnels
from puna.wire.tunnel import SIGNALS, Ask, Exited, Kind, Size, frame, read_frame

_SFTP = (
    "for each in /usr/lib/openssh /usr/lib/ssh /usr/libexec /usr/libexec/openssh; do "
    'if [ -x "$each/sftp-server" ]; then exec "$each/sftp-server"; fi; done; '
    "echo 'the image has no sftp-server: install openssh-sftp-server in it, or use tar over ssh'"
    " >&2; exit 127"
)
_PASSED_ON = ("LANG", "LC_", "TERM", "COLORTERM")
_MOST_WAITING = 8
_FAILED = 255
"""What OpenSSH's own client exits with when it is the connection that fails."""


class Visits:
    """What renters do over SSH in their pods."""

    def __init__(self, directory: Directory, tunnels: Tunnels) -> None:
        self._directory = directory
        self._tunnels = tunnels

    async def keys_of(self, pod: str) -> tuple[str, ...]:
        """Return the public keys, in one line each, by which a pod can be visited."""
        try:
            route = await self._directory.route(pod_in(pod))
        except NoSuchPod:
            return ()
        return tuple(" ".join(key.split()[:2]) for key in route.public_keys)

    def session(self, pod: str) -> asyncssh.SSHServerSession[bytes]:
        """Return a visitor's new shell or command in a pod."""
        return _Visit(self, pod_in(pod))

    async def open(self, pod: str, port: int) -> Stream:
        """Open a stream to a port of the pod for its renter. Raises as `reach`."""
        return await reach(self._tunnels, await self._directory.route(pod_in(pod)), port)

    async def ask(self, pod: str, ask: Ask) -> Stream:
        """Begin a shell in a pod. Raises as `reach`."""
        route = await self._directory.route(pod)
        check_runs(route)
        return await self._tunnels.ask(route.host, route.pod, ask)


class _Visit(asyncssh.SSHServerSession[bytes]):
    """One shell, command or file transfer."""

    def __init__(self, visits: Visits, pod: str) -> None:
        self._visits = visits
        self._pod = pod
        self._ask = Ask(kind="shell")
        self._typed: asyncio.Queue[bytes] = asyncio.Queue()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._running: asyncio.Task[None] | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._running is not None:
            self._running.cancel()

    def pty_requested(
        self, term_type: str, term_size: tuple[int, int, int, int], term_modes: object
    ) -> bool:
        del term_modes
        changes = {"terminal": term_type or "xterm", "size": _size(*term_size[:2])}
        self._ask = self._ask.model_copy(update=changes)
        return True

    def shell_requested(self) -> bool:
        return True

    def exec_requested(self, command: str) -> bool:
        self._ask = self._ask.model_copy(update={"words": ("/bin/sh", "-c", command)})
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        self._ask = self._ask.model_copy(update={"words": ("/bin/sh", "-c", _SFTP)})
        return subsystem == "sftp"

    def session_started(self) -> None:
        given = self._channel.get_environment()
        environ = {name: text for name, text in given.items() if name.startswith(_PASSED_ON)}
        self._ask = self._ask.model_copy(update={"environ": environ})
        self._running = asyncio.ensure_future(self._run())

    def data_received(self, data: bytes, datatype: object) -> None:
        del datatype
        self._send(frame(Kind.INPUT, data))

    def eof_received(self) -> bool:
        self._send(frame(Kind.END))
        return True

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        del pixwidth, pixheight
        self._send(frame(Kind.RESIZE, _size(width, height)))

    def signal_received(self, signal: str) -> None:
        if signal in SIGNALS:
            self._send(frame(Kind.SIGNAL, signal.encode()))

    def break_received(self, msec: int) -> bool:
        """Take a break for what a terminal makes of it."""
        del msec
        self.signal_received("INT")
        return True

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def _send(self, piece: bytes) -> None:
        self._typed.put_nowait(piece)
        if self._typed.qsize() >= _MOST_WAITING:
            self._channel.pause_reading()

    async def _run(self) -> None:
        try:
            stream = await self._visits.ask(self._pod, self._ask)
        except PunaError as error:
            text = f"{error.message}\r\n".encode()
            self._channel.write(text, asyncssh.EXTENDED_DATA_STDERR)
            self._channel.exit(_FAILED)
            return
        typing = asyncio.ensure_future(self._type(stream))
        code = _FAILED
        try:
            with suppress(ValueError, *BROKEN):
                code = await self._show(stream)
            self._channel.exit(code)
        finally:
            typing.cancel()
            stream.close()

    async def _type(self, stream: Stream) -> None:
        with suppress(*BROKEN):
            while True:
                stream.writer.write(await self._typed.get())
                await stream.writer.drain()
                if self._typed.empty():
                    self._channel.resume_reading()

    async def _show(self, stream: Stream) -> int:
        while True:
            kind, payload = await read_frame(stream.reader)
            if kind is Kind.EXIT:
                return Exited.model_validate_json(payload).code
            is_error = kind is Kind.ERRORS
            self._channel.write(payload, asyncssh.EXTENDED_DATA_STDERR if is_error else None)
            await self._may_write.wait()


def _size(columns: int, rows: int) -> Size:
    return Size(columns=min(max(columns, 1), 1000), rows=min(max(rows, 1), 1000))
