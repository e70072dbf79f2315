"""A load on cards: what it holds there, and whether a card was too full for it. Pure."""

import re
from collections.abc import Mapping
from dataclasses import replace

from puna.models.fit_offload import CARD_OVERHEAD, CardShare
from puna.node.engine.engine import LoadFailed
from puna.node.engine.request import LoadSpec
from puna.units import Size

_FULL = re.compile(
    r"(?:cudaMalloc|hipMalloc) failed|CUDA error: out of memory|ROCm error: out of memory"
    r"|OutOfDeviceMemory|(?:allocate|allocating) \S*(?:CUDA|ROCm|Vulkan|MTL|SYCL)\S* buffer"
    r"|Device memory allocation of size \d+ failed",
    re.IGNORECASE,
)


class CardFull(LoadFailed):
    """A card has less room than the load takes there."""

    code = "card_full"


def is_card_full(log: bytes) -> bool:
    """Tell from the words of an engine that could not load whether a card was too full."""
    return _FULL.search(log.decode(errors="replace")) is not None


def shares_held(spec: LoadSpec, taken: object) -> tuple[CardShare, ...]:
    """Return what a loaded engine holds on its cards: as measured, else as planned.

    What the driver keeps for each process is no part of the model. Not every driver can be
    measured: some tell only how large the card is.
    """
    measured = taken if isinstance(taken, Mapping) else {}
    return tuple(
        replace(each, memory=Size(_held(each, measured.get(each.name)))) for each in spec.shares
    )


def _held(share: CardShare, taken: object) -> int:
    planned = max(0, share.memory - CARD_OVERHEAD)
    return taken if isinstance(taken, int) and 0 < taken <= share.memory else planned
