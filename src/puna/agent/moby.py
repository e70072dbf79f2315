"""What Docker takes and says otherwise than Podman does. Pure."""

import json
import re
from datetime import datetime

from puna.text import one_line

APART = {"com.docker.network.bridge.enable_icc": "false"}
"""Docker's own word for pods that do not reach each other, besides our walls."""
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)")
_SECOND_NS = 1_000_000_000


def after(moment: str) -> str:
    """Return the moment after one in RFC 3339, as Docker takes it: seconds and nanoseconds.

    Docker begins a log at that very moment, Podman after it; what is no moment is left as it is.
    """
    match = _MOMENT.fullmatch(moment)
    if match is None:
        return moment
    whole, part, zone = match.groups()
    seconds = int(datetime.fromisoformat(f"{whole}{zone.replace('Z', '+00:00')}").timestamp())
    total = seconds * _SECOND_NS + int((part or "0").ljust(9, "0")) + 1
    return f"{total // _SECOND_NS}.{total % _SECOND_NS:09}"


def words_in(answer: str) -> str:
    """Return the engine's own words in the body of a refusal."""
    try:
        read = json.loads(answer)
        said = read.get("message") or read.get("cause") if isinstance(read, dict) else ""
    except ValueError:
        said = ""
    return one_line(str(said or answer), 500)
