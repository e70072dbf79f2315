"""The cards of this machine as the node uses them: room on each, and loads that find other room.

What all engines together may take on a card is what is free there and what they hold already: that
stays the same while they come and go, so it is measured when nothing is asked in a hurry, at the
start and before each load that could use a card.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from puna.hardware.devices import Device, DeviceKind, detect_devices
from puna.hardware.engine_cards import EngineCards
from puna.hardware.memory import available_memory
from puna.models.fit_offload import CARD_OVERHEAD, CardRoom, CardShare
from puna.node.card_plan import place_words
from puna.node.engine.asking_cards import engine_cards
from puna.node.engine.cards import CardFull
from puna.node.engine.engine import Engine, EngineFactory
from puna.node.engine.request import LoadSpec
from puna.settings import NodeSettings, read_environment
from puna.units import Size

_LOG = logging.getLogger("puna.node")
_TRIES = 4
"""How often a load is begun at most: with three quarters of the layers, again and again."""


def no_cards() -> EngineCards:
    """Say that there are no cards, as an engine for processors does."""
    return EngineCards()


class CardWatch:
    """Which cards the engine can use, and what all engines together may take on each."""

    def __init__(self, ask: Callable[[], EngineCards] = no_cards, *, overhead: int = 0) -> None:
        self._ask = ask
        self._overhead = overhead
        self.engine = EngineCards()
        self.most: Mapping[str, Size] = {}
        """Bytes by the engine's name of each card."""

    def measure(self, held: Mapping[str, int]) -> None:
        """Ask the engine, while its processes hold so much on each card; blocks."""
        self.engine = self._ask()
        if self.engine.fault:
            _LOG.warning("no card is used: %s", self.engine.fault)
        self.most = {
            each.name: Size(max(0, each.memory.available + held.get(each.name, 0) - self._overhead))
            for each in self.engine.cards
        }

    def rooms(self, planned: Mapping[str, int]) -> tuple[CardRoom, ...]:
        """Return the cards, of which loads have so much already."""
        return tuple(
            CardRoom(
                each.name,
                each.number,
                Size(max(0, self.most[each.name] - planned.get(each.name, 0))),
                self.most[each.name],
                each.description,
            )
            for each in self.engine.cards
        )


def card_rooms_of(devices: Sequence[Device], overhead: int) -> tuple[CardRoom, ...]:
    """Return the cards that loads can use, with what is free on them now."""
    rooms = []
    for device in devices:
        if device.card is not None:
            free = Size(max(0, device.memory.available - overhead))
            card = device.card
            rooms.append(CardRoom(card.name, card.number, free, free, device.name))
    return tuple(rooms)


def devices_here(settings: NodeSettings, engine: EngineCards | None = None) -> tuple[Device, ...]:
    """Return what this machine can compute with; blocks, for seconds where drivers wake up."""
    return detect_devices(engine or engine_cards(settings), read_environment())


def held_on_cards(shares: tuple[CardShare, ...], into: dict[str, int]) -> None:
    """Add what a load holds to what is held on each card."""
    for each in shares:
        into[each.name] = into.get(each.name, 0) + each.memory


def offloading(
    factory: EngineFactory,
    watch: CardWatch,
    held: Callable[[LoadSpec], Mapping[str, int]],
    again: Callable[[LoadSpec], LoadSpec],
) -> EngineFactory:
    """Return what loads as `factory` does, with as many layers as cards have room for now.

    Other programs take and leave room after a plan was made, and a driver may need more than was
    thought. `held` is what other models have on each card, `again` makes the plan once more.
    """

    async def load(spec: LoadSpec) -> Engine:
        if not spec.all_layers:
            return await factory(spec)
        await asyncio.to_thread(watch.measure, held(spec))
        if spec.may_shrink:
            spec = _told(spec, again(spec))
        others = held(spec)
        rooms = {name: most - others.get(name, 0) for name, most in watch.most.items()}
        for left in reversed(range(_TRIES)):
            try:
                _check_room(spec, rooms)
                return await factory(spec)
            except CardFull as error:
                smaller = shrunk(spec)
                if not left or smaller is None or not _has_memory(spec, smaller):
                    raise CardFull(error.message, hint=_hint(spec)) from error
                _LOG.warning("%s; trying again: %s", error.message, place_words(smaller))
                spec = smaller
        raise AssertionError("the last try returns or raises")

    return load


def _told(before: LoadSpec, after: LoadSpec) -> LoadSpec:
    if after.gpu_layers != before.gpu_layers:
        _LOG.warning("cards have other room than they had: %s", place_words(after))
    return after


def shrunk(spec: LoadSpec) -> LoadSpec | None:
    """Return a load with three quarters of its layers on each card; None where that is not wanted.

    What leaves a card goes to memory.
    """
    if not spec.may_shrink:
        return None
    shares, moved = [], 0
    for each in spec.shares:
        layers = each.layers * 3 // 4
        size = max(0, each.memory - CARD_OVERHEAD)
        leaving = size * (each.layers - layers) // each.layers
        moved += leaving
        if layers:
            shares.append(replace(each, layers=layers, memory=Size(each.memory - leaving)))
    count = sum(each.layers for each in shares)
    memory, own = Size(spec.memory + moved), Size(spec.model_memory + moved)
    return replace(spec, shares=tuple(shares), gpu_layers=count, memory=memory, model_memory=own)


def _check_room(spec: LoadSpec, rooms: Mapping[str, int]) -> None:
    """Raise `CardFull` where a card has less room now than the plan takes."""
    for each in spec.shares:
        room = Size(max(0, rooms.get(each.name, 0)))
        if each.memory > room:
            place = each.label or each.name
            raise CardFull(f"{each.memory} are planned on {place} and {room} are free now")


def _has_memory(before: LoadSpec, after: LoadSpec) -> bool:
    return after.memory - before.memory <= available_memory().available


def _hint(spec: LoadSpec) -> str:
    asked = "" if spec.may_shrink else f"fewer layers than num_gpu {spec.gpu_layers} may fit; "
    return f"{asked}num_gpu 0 uses no card"


async def tell_cards(settings: NodeSettings, watch: CardWatch, say: Callable[[str], None]) -> None:
    """Say which cards are used and which are not, and why; nothing where there are none."""
    if settings.engine == "scripted":
        return
    for device in await asyncio.to_thread(devices_here, settings, watch.engine):
        if device.kind is DeviceKind.CARD:
            say(f"card: {device}")
