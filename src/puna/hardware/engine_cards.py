"""Which cards the installed engine can compute on, matched with the cards that are here.

The engine numbers and names what it can use by itself (`CUDA0`, `Vulkan1`). Whether a card of this
machine is among them depends on how the engine was built, so a card that is here and not used
comes with the command that installs an engine for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from puna.hardware.cards import Card, Maker
from puna.hardware.memory import Memory

ENGINE_INDEX = "https://xorbitsai.github.io/xllamacpp/whl"
"""Where the engine's author publishes the builds that compute on cards."""
_BUILDS: Mapping[Maker | None, str] = {
    Maker.NVIDIA: "cu128",
    Maker.AMD: "rocm-7.2.4",
    None: "vulkan",
}
_HIDING: Mapping[Maker | None, tuple[str, ...]] = {
    Maker.NVIDIA: ("CUDA_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES"),
    Maker.AMD: ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES"),
}


@dataclass(frozen=True, slots=True)
class EngineCard:
    """A card that the engine can compute on."""

    name: str
    """What the engine calls it: `CUDA0`, `Vulkan0`."""
    description: str
    """What its driver calls it."""
    memory: Memory
    address: str = ""
    """Where on the PCI bus it is; empty where that is not told."""
    backend: str = ""
    """What of the engine computes on it: `CUDA`, `Vulkan`, `MTL`."""
    is_integrated: bool = False
    """It shares the machine's memory."""
    number: int = 0
    """Its place among those that one load can use; `main_gpu` names it by this."""


@dataclass(frozen=True, slots=True)
class EngineCards:
    """What the installed engine says of the cards of this machine."""

    cards: tuple[EngineCard, ...] = ()
    """Those that one load can use, in the engine's order."""
    version: str = ""
    """The engine's version: another build of the same is what a card needs."""
    is_for_cards: bool = False
    """Whether it is a build for cards at all."""
    fault: str = ""
    """Why it could not be asked."""


def usable_together(found: Sequence[EngineCard]) -> tuple[EngineCard, ...]:
    """Return the cards that a load uses, numbered: by llama.cpp's own rule.

    A card that two backends see counts once, under the first. Graphics cores that share the
    machine's memory are used only where there is no card, and only those of one backend.
    """
    cards: list[EngineCard] = []
    for each in found:
        addresses = {card.address for card in cards if card.address}
        if not each.is_integrated and each.address not in addresses:
            cards.append(each)
    if not cards:
        shared = [each for each in found if each.is_integrated]
        cards = [each for each in shared if each.backend == shared[0].backend]
    return tuple(replace(card, number=number) for number, card in enumerate(cards))


def matching(card: Card, engine: Sequence[EngineCard]) -> EngineCard | None:
    """Return the engine's name for a card: the same address, or the same name where none tells."""
    for each in engine:
        if card.address and each.address == card.address:
            return each
    return next((each for each in engine if _are_called_alike(card, each)), None)


def _are_called_alike(card: Card, each: EngineCard) -> bool:
    if card.address and each.address:
        return False
    if card.maker is Maker.APPLE:
        return each.backend.upper().startswith(("MTL", "METAL"))
    return each.description == card.name


def why_unused(card: Card, engine: EngineCards, environment: Mapping[str, str]) -> tuple[str, str]:
    """Say why the engine does not compute on a card, and the command that changes it."""
    if card.fault:
        return card.fault, ""
    if engine.fault:
        return f"the engine could not be asked for cards: {engine.fault}", ""
    command = install_command(card, engine)
    if not engine.is_for_cards:
        return "the installed engine computes on processors only", command
    hiding = next((name for name in _HIDING.get(card.maker, ()) if name in environment), "")
    if hiding:
        return f"hidden by {hiding}={environment[hiding]}", ""
    return "the installed engine is not for it", command


def install_command(card: Card, engine: EngineCards) -> str:
    """Return the command that installs an engine for a card."""
    exact = f"xllamacpp=={engine.version}" if engine.version else "xllamacpp"
    if card.maker is Maker.APPLE:
        return f"pip install --force-reinstall {exact}"
    build = _BUILDS.get(card.maker, _BUILDS[None])
    return f"pip install --force-reinstall --index-url {ENGINE_INDEX}/{build} {exact}"
