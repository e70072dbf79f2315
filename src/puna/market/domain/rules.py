"""What the operator of a market decides once: how long each patience lasts."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Patience with renters, hosts and clocks."""

    grace: timedelta = timedelta(seconds=60)
    """How long a spot pod may go on after its notice."""
    keep: timedelta = timedelta(days=7)
    """How long the volume of a pod is kept that nobody pays for."""
    away_after: timedelta = timedelta(minutes=2)
    """What a host was paid for runs on through a silence shorter than this; a longer one is not
    paid for, since nobody saw what ran in it.
    """
    gone_after: timedelta = timedelta(minutes=5)
    """A host that is silent for so long has lost its pods without a volume to others.

    It is longer than any pod is paid for ahead: by then its agent has stopped them by itself.
    """
    forget_after: timedelta = timedelta(days=7)
    """A host that is silent for so long is not waited for any more."""
    clock_error: timedelta = timedelta(seconds=30)
    """How far a host's clock may be from the market's before it is corrected and noted."""
