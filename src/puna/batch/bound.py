"""How much agreement a sample proves: the exact one-sided bound of Clopper and Pearson.

If `agreed` of `of` independent rows agree, then with the given confidence at least the returned
share of all rows does. Exact means: by the binomial distribution itself, never by a bell curve,
which promises too much where nearly everything agrees.
"""

import math

CONFIDENCE = 0.95
_ROUNDS = 60
"""Halvings of an interval of length 1: far below what prints."""


def lower_bound(agreed: int, of: int, confidence: float = CONFIDENCE) -> float:
    """Return the share of agreement that the sample proves; 0 where it proves nothing."""
    if not 0 <= agreed <= of:
        raise ValueError(f"{agreed} of {of} rows cannot agree")
    if agreed == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_ROUNDS):
        middle = (low + high) / 2
        if _chance_of_at_least(agreed, of, middle) > 1 - confidence:
            high = middle
        else:
            low = middle
    return low


def rows_to_prove(target: float, confidence: float = CONFIDENCE) -> int:
    """Return how many rows at least must agree, and none disagree, to prove the target."""
    if not 0 < target < 1:
        raise ValueError(f"{target} is no share that can be proved")
    return math.ceil(math.log(1 - confidence) / math.log(target))


def _chance_of_at_least(agreed: int, of: int, share: float) -> float:
    """Return the chance that so many or more agree if each does with the given chance."""
    if share <= 0:
        return 0.0
    if share >= 1:
        return 1.0
    whole = math.lgamma(of + 1)
    yes, no = math.log(share), math.log1p(-share)
    terms = (
        whole - math.lgamma(k + 1) - math.lgamma(of - k + 1) + k * yes + (of - k) * no
        for k in range(agreed, of + 1)
    )
    return min(1.0, math.fsum(math.exp(each) for each in terms))
