"""How a model is to be loaded: context, slots, and the memory that both will take.

What a request asks for wins, then the model's own options, then the settings, then what fits. The
context is never made smaller to fit: a model that is too big is refused with the numbers before
anything is loaded.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from puna.models.fit import DEFAULT_SLOTS, Plan, Room, RoomKind, choose_slots, fit_plan
from puna.models.fit_offload import CardRoom, Offload, Offloading
from puna.models.fit_projector import COUNTED_PIXELS, DECODED_PIXEL, projector_size
from puna.models.gguf import GgufHeader
from puna.models.options import Loading
from puna.node.aim import Aim
from puna.node.card_plan import TooBig, card_wish, offload_for, placed
from puna.node.engine.request import CacheType, LoadSpec, Purpose, Speculation
from puna.node.scheduler.state import Wanted
from puna.settings import NodeSettings
from puna.units import Size

DEFAULT_CONTEXT = 4096
LEAST_CONTEXT = 4
DEFAULT_BATCH = 512
DRAFTED_TOKENS = 4
_MOST_PLANS = 256
_MOST_KEPT = 7
"""Adapters of other models that stay beside a model's own."""
LEAST_BATCH = 2
"""With one token llama.cpp fails an assertion, as it does with fewer tokens than slots."""
_FOR_CARDS = ("num_gpu", "main_gpu")


@dataclass(frozen=True, slots=True)
class LoadWish:
    """A model to load: its name for messages, what its file says, and what is asked."""

    label: str
    header: GgufHeader
    loading: Loading
    purpose: Purpose = Purpose.ANSWER
    draft: GgufHeader | None = None
    """The file of the model that guesses ahead, if it has one."""
    guesses: bool = True
    """Whether it may guess ahead, as far as was found out."""
    adapters: tuple[GgufHeader, ...] = ()
    """The files of its adapters, which are loaded beside the weights."""
    projector: GgufHeader | None = None
    """The file of the part that sees images, if it has one."""


def plan_load(
    wish: LoadWish,
    settings: NodeSettings,
    *,
    loaded: LoadSpec | None,
    free: Callable[[], Size],
    cards: Sequence[CardRoom] = (),
) -> Wanted:
    """Return how to load a model where `free()` bytes and `cards` can be had. Raises `TooBig`.

    `loaded` is how it is loaded already. If that serves, nothing is measured. A request that asks
    for no particular context is content with a larger one than it would get, so that clients that
    ask and clients that do not share one engine instead of reloading it in turn.
    """
    loading = wish.loading
    context = context_for(wish, settings)
    aim = Aim(wish.header, wish.purpose)
    own = tuple(each.path for each in wish.adapters)
    spec = LoadSpec(
        weights=wish.header.path,
        context=context,
        slots=1,
        memory=Size(0),
        batch=context if aim.is_whole else _batch(wish, context, settings),
        threads=loading.num_thread or settings.threads or None,
        gpu_layers=_layers_asked(wish) if cards else 0,
        main_gpu=loading.main_gpu if cards and loading.num_gpu != 0 else None,
        may_shrink=loading.num_gpu is None,
        use_mmap=loading.use_mmap,
        cache_type=CacheType(settings.kv_cache_type),
        flash_attention=settings.flash_attention,
        purpose=wish.purpose,
        pooling=aim.pooling,
        speculation=speculation_for(wish, settings),
        adapters=(*_adapters_kept(wish, loaded), *own),
        projector=wish.projector.path if wish.projector else None,
    )
    wanted = Wanted(wish.label, spec, _automatic(wish, context, loaded), adapters=own)
    if loaded is not None and wanted.accepts(loaded):
        return replace(wanted, spec=loaded)
    try:
        spec = _seated(wish, settings, spec, free(), cards)
    except TooBig:
        if spec.adapters == own:
            raise
        spec = _seated(wish, settings, replace(spec, adapters=own), free(), cards)
    return replace(wanted, spec=spec)


def _layers_asked(wish: LoadWish) -> int:
    asked = wish.loading.num_gpu
    return min(asked, Offloading(wish.header).all_layers) if asked else 0


def _adapters_kept(wish: LoadWish, loaded: LoadSpec | None) -> tuple[Path, ...]:
    """Return the adapters of other models that stay loaded, so that none waits for a reload."""
    if loaded is None or wish.purpose is not Purpose.ANSWER:
        return ()
    own = {each.path for each in wish.adapters}
    kept = [path for path in loaded.adapters if path not in own and path.exists()]
    return tuple(kept[-_MOST_KEPT:])


