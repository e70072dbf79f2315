"""Does a model fit, where, and if not: by how many bytes, and what would.

`estimate_fit` answers before anything is loaded, from the header alone. Its total is the most that
the engine's process ever holds at once (resident memory, the mapped file included), and a margin. A
model that is said to fit does fit, even when its first answer in JSON comes and takes some more.
"""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from puna.models.fit_memory import (
    Plan,
    cache_size,
    check_plan,
    is_rearranged,
    json_size,
    process_size,
    rearranged_size,
    scratch_size,
    snapshots_size,
    weights_size,
    work_size,
)
from puna.models.fit_offload import CARD_OVERHEAD
from puna.models.fit_shape import ImpossibleModel, ModelShape, shape_of
from puna.models.gguf import GgufHeader
from puna.units import Size

__all__ = ["Fit", "ImpossibleModel", "Plan", "Room", "RoomKind", "Verdict", "choose_slots"]
__all__ += ["estimate_fit", "fit_plan", "largest_context"]

_MARGIN = 50
"""One part in so many is added for what varies from load to load."""
_UNKNOWN_MARGIN = 10
"""The same for an architecture whose own rules are not known here."""
_STEP = 256
_MOST_CONTEXT = 2**20
"""The longest context looked for in a model that does not tell what it was trained on."""
DEFAULT_SLOTS = 4


class RoomKind(StrEnum):
    """Where a model can be loaded."""

    MEMORY = "memory"
    CARD = "card"


@dataclass(frozen=True, slots=True)
class Room:
    """A place for a model: this machine's memory, or a card."""

    name: str
    kind: RoomKind | Literal["memory", "card"]
    free: Size
    total: Size


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a model fits into one room, or into all cards together."""

    where: str
    needed: Size
    free: Size

    @property
    def fits(self) -> bool:
        """Whether there is room enough."""
        return self.needed <= self.free

    @property
    def short_by(self) -> Size:
        """How many bytes are missing; zero if it fits."""
        return Size(max(0, self.needed - self.free))

    def __str__(self) -> str:
        if self.fits:
            return f"{self.where}: fits, {self.needed} of {self.free} free"
        return (
            f"{self.where}: does not fit, {self.needed} needed, {self.free} free, "
            f"{int(self.short_by)} bytes too few"
        )


@dataclass(frozen=True, slots=True)
class Fit:
    """What a model takes when loaded in one way, and where it fits."""

    context: int
    parallel: int
    weights: Size
    """The file's tensors, and the copies that llama.cpp makes of some."""
    cache: Size
    """Keys, values and states of all slots, and the snapshots of them."""
    buffers: Size
    """The computation's scratch, the tokenizer, the server, the process; a projector too."""
    margin: Size
    json_tables: Size
    """What is taken once the first answer has to be JSON; not part of the total."""
    verdicts: tuple[Verdict, ...]
    advice: tuple[str, ...]
    """What would fit where this does not; empty where it fits."""
    is_upper_bound: bool = False
    """The model's architecture is not known well: it takes at most so much."""

    @property
    def total(self) -> Size:
        """The most bytes that the load takes while no answer has to be JSON."""
        return Size(self.weights + self.cache + self.buffers + self.margin)

    @property
    def needed(self) -> Size:
        """Bytes of memory to have free for the load, whatever is asked of it."""
        return Size(self.total + self.json_tables)

    @property
    def fits(self) -> bool:
        """Whether one of the rooms, or all cards together, are large enough."""
        return any(verdict.fits for verdict in self.verdicts)

    @property
    def short_by(self) -> Size:
        """How many bytes are missing where the fewest are; zero if it fits."""
        return min((verdict.short_by for verdict in self.verdicts), default=self.needed)


