"""When the market itself ends a pod: at times its renter set, when idle, when nobody pays.

The host's agent keeps the same times by its own clock; each is there for when the other fails. A
lock forbids its renter to end a pod by mistake; it holds up neither these times nor money.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from puna.market.domain.pods import Desired, Observed
from puna.market.domain.rules import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """All that may end a pod by itself."""

    desired: Desired
    observed: Observed = Observed.ABSENT
    stop_at: datetime | None = None
    terminate_at: datetime | None = None
    idle_after: timedelta | None = None
    active: datetime | None = None
    """When something last happened in it; None where it has not begun."""
    frozen: datetime | None = None
    has_volume: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What must become of a pod, and why, for its renter to read."""

    desired: Desired
    reason: str


def verdict_on(pod: Deadlines, now: datetime, rules: Rules) -> Verdict | None:
    """Return what a pod's own limits make of it; None leaves it as it is."""
    if pod.desired is Desired.TERMINATE:
        return None
    why = _why_terminate(pod, now, rules)
    if why:
        return Verdict(Desired.TERMINATE, why)
    why = _why_stop(pod, now) if pod.desired is Desired.RUN else ""
    return Verdict(Desired.STOP, why) if why else None


def _why_terminate(pod: Deadlines, now: datetime, rules: Rules) -> str:
    if pod.terminate_at is not None and now >= pod.terminate_at:
        return "the time to terminate came"
    if pod.frozen is not None and pod.has_volume and now >= pod.frozen + rules.keep:
        return f"nobody paid for its volume for {rules.keep}"
    return ""


def _why_stop(pod: Deadlines, now: datetime) -> str:
    if pod.stop_at is not None and now >= pod.stop_at:
        return "the time to stop came"
    return why_idle(pod.idle_after) if pod.idle_after and _is_idle(pod, now) else ""


def why_idle(after: timedelta) -> str:
    """Return why a pod was stopped that nobody used for so long."""
    return f"nothing happened in it for {after}"


def _is_idle(pod: Deadlines, now: datetime) -> bool:
    if pod.idle_after is None or pod.active is None or pod.observed is not Observed.RUNNING:
        return False
    return now >= pod.active + pod.idle_after


def is_last_day(frozen: datetime, now: datetime, rules: Rules) -> bool:
    """Tell whether a pod that nobody pays for is a day or less from losing its volume."""
    return now >= frozen + rules.keep - timedelta(days=1)
