"""What is offered at this moment: the owner's prices and hours, and his pauses."""

from collections.abc import Collection, Iterable
from datetime import time
from pathlib import Path

from puna.agent.notebook import Offer
from puna.errors import Invalid
from puna.hardware.programs import output_of
from puna.wire.agent import TermsReport

_PARTS = 2


def terms_of(offer: Offer, *, is_used: bool = False) -> TermsReport:
    """Return the terms to report; `is_used` tells that the owner uses a card of his now."""
    return TermsReport(
        price=offer.price,
        least_bid=offer.least_bid,
        opens=offer.opens,
        closes=offer.closes,
        is_paused=offer.is_paused or (offer.yields and is_used),
    )


def read_hours(text: str) -> tuple[str, str]:
    """Read `22:00-07:00`, in UTC; nothing is always. Raises `Invalid`."""
    parts = [part.strip() for part in text.split("-")] if text.strip() else ["", ""]
    try:
        if len(parts) != _PARTS or bool(parts[0]) != bool(parts[1]):
            raise ValueError(text)  # noqa: TRY301 - the same mistake
        for part in filter(None, parts):
            time.fromisoformat(part)
    except ValueError as error:
        raise Invalid(
            f'"{text}" is not a part of the day', hint="write it like 22:00-07:00, in UTC"
        ) from error
    return parts[0], parts[1]


def owners_programs(pids: Iterable[int], ours: Collection[str], root: Path = Path("/")) -> bool:
    """Return whether one of these processes is in no container of ours."""
    for pid in pids:
        try:
            groups = (root / f"proc/{pid}/cgroup").read_text(encoding="utf-8")
        except OSError:  # it has ended
            continue
        if not any(container in groups for container in ours):
            return True
    return False


def programs_on_cards() -> list[int]:
    """Return the processes that compute on NVIDIA's cards; blocks, for seconds if it hangs."""
    said = output_of("nvidia-smi", "--query-compute-apps=pid", "--format=csv,noheader")
    return [int(line) for line in said.text.split() if line.isascii() and line.isdigit()]
