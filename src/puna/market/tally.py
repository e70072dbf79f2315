"""What one process of a market counts while it runs."""

from collections import Counter
from dataclasses import dataclass, field

_VERBS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(slots=True)
class Tally:
    """Requests by method, route and status; turns of loops by name and outcome."""

    requests: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    turns: Counter[tuple[str, str]] = field(default_factory=Counter)
    turn_seconds: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def count(self, method: str, route: str, status: int) -> None:
        """Count a request that is over."""
        self.requests[method if method in _VERBS else "OTHER", route, status] += 1

    def count_turn(self, loop: str, outcome: str, seconds: float) -> None:
        """Count a turn of a loop."""
        self.turns[loop, outcome] += 1
        self.turn_seconds[loop] += seconds  # type: ignore[assignment]
