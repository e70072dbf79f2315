"""The threads in which SQLite works, one for each connection.

Who is cancelled in the middle of a statement leaves its thread at work, which answers to an event
loop in the end. The loop must still be there: a thread that finds it closed ends with a traceback.
"""

import asyncio
import threading
from weakref import WeakSet

import aiosqlite

_PATIENCE_S = 10.0


class Workers:
    """Makes connections, and knows the thread of each that lives."""

    def __init__(self) -> None:
        self._threads: WeakSet[threading.Thread] = WeakSet()

    async def connect(self, path: str, **options: object) -> aiosqlite.Connection:
        """Open a connection, as SQLAlchemy would."""
        connection = aiosqlite.connect(path, **options)  # type: ignore[arg-type]  # SQLAlchemy's own
        thread = connection._thread  # noqa: SLF001 - it has no other name
        thread.daemon = True
        self._threads.add(thread)
        return await connection

    async def have_ended(self) -> None:
        """Wait until the threads of connections that were dropped have ended."""
        for thread in list(self._threads):
            if thread.is_alive():
                await asyncio.to_thread(thread.join, _PATIENCE_S)
