"""Which of some labels fits each of many texts: the seam of a batch, whatever computes it.

All prompts are the same words, then a text, then the same words again, and a label is read off as
what the model would say next if it could say nothing but a label. What all prompts begin with is
computed once, and nothing is generated.

`open_scorer` decides what computes, by trying out what could: which path is fast depends on the
types of the file's weights as much as on the machine. The answers mean the same on every path.
On the float path they do not depend on which texts are asked together, beyond the last digits of a
32-bit float. llama.cpp's kernels round differently for other company, so who wants the same bytes
again asks the same texts together.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean

from puna.errors import Unavailable
from puna.hardware.memory import available_memory
from puna.hardware.processor import detect_processor
from puna.models.fit import Plan, Room, RoomKind, fit_plan
from puna.models.fit_offload import CardRoom, CardWish, Offloading
from puna.models.gguf import GgufHeader, read_header
from puna.node.engine.asking_cards import engine_rooms
from puna.node.engine.engine import LoadFailed
from puna.node.engine.floats.shape import FloatShape, NotFloat, read_shape
from puna.node.engine.label_engines import (
    FLOAT_NODES,
    KERNEL_NODES,
    KERNEL_ROWS,
    ChildScorer,
    LabelLoad,
    UnknownBuild,
)
from puna.node.engine.label_question import (
    Choice,
    ComputePath,
    LabelQuestion,
    LabelScorer,
    LabelScores,
    NotLabels,
    check_labels,
)
from puna.node.engine.process import load_llama
from puna.node.engine.request import LoadSpec
from puna.settings import load_settings
from puna.units import Size
from puna.world import World

__all__ = ["Choice", "ComputePath", "LabelQuestion", "LabelScorer", "LabelScores", "NotLabels"]
__all__ += ["check_labels", "load_fastest", "open_scorer"]

_CONTEXT = 4096
_PROCESS_BYTES = 70_000_000
"""What a core's process holds besides: the interpreter, numpy and llama.cpp's library."""
_FAR_APART = 1.5
"""By how much two paths' logarithms may differ on average before one of them must be wrong."""


class LabelsNeedNumpy(Unavailable):
    """A package is missing that all ways to tell labels need."""

    code = "labels_need_numpy"


@asynccontextmanager
async def open_scorer(  # noqa: PLR0913 - the last four are for the few who need them
    weights: Path,
    question: LabelQuestion,
    world: World,
    *,
    threads: int | None = None,
    path: ComputePath | None = None,
    memory: Size | None = None,
    cards: Sequence[CardRoom] | None = None,
) -> AsyncIterator[LabelScorer]:
    """Load a model to tell labels; it is gone at the end of the context.

    `path` is for who must have one and no other, such as a job that was begun on it; `memory` is
    the most that it may take and `cards` what it may use, else it is what can be had. Raises
    `NotLabels`, `LoadFailed`, `BadGguf`, `LabelsNeedNumpy`.
    """
    check_labels(question)
    if find_spec("numpy") is None:
        raise LabelsNeedNumpy(
            "telling labels needs numpy", hint='install it with: pip install "puna[batch]"'
        )
    header = read_header(weights)
    trained = header.integer(header.own_key("context_length")) or _CONTEXT
    count = threads or detect_processor().best_threads
    free = available_memory().available if memory is None else memory
    load = LabelLoad(weights, question, min(_CONTEXT, trained), count, free)
    if cards is None:
        cards = await asyncio.to_thread(lambda: engine_rooms(load_settings().node))
    load = _on_cards(load, header, cards)
    async with AsyncExitStack() as stack:
        scorer = await (
            _load(load, header, world, path) if path else load_fastest(load, header, world)
        )
        stack.push_async_callback(scorer.stop)
        yield scorer


async def _load(
    load: LabelLoad, header: GgufHeader, world: World, path: ComputePath
) -> LabelScorer:
    why = "it was asked for"
    if path is ComputePath.SLOTS:
        return await _load_slots(load, header, world, why)
    if path is ComputePath.CARD and not load.shares:
        raise LoadFailed("no card here takes the whole model, and a card was asked for")
    if path is not ComputePath.FLOAT:
        if path is ComputePath.KERNELS:
            _check_fits(load, header)
        return _because(await ChildScorer.load(load, path), why)
    try:
        shape = _float_shape(load, header)
    except NotFloat as error:
        raise LoadFailed(f"the float path does not take this model: {error}") from error
    return _because(await ChildScorer.load(load, path), f"{why}; {_takes(load, shape)}")


async def load_fastest(load: LabelLoad, header: GgufHeader, world: World) -> LabelScorer:
    """Load what can be loaded, keep the fastest, and say why. Raises `LoadFailed`."""
    if not load.shares:
        return await _fastest_here(load, header, world)
    names = " and ".join(dict.fromkeys(each.label or each.name for each in load.shares))
    async with AsyncExitStack() as stack:
        try:
            card = await ChildScorer.load(load, ComputePath.CARD)
        except LoadFailed as error:
            here = await _fastest_here(load, header, world)
            if isinstance(here, ChildScorer):
                return _because(here, f"{here.choice.why}; on {names}: {error.message}")
            return here
        stack.push_async_callback(card.stop)
        try:
            here = await _fastest_here(load, header, world)
        except LoadFailed as error:
            stack.pop_all()
            return _because(card, f"on {names}; {error.message}")
        stack.push_async_callback(here.stop)
        chosen, other = await _card_or_here(card, here, names)
        stack.pop_all()
    await other.stop()
    return chosen


