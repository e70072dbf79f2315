"""The life of one child process: start, ready, questions, end. No child is ever left behind.

Whatever ends a load or a node, the child ends too: it is killed and reaped when a load fails or is
cancelled, it ends itself when its standard input closes, and on Linux the kernel kills it with its
parent. Its end, for whatever reason, is one fact that everybody can await.
"""

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from typing import Self

from puna.chat.messages import Json
from puna.node.engine.last_words import KEPT_BYTES, epitaph

_PROGRAM = ("-P", "-X", "faulthandler", "-m", "puna.node.engine.worker")
_GRACE_S = 2.0
_LONGEST_REPORT = 2**28
_LOST_SCHEMA = b"llg error"

Report = Mapping[str, object]
"""A line that the worker wrote; empty when it ended without."""


class Child:
    """One worker process. Made by `start`; whoever made it awaits `stop`."""

    def __init__(self, process: Process, at_end: Callable[[], None]) -> None:
        self._process = process
        self._at_end = at_end
        self._log = bytearray()
        self.lost_schemas = 0
        """How often llama.cpp has said that it gave up a JSON schema; it goes on without it."""
        self._is_stopped = False
        self._ready: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        self._answers: dict[int, asyncio.Future[Report]] = {}
        self._asked = 0
        self._life = asyncio.create_task(self._live(), name=f"engine process {process.pid}")

    @classmethod
    async def start(cls, parameters: Mapping[str, Json], at_end: Callable[[], None]) -> Self:
        """Start a worker and tell it what to load. `at_end` is called once the process is over."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *_PROGRAM,
            str(os.getpid()),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            limit=_LONGEST_REPORT,
            start_new_session=True,  # Ctrl-C in a terminal is for the parent alone
        )
        child = cls(process, at_end)
        child._send(parameters)
        return child

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        """Whether the process is over and reaped."""
        return self._life.done()

    @property
    def epitaph(self) -> str:
        """How the process ended and why, in one line."""
        if self._is_stopped:
            return "the engine was stopped"
        return epitaph(self._process.returncode, bytes(self._log))

    @property
    def log(self) -> bytes:
        """The end of what it wrote to standard error."""
        return bytes(self._log)

    async def ready(self) -> Report:
        """Return the worker's report on its load."""
        return await asyncio.shield(self._ready)

    async def check(self, schema: Mapping[str, Json]) -> Report:
        """Return the worker's opinion of a JSON schema."""
        return await self.ask({"schema": schema})

    async def ask(self, words: Mapping[str, Json]) -> Report:
        """Return the worker's answer to a question; empty if it ended without one."""
        self._asked += 1
        number = self._asked
        answer: asyncio.Future[Report] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        try:
            self._send({"check": number, **words})
            if self._life.done():
                return {}
            return await answer
        finally:
            del self._answers[number]

    async def ended(self, *, within_s: float | None = None) -> bool:
        """Return when the process is over and reaped, or after `within_s` seconds; tell which."""
        await asyncio.wait((self._life,), timeout=within_s)
        return self._life.done()

    async def stop(self) -> None:
        """End the process: at once while it loads, else after a short grace. Again does nothing."""
        self._is_stopped = self._is_stopped or not self._life.done()
        self._pipe_in.close()
        if not (self._ready.done() and await self.ended(within_s=_GRACE_S)):
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self.ended()

    @property
    def _pipe_in(self) -> asyncio.StreamWriter:
        assert self._process.stdin is not None  # noqa: S101 - asked for in `start`
        return self._process.stdin

    def _send(self, words: Mapping[str, Json]) -> None:
        self._pipe_in.write(json.dumps(words).encode() + b"\n")

    async def _live(self) -> None:
        try:
            await asyncio.gather(self._read_reports(), self._keep_log(), self._process.wait())
        finally:
            self._pipe_in.close()
            for waiting in (self._ready, *self._answers.values()):
                if not waiting.done():
                    waiting.set_result({})
            self._at_end()

    async def _read_reports(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - asked for in `start`
        async for line in self._process.stdout:
            report: dict[str, object] = json.loads(line)
            number = report.get("check")
            waiting = self._answers.get(number) if isinstance(number, int) else self._ready
            if waiting is not None and not waiting.done():
                waiting.set_result(report)

    async def _keep_log(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - asked for in `start`
        edge = len(_LOST_SCHEMA) - 1
        while block := await self._process.stderr.read(KEPT_BYTES):
            self.lost_schemas += (bytes(self._log[-edge:]) + block).count(_LOST_SCHEMA)
            self._log += block
            del self._log[:-KEPT_BYTES]
