"""Which engines must end so that a model fits: the longest idle first, no more than needed.

Room is counted apart for the machine's memory and for each card: an engine that holds nothing of
what is short is left alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from puna.node.engine.request import LoadSpec
from puna.node.scheduler.state import Resident
from puna.units import Size, Span


@dataclass(frozen=True, slots=True)
class Room:
    """Memory and places for engines: what there is, is taken, or is needed; negative is a lack."""

    memory: Size
    places: int
    cards: Mapping[str, int] = field(default_factory=dict)
    """Bytes by the engine's name of each card; what is not named is not there."""

    @classmethod
    def of(cls, residents: Iterable[Resident]) -> Self:
        """Return what `residents` hold."""
        memory, places, cards = 0, 0, dict[str, int]()
        for each in residents:
            memory, places = memory + each.spec.memory, places + 1
            for share in each.spec.shares:
                cards[share.name] = cards.get(share.name, 0) + share.memory
        return cls(Size(memory), places, cards)

    @classmethod
    def for_load(cls, spec: LoadSpec) -> Self:
        """Return what one load needs."""
        return cls(spec.memory, 1, {each.name: int(each.memory) for each in spec.shares})

    def __add__(self, other: "Room") -> "Room":
        return Room(
            Size(self.memory + other.memory), self.places + other.places, self._cards(other, 1)
        )

    def __sub__(self, other: "Room") -> "Room":
        return Room(
            Size(self.memory - other.memory), self.places - other.places, self._cards(other, -1)
        )

    def holds(self, need: "Room") -> bool:
        """Tell whether `need` fits in here."""
        return (
            need.memory <= self.memory
            and need.places <= self.places
            and all(size <= self.cards.get(name, 0) for name, size in need.cards.items())
        )

    def _cards(self, other: "Room", sign: int) -> dict[str, int]:
        names = {**self.cards, **other.cards}
        return {name: self.cards.get(name, 0) + sign * other.cards.get(name, 0) for name in names}


def pick_victims(
    candidates: Iterable[Resident], *, free: Room, need: Room, at: Span
) -> tuple[Resident, ...] | None:
    """Return the engines whose end makes room for `need` beside `free`; None if all are too few.

    Idle ones come before those in use, and those longest without use before others. One whose end
    turns out to be unneeded (two small ones before the big one that frees enough alone) is spared.
    """
    chosen: list[Resident] = []
    for candidate in sorted(candidates, key=lambda each: _preference(each, at)):
        if (free + Room.of(chosen)).holds(need):
            break
        chosen.append(candidate)
    if not (free + Room.of(chosen)).holds(need):
        return None
    for candidate in tuple(chosen):
        others = [each for each in chosen if each is not candidate]
        if (free + Room.of(others)).holds(need):
            chosen = others
    return tuple(chosen)


def _preference(resident: Resident, at: Span) -> tuple[bool, Span, int]:
    if not resident.is_idle:
        return (True, resident.used_at, resident.id)
    has_expired = resident.expires_at <= at
    return (False, Span(-1) if has_expired else resident.idle_since, resident.id)
