"""Money as it is told: in RunPod's dialects a number of dollars, in puna's a decimal text."""

from puna.units import Money


def dollars(amount: Money) -> float:
    """Return money as RunPod writes it."""
    return amount / 10**6


def exact(amount: Money) -> str:
    """Return money as this market writes it: a decimal number of dollars."""
    return str(amount).replace("$", "")
