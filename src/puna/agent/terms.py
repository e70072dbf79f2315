"""What is offered at this moment: the owner's prices and hours, and his pauses."""

import ipaddress
from collections.abc import Collection, Iterable
from datetime import time
from pathlib import Path

from puna.agent.notebook import Offer
from puna.errors import Invalid
from puna.hardware.programs import output_of
from puna.wire.agent import TermsReport

_PARTS = 2
_LEAST_PORT, _MOST_PORT = 1024, 65535


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


def read_public(address: str, ports: str) -> tuple[str, str]:
    """Read where everybody reaches this machine, and by which ports. Raises `Invalid`."""
    if bool(address) != bool(ports):
        raise Invalid(
            "--public-ip and --public-ports go together",
            hint="such as --public-ip 203.0.113.7 --public-ports 40000-40999",
        )
    try:
        found = str(ipaddress.IPv4Address(address)) if address else ""
    except ValueError as error:
        raise Invalid(f'"{address}" is not an address such as 203.0.113.7') from error
    range_of(ports)
    return found, ports


def range_of(ports: str) -> range:
    """Read `40000-40999`; nothing is no port. Raises `Invalid`."""
    if not ports:
        return range(0)
    first, _, last = (part.strip() for part in ports.partition("-"))
    numbers = [int(part) for part in (first, last) if part.isascii() and part.isdigit()]
    if len(numbers) != _PARTS or not _LEAST_PORT <= numbers[0] <= numbers[1] <= _MOST_PORT:
        raise Invalid(
            f'"{ports}" are not ports of yours', hint="write them like 40000-40999, above 1023"
        )
    return range(numbers[0], numbers[1] + 1)


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
