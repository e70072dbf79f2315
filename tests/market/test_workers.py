"""Threads of SQLite end before the loop that they answer to does."""

import asyncio
import threading
from pathlib import Path

from sqlalchemy import text

from puna.market.db.database import Database, sqlite_address

LONG = """with recursive n(i) as (select 1 union all select i + 1 from n where i < 300000)
select sum(i) from n"""


async def leave_in_the_middle(folder: Path) -> None:
    database = await Database.open(sqlite_address(folder / "market.db"))
    asked = asyncio.Event()

    async def ask() -> None:
        async with database.transaction() as tx:
            asked.set()
            await tx.execute(text(LONG))

    asking = asyncio.create_task(ask())
    await asked.wait()
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait({asking})
    await database.close()


def test_who_is_cancelled_in_the_middle_of_a_statement_leaves_no_thread(tmp_path: Path) -> None:
    """The test fails by the thread's own traceback too, which pytest makes an error."""
    before = set(threading.enumerate())
    asyncio.run(leave_in_the_middle(tmp_path))
    assert set(threading.enumerate()) <= before
