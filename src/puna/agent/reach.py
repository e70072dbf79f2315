"""What the gateway reaches on this machine: ports, shells and logs of pods that run here."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import partial

from puna.agent.engine import Engine
from puna.agent.execs import Exec, TerminalSize
from puna.agent.keeper import Keeper
from puna.agent.shown import Shown
from puna.agent.tunnel import NoSuchPod, Shell
from puna.units import Span
from puna.wire.tunnel import Ask, LogLine, Size
from puna.world import World

_ANY_SHELL = ("/bin/sh", "-c", "command -v bash > /dev/null && exec bash -l || exec sh -l")
"""The best shell of an image that has one."""
_MOMENT = Span.of(ms=50)
_MOST_MOMENTS = 100
_KILLED = 137


class PodReach:
    """Finds pods by what the keeper last saw."""

    def __init__(
        self,
        world: World,
        engine: Engine,
        keeper: Keeper,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._world = world
        self._engine = engine
        self._keeper = keeper
        self._note = note

    async def address(self, pod: str, port: int) -> tuple[str, int]:
        """Return where a port of a pod is on this machine. Raises `NoSuchPod`, `NotOnEngine`."""
        found = self._running(pod).container.id
        self._note(pod)
        return await self._engine.address(found, port)

    async def shell(self, pod: str, ask: Ask) -> Shell:
        """Begin a shell or a command in a pod. Raises `NoSuchPod`, and what the engine says."""
        env: Mapping[str, str] = dict(ask.environ)
        if ask.terminal:
            env = {"TERM": ask.terminal, **env}
        began = await self._engine.exec(
            self._running(pod).container.id,
            ask.words or _ANY_SHELL,
            tty=bool(ask.terminal),
            size=_size(ask.size),
            env=env,
        )
        self._note(pod)
        return PodShell(self._world, began, partial(self._note, pod))

    async def logs(self, pod: str, ask: Ask) -> AsyncIterator[LogLine]:
        """Return what the pod's container wrote, and writes. Raises as `shell`."""
        container = self._newest(pod).container.id
        return self._lines(container, ask)

    async def _lines(self, container: str, ask: Ask) -> AsyncIterator[LogLine]:
        lines = self._engine.logs(container, since=ask.since, tail=ask.tail, follow=ask.follow)
        async for line in lines:
            yield LogLine(at=line.at, text=line.text)

    def _running(self, pod: str) -> Shown:
        found = next((each for each in self._of(pod) if each.is_running), None)
        if found is None:
            raise NoSuchPod(f"no container of pod {pod} runs here")
        return found

    def _newest(self, pod: str) -> Shown:
        found = self._of(pod)
        if not found:
            raise NoSuchPod(f"there is no container of pod {pod} here")
        return max(found, key=lambda each: (each.is_running, each.container.run))

    def _of(self, pod: str) -> list[Shown]:
        return [each for each in self._keeper.shown if each.container.pod == pod]


class PodShell:
    """A program in a pod, ended with whoever listened to it."""

    def __init__(self, world: World, began: Exec, note: Callable[[], None]) -> None:
        self._world = world
        self._began = began
        self._note = note

    async def read(self) -> tuple[bool, bytes] | None:
        """Return whether it is an error output and what it wrote; None at the end."""
        return await self._began.read()

    async def write(self, data: bytes) -> None:
        """Let it read some bytes."""
        self._note()
        await self._began.write(data)

    async def end_input(self) -> None:
        """Let it read the end."""
        await self._began.end_input()

    async def resize(self, size: Size) -> None:
        """Tell it the size of its terminal."""
        await self._began.resize(_size(size))

    async def signal(self, name: str) -> None:
        """Send it a signal, and what it has started in its group, as SSH servers do."""
        pid = await self._began.running_pid()
        number = signal.Signals[f"SIG{name}"]
        if pid:
            with suppress(OSError):
                if os.getpgid(pid) == pid:
                    os.killpg(pid, number)
                else:
                    os.kill(pid, number)

    async def exit_code(self) -> int:
        """Return how it ended; the engine knows a moment after its output has."""
        for _ in range(_MOST_MOMENTS):
            code = await self._began.exit_code()
            if code is not None:
                return code
            await self._world.wait(_MOMENT)
        return _KILLED

    async def close(self) -> None:
        """End it if it has not ended: it is hung up on, as by a terminal."""
        pid = await self._began.running_pid()
        if pid:
            with suppress(OSError):
                os.kill(pid, signal.SIGHUP)
        await self._began.close()


def _size(size: Size) -> TerminalSize:
    return TerminalSize(columns=size.columns, rows=size.rows)