async def _card_or_here(
    card: ChildScorer, here: LabelScorer, names: str
) -> tuple[LabelScorer, LabelScorer]:
    """Return both, the one to keep first."""
    if not isinstance(here, ChildScorer):
        return card, here
    fast, slow = await card.pace(), await here.pace()
    told = f"measured: {fast:.0f} tokens a second on {names}, {slow:.0f} on the processors"
    apart = _distance(card, here)
    if apart > _FAR_APART:
        told = f"the answers of {names} are others than the processors', by {apart:.1f}"
    elif fast > slow:
        return _because(card, told), here
    return _because(here, f"{told}; {here.choice.why}"), card


async def _fastest_here(load: LabelLoad, header: GgufHeader, world: World) -> LabelScorer:
    """Load the fastest of what needs no card."""
    needed = _check_fits(load, header)
    try:
        shape: FloatShape | None = _float_shape(load, header, beside=needed)
        why = ""
    except NotFloat as error:
        shape, why = None, f"the float path does not take this model: {error}"
    try:
        kernels = await ChildScorer.load(load, ComputePath.KERNELS)
    except UnknownBuild as error:
        return await _load_slots(load, header, world, error.message)
    if shape is None:
        return _because(kernels, why)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(kernels.stop)
        chosen, other = await _faster(kernels, load, shape)
        stack.pop_all()
    if other is not None:
        await other.stop()
    return chosen


async def _faster(
    kernels: ChildScorer, load: LabelLoad, shape: FloatShape
) -> tuple[ChildScorer, ChildScorer | None]:
    """Load the float path beside llama.cpp, and return both, the one to keep first."""
    try:
        floats = await ChildScorer.load(load, ComputePath.FLOAT)
    except LoadFailed as error:
        return _because(kernels, f"the float path did not load: {error.message}"), None
    try:
        slow, fast = await kernels.pace(), await floats.pace()
    except BaseException:
        await floats.stop()
        raise
    told = (
        f"measured: {fast:.0f} tokens a second of the processors' time by the float path, "
        f"{slow:.0f} by llama.cpp"
    )
    apart = _distance(kernels, floats)
    if apart > _FAR_APART:
        told = f"the float path's answers are others than llama.cpp's, by {apart:.1f}"
    elif fast > slow:
        return _because(floats, f"{told}; {_takes(load, shape)}"), kernels
    return _because(kernels, told), floats


def _distance(one: ChildScorer, other: ChildScorer) -> float:
    """Return how far two paths' logarithms are apart on average."""
    return fmean(abs(a - b) for a, b in zip(one.baseline, other.baseline, strict=True))


async def _load_slots(load: LabelLoad, header: GgufHeader, world: World, why: str) -> LabelScorer:
    from puna.node.engine.label_slots import SLOTS, SlotScorer, Vocabulary  # noqa: PLC0415 - numpy

    engine = await load_llama(
        LoadSpec(load.weights, load.context, SLOTS, Size(0), threads=load.threads), world
    )
    try:
        over = [header.integer(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot")]
        line = await engine.tokenize("\n", add_special=False)
        ends = tuple({each for each in over if each is not None} | set(line[-1:]))
        scorer = await SlotScorer.begin(engine, load.question, Vocabulary(load.context, ends))
    except BaseException:
        await engine.stop()
        raise
    scorer.choice = replace(scorer.choice, why=why)
    return scorer


def _because(scorer: ChildScorer, why: str) -> ChildScorer:
    scorer.choice = replace(scorer.choice, why=why)
    return scorer


def _float_shape(load: LabelLoad, header: GgufHeader, *, beside: int = 0) -> FloatShape:
    """Return the shape of a model that the float path can take here. Raises `NotFloat`.

    `beside` is what something else takes meanwhile.
    """
    shape = read_shape(header)
    needed = Size(_float_memory(load, shape) + beside)
    if needed > load.memory:
        raise NotFloat(f"it would take {needed} of memory, and {load.memory} can be had")
    return shape


def _float_memory(load: LabelLoad, shape: FloatShape) -> Size:
    return Size(4 * shape.layers * shape.layer_numbers + load.threads * _core_memory(shape))


def _core_memory(shape: FloatShape) -> Size:
    widest = shape.projected + 2 * shape.inner + 4 * shape.width + shape.heads * shape.head
    return Size(_PROCESS_BYTES + 4 * FLOAT_NODES * widest)


def _takes(load: LabelLoad, shape: FloatShape) -> str:
    weights = Size(4 * shape.layers * shape.layer_numbers)
    own = _core_memory(shape)
    if load.threads == 1:
        return f"it takes {weights} for the weights as floats, and about {own} for its process"
    return (
        f"it takes {weights} for the weights as floats, which {load.threads} processes share, and "
        f"about {own} for each of them"
    )


def _on_cards(load: LabelLoad, header: GgufHeader, cards: Sequence[CardRoom]) -> LabelLoad:
    """Return the load with its layers on cards, if those take all of them."""
    if not cards:
        return load
    offload = Offloading(header).offload(_kernel_plan(load), cards, CardWish())
    if offload is None or not offload.is_whole or offload.memory > load.memory:
        return load
    return replace(load, shares=offload.shares, layers=offload.layers)


def _kernel_plan(load: LabelLoad) -> Plan:
    return Plan(
        context=load.context,
        parallel=1,
        cache_type="f16",
        batch=min(KERNEL_NODES, load.context),
        outputs=KERNEL_ROWS,
        keeps_all=True,
    )


def _check_fits(load: LabelLoad, header: GgufHeader) -> Size:
    """Return what llama.cpp takes. Raises `LoadFailed` where there is less."""
    free = load.memory
    fit = fit_plan(header, _kernel_plan(load), (Room("memory", RoomKind.MEMORY, free, free),))
    if not fit.fits:
        raise LoadFailed(
            f"{load.weights.name} needs {fit.needed} of memory and {free} can be had",
            hint="; ".join(fit.advice),
        )
    return fit.needed