def estimate_fit(  # noqa: PLR0913 - the choices of a load; `fit_plan` takes them as one value
    header: GgufHeader,
    *,
    context: int,
    parallel: int,
    rooms: Sequence[Room],
    cache_type: str = "f16",
    batch: int = 512,
) -> Fit:
    """Say what a model takes with `parallel` slots of `context` tokens, and where it fits.

    Raises `Invalid` for numbers below one and unknown cache types, `ImpossibleModel` (the same
    family) for a file that describes no possible model.
    """
    return fit_plan(header, Plan(context, parallel, cache_type, batch), rooms)


def fit_plan(header: GgufHeader, plan: Plan, rooms: Sequence[Room]) -> Fit:
    """Do what `estimate_fit` does, for a plan with every choice in it."""
    model = _Model(header)
    fit = model.fit(plan, rooms)
    if fit.fits or not rooms:
        return fit
    return replace(fit, advice=_advice(model, plan, rooms))


def choose_slots(header: GgufHeader, plan: Plan, room: Room, *, wanted: int = DEFAULT_SLOTS) -> int:
    """Return how many slots of the plan's context fit into `room`: `wanted` at most, 0 for none."""
    model = _Model(header)
    plans = (replace(plan, parallel=slots) for slots in range(wanted, 0, -1))
    return next((each.parallel for each in plans if model.fit(each, (room,)).fits), 0)


def largest_context(header: GgufHeader, plan: Plan, room: Room) -> int:
    """Return the longest context that fits into `room` with the plan's slots; 0 for none.

    It is never longer than what the model was trained on, and a multiple of 256 unless it is that.
    """
    return _Model(header).largest_context(plan, (room,))


