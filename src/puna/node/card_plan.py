"""Where a load's layers go: on cards as far as they fit, and the words for it. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from puna.errors import Failed, Invalid
from puna.models.fit_memory import Plan
from puna.models.fit_offload import CardRoom, CardShare, CardWish, Offload, Offloading
from puna.models.gguf import GgufHeader
from puna.models.options import Loading
from puna.node.engine.request import LoadSpec
from puna.units import Size


class TooBig(Failed):
    """The model would not fit, even with nothing else loaded."""

    code = "too_big"


def card_wish(loading: Loading, *, spreads: bool) -> CardWish:
    """Return what the options of a load ask of cards."""
    return CardWish(loading.num_gpu, loading.main_gpu, spreads=spreads)


def offload_for(
    label: str,
    header: GgufHeader,
    plans: Iterable[Plan],
    cards: Sequence[CardRoom],
    wish: CardWish,
) -> tuple[Plan, Offload] | None:
    """Return the first plan for which the whole model (or as much as asked) fits on cards.

    Where the whole never fits, as much of it as fits with the last plan; None for nothing. Raises
    `TooBig` where a number of layers is asked for that does not fit.
    """
    _check_main(cards, wish)
    model = Offloading(header)
    found = None
    for plan in plans:
        offload = model.offload(plan, cards, wish)
        if offload is not None and (offload.is_whole or wish.layers is not None):
            return plan, offload
        found = (plan, offload)
    if found is None or wish.layers is None:
        return None if found is None or found[1] is None else (found[0], found[1])
    plan = found[0]
    most = model.most_layers(plan, cards, wish)
    layers = min(wish.layers, model.all_layers)
    needed = model.needed(plan, layers)
    room = Size(sum(each.most for each in cards if wish.main in {None, each.number}))
    raise TooBig(
        f'model "{label}" needs {needed} for {layers} of {model.all_layers} layers on '
        f"{_names(each.label or each.name for each in cards if wish.main in {None, each.number})} "
        f"and {room} can be used",
        hint=f"{most} layers fit: num_gpu {most}; num_gpu -1 takes as many as fit",
    )


def _check_main(cards: Sequence[CardRoom], wish: CardWish) -> None:
    if wish.main is not None and wish.main not in {each.number for each in cards}:
        numbers = ", ".join(f"{each.number} ({each.label or each.name})" for each in cards)
        raise Invalid(f"main_gpu {wish.main} is no card here: there is {numbers}")


def placed(spec: LoadSpec, offload: Offload) -> LoadSpec:
    """Return a load with its layers where the plan has them."""
    return replace(
        spec,
        gpu_layers=offload.layers,
        main_gpu=offload.shares[0].number if len(offload.shares) == 1 else None,
        all_layers=offload.all_layers,
        shares=offload.shares,
        memory=offload.memory,
        model_memory=offload.model_memory,
    )


def place_words(spec: LoadSpec) -> str:
    """Say what of a load is where: `31 of 31 layers on Tesla T4 (2 GB), 439 MB of memory`."""
    if not spec.shares:
        none = ", nothing of it on a card" if spec.all_layers and spec.may_shrink else ""
        return f"{spec.memory} of memory{none}"
    cards = _names(f"{each.label or each.name} ({each.memory})" for each in spec.shares)
    return f"{spec.gpu_layers} of {spec.all_layers} layers on {cards}, {spec.memory} of memory"


def card_names(shares: Iterable[CardShare]) -> str:
    """Return the names of cards for people, each with how often it is there."""
    return _names(each.label or each.name for each in shares)


def _names(words: Iterable[str]) -> str:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    names = [word if count == 1 else f"{count} x {word}" for word, count in counts.items()]
    return " and ".join(names) or "no card"


def is_partly_on_cards(spec: LoadSpec) -> bool:
    """Whether the processor computes a part, or all, of what could have been on a card."""
    return bool(spec.all_layers) and spec.gpu_layers < spec.all_layers and spec.may_shrink
