"""Which layers of a model go on which cards, and what that takes there and in memory: pure.

llama.cpp numbers what can be on a card from the first layer to the last, and the output behind
them; `n_gpu_layers` counts from the end, so the output goes first and the first layer last. The
embeddings of tokens stay in memory. A layer's keys, values and states are where its weights are,
and each card that computes needs its scratch and its driver's share.
"""

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from puna.models.fit_memory import (
    Plan,
    json_size,
    layer_cache_size,
    process_size,
    rearranged_size,
    scratch_size,
    snapshots_size,
    weights_size,
    work_size,
)
from puna.models.fit_shape import ModelShape, shape_of
from puna.models.gguf import GgufHeader
from puna.units import Size

CARD_OVERHEAD = 600_000_000
"""Bytes that a card's driver takes for each process that computes on it."""
_DRIVER = 300_000_000
"""Bytes of memory that a driver takes in the process that computes on its card."""
_MARGIN = 50
_UNKNOWN_MARGIN = 10
_HALVINGS = 24
_OUTPUT = ("output.", "output_norm.")
_TIED = "token_embd.weight"


@dataclass(frozen=True, slots=True)
class CardRoom:
    """A card that a load may use."""

    name: str
    """What the engine calls it."""
    number: int
    """Its place in the engine's list."""
    free: Size
    """What can be had now."""
    most: Size
    """What can be had once no other model is loaded."""
    label: str = ""
    """What people call it."""


@dataclass(frozen=True, slots=True)
class CardShare:
    """What of a model is on one card."""

    name: str
    number: int
    layers: int
    memory: Size
    """What it takes there, the driver's share included."""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Offload:
    """How a model is spread over cards and memory."""

    shares: tuple[CardShare, ...]
    layers: int
    """How many layers are on cards, the output counted as one."""
    all_layers: int
    memory: Size
    """What it takes of the machine's memory beside."""
    model_memory: Size = Size(0)  # noqa: RUF009 - a number
    """What of that is the model's own: weights, caches, scratch; no process and no driver."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is computed on the processor."""
        return self.layers == self.all_layers

    @property
    def on_cards(self) -> Size:
        """What it takes on all cards together."""
        return Size(sum(each.memory for each in self.shares))


@dataclass(frozen=True, slots=True)
class CardWish:
    """What was asked of cards."""

    layers: int | None = None
    """So many layers and no other number; None is as many as fit."""
    main: int | None = None
    """The only card to use, by its number."""
    spreads: bool = False
    """All cards are used even where one is enough."""