class Plans:
    """Plans for models that are loaded, kept: most requests want what the one before wanted."""

    def __init__(
        self,
        settings: NodeSettings,
        free: Callable[[], Size],
        cards: Callable[[], Sequence[CardRoom]],
    ) -> None:
        self._settings = settings
        self._free = free
        self._cards = cards
        self._kept: dict[
            tuple[str, Loading, bool, LoadSpec], tuple[tuple[GgufHeader, ...], Wanted]
        ] = {}

    def plan(self, wish: LoadWish, *, loaded: LoadSpec | None) -> Wanted:
        """Return what `plan_load` does, and raise what it does."""
        if loaded is None:
            return self._planned(wish, None)
        key = (wish.label, wish.loading, wish.guesses, loaded)
        files, wanted = self._kept.get(key, ((), None))
        if wanted is None or not _are_same(files, _files(wish)):
            wanted = self._planned(wish, loaded)
            if len(self._kept) >= _MOST_PLANS:
                self._kept.clear()
            self._kept[key] = (_files(wish), wanted)
        return wanted

    def _planned(self, wish: LoadWish, loaded: LoadSpec | None) -> Wanted:
        return plan_load(wish, self._settings, loaded=loaded, free=self._free, cards=self._cards())


def _files(wish: LoadWish) -> tuple[GgufHeader, ...]:
    return wish.header, *wish.adapters, *([wish.projector] if wish.projector else [])


def _are_same(some: tuple[GgufHeader, ...], others: tuple[GgufHeader, ...]) -> bool:
    # Comparing what headers hold would take longer than a plan.
    return len(some) == len(others) and all(map(operator.is_, some, others))


def _automatic(wish: LoadWish, context: int, loaded: LoadSpec | None) -> frozenset[str]:
    """Name the fields that nobody asked for."""
    loading = wish.loading
    asked = {
        "batch": loading.num_batch,
        "threads": loading.num_thread,
        "use_mmap": loading.use_mmap,
        "gpu_layers": loading.num_gpu,
        "main_gpu": loading.main_gpu,
    }
    automatic = {name for name, value in asked.items() if value is None}
    if wish.purpose is not Purpose.ANSWER:
        automatic.add("batch")
    # A text to embed is cut to what was asked for before the engine sees it.
    is_open = loading.num_ctx is None or wish.purpose is not Purpose.ANSWER
    if is_open and loaded is not None and loaded.context >= context:
        automatic.add("context")
    return frozenset(automatic)


def context_for(wish: LoadWish, settings: NodeSettings) -> int:
    """Return the context of one slot: as asked or set, at most what the model was trained on."""
    context = wish.loading.num_ctx or settings.context_length or DEFAULT_CONTEXT
    trained = wish.header.integer(wish.header.own_key("context_length")) or context
    return max(LEAST_CONTEXT, min(context, trained))


def speculation_for(wish: LoadWish, settings: NodeSettings) -> Speculation | None:
    """Return how tokens are guessed ahead: by a draft model if there is one, else if it is set.

    A draft model sees no images, so with a projector none is used.
    """
    if wish.draft is not None and wish.projector is not None:
        return None
    has_draft = wish.draft is not None
    if not (wish.guesses and can_guess(settings, has_draft=has_draft)):
        return None
    if wish.loading.draft_num_predict == 0:
        return None
    if wish.draft is not None:
        return Speculation(wish.draft.path, wish.loading.draft_num_predict or DRAFTED_TOKENS)
    return Speculation()


def can_guess(settings: NodeSettings, *, has_draft: bool) -> bool:
    """Tell whether a model could guess ahead at all: most cannot, and need no more thought."""
    return settings.speculation == "ngram" or (has_draft and settings.speculation != "off")


def without_effect(
    given: Mapping[str, object], *, has_draft: bool, has_cards: bool
) -> tuple[str, ...]:
    """Return the load options that are asked for and change nothing, for want of what they need."""
    names = () if has_cards else _FOR_CARDS
    names = names if has_draft else (*names, "draft_num_predict")
    return tuple(name for name in names if given.get(name) not in {None, 0, -1})


def _batch(wish: LoadWish, context: int, settings: NodeSettings) -> int:
    """Return the batch as asked, and large enough for llama.cpp and for slots that are set.

    Some models (Gemma) read an image in one step, which has to hold all its tokens.
    """
    asked = wish.loading.num_batch or DEFAULT_BATCH
    least = DEFAULT_BATCH if wish.projector else LEAST_BATCH
    return max(LEAST_BATCH, settings.num_parallel or 1, min(max(asked, least), context))


