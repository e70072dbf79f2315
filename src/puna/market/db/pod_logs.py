"""What containers wrote last, kept after their end: packed, and not without end."""

import json
import zlib
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select

from puna.market.db.database import Transaction
from puna.market.db.tables import pod_logs

_MOST_RUNS = 3
Written = tuple[str, str]
"""The moment as the container's log has it, and the text."""


async def keep_lines(
    tx: Transaction, pod: str, run: int, lines: Sequence[Written], now: datetime
) -> None:
    """Keep the last lines of a run instead of those that are kept of it, and of the last runs."""
    packed = zlib.compress(json.dumps(lines, ensure_ascii=False).encode(errors="replace"))
    same = (pod_logs.c.pod == pod, pod_logs.c.run == run)
    await tx.execute(delete(pod_logs).where(*same))
    await tx.execute(insert(pod_logs).values(pod=pod, run=run, lines=packed, at=now))
    runs = select(pod_logs.c.run).where(pod_logs.c.pod == pod).order_by(pod_logs.c.run.desc())
    kept = [row.run for row in await tx.execute(runs.limit(_MOST_RUNS))]
    old = (pod_logs.c.pod == pod, pod_logs.c.run < min(kept))
    await tx.execute(delete(pod_logs).where(*old))


async def kept_lines(tx: Transaction, pod: str) -> Sequence[Written]:
    """Return what is kept of a pod's containers, the oldest run first."""
    wanted = select(pod_logs.c.lines).where(pod_logs.c.pod == pod).order_by(pod_logs.c.run)
    rows = (await tx.execute(wanted)).all()
    return [(at, text) for row in rows for at, text in json.loads(zlib.decompress(row.lines))]
