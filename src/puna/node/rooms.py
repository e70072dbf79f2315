"""Where a model can go on this machine, and the words for whether it fits there."""

from collections.abc import Sequence

from puna.hardware.devices import Device, DeviceKind
from puna.models.fit import Room, RoomKind, Verdict
from puna.settings import NodeSettings
from puna.units import Size


def rooms_of(devices: Sequence[Device], settings: NodeSettings) -> tuple[Room, ...]:
    """Return where a model can go: memory first, then each card that this build can use."""
    return tuple(_room(device, settings) for device in devices if device.usable)


def _room(device: Device, settings: NodeSettings) -> Room:
    free, total = device.memory.available, device.memory.total
    if device.kind is DeviceKind.PROCESSOR:
        return Room("memory", RoomKind.MEMORY, settings.memory_limit or free, total)
    return Room(device.name, RoomKind.CARD, Size(max(0, free - settings.gpu_overhead)), total)


def verdict_words(verdict: Verdict) -> str:
    """Say whether a model fits, and how much room is left or missing."""
    if verdict.fits:
        return f"fits, {Size(verdict.free - verdict.needed)} left"
    return f"does not fit, {verdict.short_by} too few"
