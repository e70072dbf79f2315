"""What an agent reaches, without containers: pods are ports and processes of this machine."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

from puna.agent.tunnel import NoSuchPod, Shell
from puna.wire.tunnel import Ask, LogLine, Size


@dataclass
class FakeReach:
    """Pods by their id, with what listens on this machine for each of their ports."""

    ports: dict[tuple[str, int], int] = field(default_factory=dict)
    lines: dict[str, list[LogLine]] = field(default_factory=dict)
    asked: list[Ask] = field(default_factory=list)
    shells: list["FakeShell"] = field(default_factory=list)
    greeting: bytes = b""
    """What each shell says first."""
    typed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when something was typed into a shell."""
    more: asyncio.Queue[LogLine] = field(default_factory=asyncio.Queue)
    """Lines that whoever follows a log gets."""

    async def address(self, pod: str, port: int) -> tuple[str, int]:
        if (pod, port) not in self.ports:
            raise NoSuchPod(f"no container of pod {pod} runs here")
        return "127.0.0.1", self.ports[pod, port]

    async def shell(self, pod: str, ask: Ask) -> Shell:
        if pod not in self.lines:
            raise NoSuchPod(f"no container of pod {pod} runs here")
        self.asked.append(ask)
        process = await asyncio.create_subprocess_exec(
            *(ask.words or ("/bin/sh",)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", **ask.environ},
            start_new_session=True,
        )
        shell = FakeShell(process, self)
        self.shells.append(shell)
        return shell

    async def logs(self, pod: str, ask: Ask) -> AsyncIterator[LogLine]:
        if pod not in self.lines:
            raise NoSuchPod(f"no container of pod {pod} runs here")
        self.asked.append(ask)
        return self._written(pod, ask)

    async def _written(self, pod: str, ask: Ask) -> AsyncIterator[LogLine]:
        kept = [line for line in self.lines[pod] if line.at > ask.since]
        for line in kept[len(kept) - ask.tail :] if ask.tail < len(kept) else kept:
            yield line
        while ask.follow:
            yield await self.more.get()


class FakeShell:
    """A process of this machine."""

    def __init__(self, process: asyncio.subprocess.Process, reach: FakeReach) -> None:
        self._process = process
        self._reach = reach
        self.typed = bytearray()
        self._said: asyncio.Queue[tuple[bool, bytes] | None] = asyncio.Queue()
        if reach.greeting:
            self._said.put_nowait((False, reach.greeting))
        self._listening = asyncio.ensure_future(self._listen())
        self.sizes: list[Size] = []
        self.closed = asyncio.Event()

    async def read(self) -> tuple[bool, bytes] | None:
        return await self._said.get()

    async def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self.typed += data
        self._reach.typed.set()
        self._process.stdin.write(data)
        with suppress(ConnectionError):
            await self._process.stdin.drain()

    async def end_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def resize(self, size: Size) -> None:
        self.sizes.append(size)
        self._said.put_nowait((False, f"{size.columns}x{size.rows}\n".encode()))

    async def signal(self, name: str) -> None:
        os.killpg(self._process.pid, signal.Signals[f"SIG{name}"])

    async def exit_code(self) -> int:
        return await self._process.wait()

    async def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # and what the shell has started
        await self._process.wait()
        await self._listening
        self.closed.set()

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        outputs = ((False, self._process.stdout), (True, self._process.stderr))
        await asyncio.gather(*(self._hear(*each) for each in outputs))
        self._said.put_nowait(None)

    async def _hear(self, is_error: bool, output: asyncio.StreamReader) -> None:
        while text := await output.read(2**16):
            self._said.put_nowait((is_error, text))
