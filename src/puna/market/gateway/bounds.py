"""How many clients there may be, and how long each may let the gateway wait.

What a pod takes its time for has no limit; these are for clients, of whom nobody knows anything.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """All limits for clients, in one place."""

    most_clients: int = 10_000
    most_from_one: int = 2_000
    """Connections from one address; 0 is no limit."""
    refusals: int = 600
    """Requests a minute that an address may be refused before it is asked to wait; 0: no limit."""
    idle_s: float = 75.0
    """Between two requests."""
    head_s: float = 20.0
    """From a request's first byte to the end of its head."""
    body_s: float = 60.0
    """Between two pieces of a body."""
    unread_s: float = 120.0
    """While a client takes nothing of what is there for it."""


def as_files_allow(bounds_most: int, files: int) -> int:
    """Return how many clients a process may have that may open so many files."""
    return max(1, min(bounds_most, files * 3 // 4))