def _seated(
    wish: LoadWish,
    settings: NodeSettings,
    spec: LoadSpec,
    free: Size,
    cards: Sequence[CardRoom],
) -> LoadSpec:
    """Take the slots that are set, else as many as fit with all layers on cards, or in memory.

    Four at most, and no more than a batch has room for.
    """
    aim = Aim(wish.header, wish.purpose)
    wanted = aim.most_slots or settings.num_parallel
    plan = Plan(
        context=spec.context,
        parallel=wanted or 1,
        cache_type=spec.cache_type,
        batch=spec.batch,
        is_mapped=spec.use_mmap is not False,
        has_flash_attention=spec.flash_attention is not False,
        outputs=aim.outputs(spec.batch),
        keeps_all=wish.purpose is Purpose.SCORE,
    )
    drafting = _drafting(spec, wish.draft, plan)
    seeing = projector_size(wish.projector) if wish.projector else Size(0)
    own = {each.path: int(each.file_size) for each in wish.adapters}
    adapting = sum(own.get(path) or _size_of(path) for path in spec.adapters)
    beside = Size(drafting + seeing + adapting)
    most = aim.most_slots or DEFAULT_SLOTS if aim.most_slots or not wanted else wanted
    if cards and wish.loading.num_gpu != 0:
        least = 1 if aim.most_slots or not wanted else wanted
        counts = range(min(most, spec.batch), least - 1, -1)
        plans = [replace(plan, parallel=count, beside=beside) for count in counts]
        asked = card_wish(wish.loading, spreads=settings.sched_spread)
        found = offload_for(wish.label, wish.header, plans, cards, asked)
        if found is not None:
            seated = _on_cards(wish, replace(spec, slots=found[0].parallel), found[1], free)
            if seated is not None:
                return seated
    left = Size(max(0, free - beside))
    room = Room("memory", RoomKind.MEMORY, left, left)
    if aim.most_slots or not wanted:
        wanted = min(choose_slots(wish.header, plan, room, wanted=most) or 1, spec.batch)
    slots = wanted
    fit = fit_plan(wish.header, replace(plan, parallel=slots), (room,))
    if not fit.fits:
        also = f" and {beside} for {_company(wish, drafting)}" if beside else ""
        raise TooBig(
            f'model "{wish.label}" needs {fit.needed}{also} of memory '
            f"for a context of {spec.context} "
            f"and {free} can be used: {int(fit.short_by)} bytes too few",
            hint="; ".join(fit.advice),
        )
    layers = Offloading(wish.header).all_layers if cards and wish.loading.num_gpu != 0 else 0
    memory = Size(fit.needed + beside)
    return replace(spec, slots=slots, memory=memory, gpu_layers=0, all_layers=layers)


def _on_cards(wish: LoadWish, spec: LoadSpec, offload: Offload, free: Size) -> LoadSpec | None:
    """Return the load on cards; None where memory is too small for the rest of it.

    A driver takes memory as well, so a small model may need less without a card. Raises `TooBig`
    where cards were asked for.
    """
    pictures = COUNTED_PIXELS * DECODED_PIXEL if wish.projector else 0
    needed = Size(offload.memory + pictures)
    if needed > free and wish.loading.num_gpu is None:
        return None
    if needed > free:
        raise TooBig(
            f'model "{wish.label}" needs {needed} of memory beside {offload.layers} of '
            f"{offload.all_layers} layers on cards, and {free} can be used: "
            f"{needed - free} bytes too few",
            hint="a smaller context or quantization needs less",
        )
    return placed(spec, replace(offload, memory=needed))


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # loading it says why


def _company(wish: LoadWish, drafting: Size) -> str:
    company = (
        ("draft model", drafting),
        ("adapter", wish.adapters),
        ("projector", wish.projector),
    )
    names = [name for name, count in company if count]
    return f"its {' and '.join(names)}"


def _drafting(spec: LoadSpec, draft: GgufHeader | None, plan: Plan) -> Size:
    """Return what a draft model takes beside the model: its weights and as much context."""
    if draft is None or spec.speculation is None:
        return Size(0)
    slots = max(plan.parallel, DEFAULT_SLOTS)
    return fit_plan(draft, replace(plan, parallel=slots), ()).total
