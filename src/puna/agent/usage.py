"""What pods use of their machine, and whether that counts as being used. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from puna.units import Span
from puna.wire.agent import CardUse, UseReport

LEAST_SHARE = 0.05
"""Of one processor, and of a card: an idle server takes less."""
_LEAST_BYTES_S = 1000
"""Of the network: what bridges say to each other is less."""
_NS = 1_000_000_000
_WHOLE = 100.0


@dataclass(frozen=True, slots=True)
class Counted:
    """What a container has used since it began, and the memory that it has now."""

    at: Span
    processor_ns: int = 0
    network: int = 0
    """Bytes, both ways."""
    memory: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What is known of a pod that runs."""

    active: datetime
    """When something last happened in it, by this machine's time of day."""
    use: UseReport | None = None
    """None where it is not measured, or has been looked at only once."""


def is_busy(before: Counted, after: Counted, cards: Sequence[CardUse] = ()) -> bool:
    """Tell whether a container did something between two looks; a new one has begun by then."""
    if any(each.busy >= LEAST_SHARE * _WHOLE for each in cards):
        return True
    span = (after.at - before.at) / _NS
    if span <= 0:
        return False
    share = (after.processor_ns - before.processor_ns) / _NS / span
    rate = (after.network - before.network) / span
    return share >= LEAST_SHARE or rate >= _LEAST_BYTES_S


def use_of(
    before: Counted, after: Counted, *, processors: int, memory: int, cards: Sequence[CardUse] = ()
) -> UseReport | None:
    """Return what a container used between two looks, in hundredths of what it was rented."""
    span = after.at - before.at
    if span <= 0 or processors <= 0 or memory <= 0:
        return None
    return UseReport(
        processor=_share(after.processor_ns - before.processor_ns, span * processors),
        memory=_share(after.memory, memory),
        cards=list(cards),
    )


def counted_in(stats: Mapping[str, Any], at: Span) -> Counted:
    """Return what an engine's statistics of a container say."""
    processor = stats.get("cpu_stats") or {}
    total = (processor.get("cpu_usage") or {}).get("total_usage") or 0
    networks = (stats.get("networks") or {}).values()
    moved = sum(int(each.get(name) or 0) for each in networks for name in ("rx_bytes", "tx_bytes"))
    memory = (stats.get("memory_stats") or {}).get("usage") or 0
    return Counted(at, int(total), moved, int(memory))


def cards_in(text: str) -> Mapping[str, CardUse]:
    """Read what `nvidia-smi` says of cards: by the number of each, and by its serial name.

    A line has both, the share of time in which it computed, its memory in use and in all. A card
    that cannot tell, such as one that is cut into parts, is left out.
    """
    found: dict[str, CardUse] = {}
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 5 and all(part.isascii() and part.isdigit() for part in parts[2:]):  # noqa: PLR2004 - as asked for
            busy, used, whole = map(int, parts[2:])
            found[parts[0]] = found[parts[1]] = CardUse(
                busy=min(_WHOLE, busy), memory=_share(used, whole)
            )
    return found


def _share(part: float, whole: float) -> float:
    """Return hundredths, of a whole that two clocks may have measured differently."""
    return round(min(_WHOLE, max(0.0, _WHOLE * part / whole)), 1) if whole > 0 else 0.0