class _Model:
    """A header with its shape, read once for many plans."""

    def __init__(self, header: GgufHeader) -> None:
        self.header = header
        self.shape: ModelShape = shape_of(header)
        self.weights = weights_size(header)
        self.machine = platform.machine()
        self.rearranged = rearranged_size(header, self.machine)
        self.threads = os.cpu_count() or 1
        self.parameters = sum(tensor.elements for tensor in header.tensors)

    def fit(self, plan: Plan, rooms: Sequence[Room]) -> Fit:
        check_plan(plan)
        copies = self.rearranged if plan.is_mapped else 0
        cache = cache_size(self.shape, plan) + snapshots_size(self.shape, plan)
        process = process_size(self.shape, plan, threads=self.threads)
        buffers = scratch_size(self.shape, plan) + work_size(self.shape, plan) + process
        buffers += plan.beside
        part = _UNKNOWN_MARGIN if self.shape.is_upper_bound else _MARGIN
        fit = Fit(
            context=plan.context,
            parallel=plan.parallel,
            weights=Size(self.weights + copies),
            cache=Size(cache),
            buffers=Size(buffers),
            margin=Size((self.weights + copies + cache + buffers) // part),
            json_tables=json_size(self.shape),
            verdicts=(),
            advice=(),
            is_upper_bound=self.shape.is_upper_bound,
        )
        return replace(fit, verdicts=self._verdicts(fit, plan, rooms))

    def largest_context(self, plan: Plan, rooms: Sequence[Room]) -> int:
        trained = self.header.integer(self.header.own_key("context_length")) or _MOST_CONTEXT
        longest = min(max(trained, 1), 2**31)
        if self.fit(replace(plan, context=longest), rooms).fits:
            return longest
        low, high = 0, -(-longest // _STEP)  # in steps: `low` fits, `high` does not
        while high - low > 1:
            middle = (low + high) // 2
            fits = self.fit(replace(plan, context=middle * _STEP), rooms).fits
            low, high = (middle, high) if fits else (low, middle)
        return low * _STEP

    def _verdicts(self, fit: Fit, plan: Plan, rooms: Sequence[Room]) -> tuple[Verdict, ...]:
        verdicts = [
            Verdict(room.name, self._needed(fit, plan, cards=room.kind == RoomKind.CARD), room.free)
            for room in rooms
        ]
        cards = [room for room in rooms if room.kind == RoomKind.CARD]
        if len(cards) > 1:
            free = Size(sum(card.free for card in cards))
            needed = self._needed(fit, plan, cards=len(cards))
            verdicts.append(Verdict(f"all {len(cards)} cards together", needed, free))
        return tuple(verdicts)

    def _needed(self, fit: Fit, plan: Plan, *, cards: int) -> Size:
        """Return what a load needs in memory, or on `cards` cards that share it."""
        if not cards:
            return fit.needed
        each = CARD_OVERHEAD + scratch_size(self.shape, plan)
        windows = cache_size(self.shape, plan)
        return Size(self.weights + windows + cards * each + fit.margin + plan.beside)


_LESS_CACHE = ("q8_0", "q4_0")
_LEAST_CONTEXT = 512
_QUANTIZATIONS = (
    ("Q8_0", "Q8_0", 8.5),
    ("Q6_K", "Q6_K", 6.6),
    ("Q5_K_M", "Q5_K", 5.7),
    ("Q4_K_M", "Q4_K", 4.9),
    ("Q3_K_M", "Q3_K", 4.0),
    ("Q2_K", "Q2_K", 3.4),
)
"""Names of kinds of files, the type of most of their tensors, and their bits for a parameter."""
_CARD_SIZES_GB = (8, 12, 16, 24, 32, 48, 80, 96, 141, 180)
"""Memory of the cards that can be bought or rented (2026)."""
_USABLE_PERCENT = 95


def _advice(model: _Model, plan: Plan, rooms: Sequence[Room]) -> tuple[str, ...]:
    """Name one change of each kind that would make the model fit."""

    def fits(other: Plan) -> bool:
        return model.fit(other, rooms).fits

    found = (
        _shorter_context(model, plan, rooms),
        _fewer_slots(plan, fits),
        _smaller_cache(plan, fits),
        _smaller_quantization(model, plan, rooms),
        _larger_card(model, plan),
    )
    return tuple(words for words in found if words)


def _shorter_context(model: _Model, plan: Plan, rooms: Sequence[Room]) -> str:
    context = min(model.largest_context(plan, rooms), plan.context)
    return f"a context of {context} fits" if context >= _LEAST_CONTEXT else ""


def _fewer_slots(plan: Plan, fits: Callable[[Plan], bool]) -> str:
    fewer = (replace(plan, parallel=slots) for slots in range(plan.parallel - 1, 0, -1))
    slots = next((each.parallel for each in fewer if fits(each)), 0)
    if not slots:
        return ""
    return "1 request at a time fits" if slots == 1 else f"{slots} requests at a time fit"


def _smaller_cache(plan: Plan, fits: Callable[[Plan], bool]) -> str:
    if not plan.has_flash_attention:
        return ""  # llama.cpp makes the cache smaller only with it
    kinds = _LESS_CACHE if plan.cache_type == "f16" else _LESS_CACHE[1:]
    kind = next((kind for kind in kinds if fits(replace(plan, cache_type=kind))), "")
    return f"a {kind} key-value cache fits" if kind and kind != plan.cache_type else ""


def _smaller_quantization(model: _Model, plan: Plan, rooms: Sequence[Room]) -> str:
    fit = model.fit(plan, rooms)
    for name, kind, bits in _QUANTIZATIONS:
        size = round(model.parameters * bits / 8)
        copies = size if plan.is_mapped and is_rearranged(kind, model.machine) else 0
        saved = fit.weights - size - copies
        if size < model.weights and any(saved >= each.short_by for each in fit.verdicts):
            return f"a smaller quantization fits: {name}, about {Size(size)}"
    return ""


def _larger_card(model: _Model, plan: Plan) -> str:
    for size in _CARD_SIZES_GB:
        free = Size(size * 10**9 * _USABLE_PERCENT // 100)
        if model.fit(plan, (Room("", RoomKind.CARD, free, free),)).fits:
            return f"a card of {size} GB fits"
    return ""