class Offloading:
    """A model with its layers' sizes, read once for many plans."""

    def __init__(self, header: GgufHeader) -> None:
        self.header = header
        self.shape: ModelShape = shape_of(header)
        self.all_layers = len(self.shape.layers) + 1
        self.machine = platform.machine()

    def offload(self, plan: Plan, cards: Sequence[CardRoom], wish: CardWish) -> Offload | None:
        """Return how to load the model, None if not so much as wished (or nothing) fits.

        A whole model comes before a part, one card before several, and room that is free before
        room that another model has to leave.
        """
        cards = _allowed(cards, wish)
        asked = self.all_layers if wish.layers is None else min(wish.layers, self.all_layers)
        for rooms in _choices(cards, spreads=wish.spreads):
            shares = self._spread(plan, rooms, asked)
            if shares is not None:
                return self._offload(plan, shares, asked)
        if wish.layers is not None:
            return None
        return self._part(plan, [(card, card.most) for card in cards])

    def most_layers(self, plan: Plan, cards: Sequence[CardRoom], wish: CardWish) -> int:
        """Return how many layers would fit once no other model is loaded."""
        part = self._part(plan, [(card, card.most) for card in _allowed(cards, wish)])
        return part.layers if part else 0

    def needed(self, plan: Plan, layers: int) -> Size:
        """Return what so many layers take on one card."""
        return Size(self._fixed(plan, layers) + sum(self._items(plan)[-layers:]))

    def _part(self, plan: Plan, rooms: Sequence[tuple[CardRoom, Size]]) -> Offload | None:
        """Return as many layers as fit."""
        low, high, best = 0, self.all_layers + 1, None  # `low` fits, `high` does not
        while high - low > 1:
            layers = (low + high) // 2
            shares = self._spread(plan, rooms, layers)
            low, high = (layers, high) if shares is not None else (low, layers)
            best = (shares, layers) if shares is not None else best
        return self._offload(plan, *best) if best else None

    def _spread(
        self, plan: Plan, rooms: Sequence[tuple[CardRoom, Size]], layers: int
    ) -> tuple[CardShare, ...] | None:
        """Spread the last `layers` layers evenly over cards; None if there is no room for them."""
        if not rooms or layers < 1:
            return None
        items, fixed = self._items(plan)[-layers:], self._fixed(plan, layers)
        beside = plan.beside  # a projector or a draft model, on the first card
        spare = [max(0, int(free) - fixed) for _, free in rooms]
        spare[0] = max(0, spare[0] - beside)
        counts = _balanced(items, spare)
        if counts is None:
            return None
        shares, start = [], 0
        for place, ((card, _), count) in enumerate(zip(rooms, counts, strict=True)):
            size = sum(items[start : start + count]) + fixed + (0 if place else beside)
            if count:
                name, number = card.name, card.number
                shares.append(CardShare(name, number, count, Size(size), card.label))
            start += count
        return tuple(shares)

    def _offload(self, plan: Plan, shares: tuple[CardShare, ...], layers: int) -> Offload:
        model = self._model_memory(plan, layers)
        process = process_size(self.shape, plan, threads=1) + json_size(self.shape)
        memory = Size(model + process + _DRIVER)
        return Offload(shares, layers, self.all_layers, memory, model)

    def _items(self, plan: Plan) -> list[int]:
        """Return the bytes of each layer with its cache and a margin, the output last."""
        caches = [layer_cache_size(layer, self.shape, plan) for layer in self.shape.layers]
        part = _UNKNOWN_MARGIN if self.shape.is_upper_bound else _MARGIN
        sizes = [a + b for a, b in zip(self._weights, (*caches, 0), strict=True)]
        return [size + size // part for size in sizes]

    def _fixed(self, plan: Plan, layers: int) -> int:
        """Return what each card takes however many layers are on it.

        Weights that stay in memory are copied to the card for a long prompt, a layer at a time.
        """
        copied = max(self._weights[: self.all_layers - layers], default=0)
        return CARD_OVERHEAD + scratch_size(self.shape, plan) + copied

    def _model_memory(self, plan: Plan, layers: int) -> Size:
        """Return what a model with `layers` layers on cards takes of the machine's memory."""
        stays = self.all_layers - layers
        elsewhere = frozenset(
            tensor.name
            for tensor in self.header.tensors
            if (place := self._place(tensor.name)) is not None and place >= stays
        )
        gone = sum(self._weights[stays:]) - (self._tied if self.all_layers > stays else 0)
        weights = max(0, weights_size(self.header) - gone)
        if plan.is_mapped:
            weights += rearranged_size(self.header, self.machine, elsewhere)
        caches = [layer_cache_size(layer, self.shape, plan) for layer in self.shape.layers[:stays]]
        rest = sum(caches) + snapshots_size(self.shape, plan) + scratch_size(self.shape, plan)
        rest += work_size(self.shape, plan) if stays else 0
        total = weights + rest
        return Size(total + total // (_UNKNOWN_MARGIN if self.shape.is_upper_bound else _MARGIN))

    @cached_property
    def _tied(self) -> int:
        """Bytes of the embeddings where they are the output as well: then there are two of them."""
        names = {tensor.name: int(tensor.size) for tensor in self.header.tensors}
        return 0 if "output.weight" in names else names.get(_TIED, 0)

    @cached_property
    def _weights(self) -> list[int]:
        """Bytes of each layer's weights, the output last."""
        sizes = [0] * self.all_layers
        for tensor in self.header.tensors:
            place = self._place(tensor.name)
            if place is not None:
                sizes[place] += tensor.size
        sizes[-1] += self._tied
        files = max(1, self.header.integer("split.count") or 1)
        # The first of several files does not tell the sizes in the others; a list of models none.
        if files > 1 or not any(sizes[:-1]):
            return [-(-weights_size(self.header) // self.all_layers)] * self.all_layers
        return sizes

    def _place(self, name: str) -> int | None:
        """Return the layer of a tensor, the last for the output; None for one that stays."""
        kind, _, rest = name.partition(".")
        number = rest.partition(".")[0]
        if kind == "blk" and number.isascii() and number.isdigit():
            return min(int(number), self.all_layers - 2) if self.all_layers > 1 else 0
        return self.all_layers - 1 if name.startswith(_OUTPUT) else None


def _allowed(cards: Sequence[CardRoom], wish: CardWish) -> Sequence[CardRoom]:
    return cards if wish.main is None else [each for each in cards if each.number == wish.main]


def _choices(
    cards: Sequence[CardRoom], *, spreads: bool
) -> Iterator[Sequence[tuple[CardRoom, Size]]]:
    """Yield the cards to try for a whole model, with the room that counts on each."""
    by_room = sorted(cards, key=lambda card: (-card.free, card.number))
    if not spreads:
        yield from ([(card, card.free)] for card in by_room)
    if len(cards) > 1:
        yield [(card, card.free) for card in cards]
    if not spreads:
        by_size = sorted(cards, key=lambda card: (-card.most, card.number))
        yield from ([(card, card.most)] for card in by_size)
    yield [(card, card.most) for card in cards]


def _balanced(items: Sequence[int], spare: Sequence[int]) -> list[int] | None:
    """Return how many items go into each room so that all are about as full; None for no room."""
    best = _filled(items, spare)
    low, high = 0.0, 1.0  # the part of its room that each may use: `low` is too little
    for _ in range(_HALVINGS if best is not None and len(spare) > 1 else 0):
        middle = (low + high) / 2
        counts = _filled(items, [int(each * middle) for each in spare])
        low, high = (low, middle) if counts is not None else (middle, high)
        best = counts or best
    return best


def _filled(items: Sequence[int], spare: Sequence[int]) -> list[int] | None:
    """Return how many items go into each room, one after the other; None if they do not fit."""
    counts, place = [], 0
    for room in spare:
        used, count = 0, 0
        while place < len(items) and used + items[place] <= room:
            used += items[place]
            place, count = place + 1, count + 1
        counts.append(count)
    return counts if place == len(items) else None
