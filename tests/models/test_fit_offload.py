"""Which layers go on which cards: a table of cards and wishes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from puna.models.fit import Plan, estimate_fit
from puna.models.fit_offload import (
    CARD_OVERHEAD,
    CardRoom,
    CardWish,
    Offload,
    Offloading,
)
from puna.models.gguf import GgufHeader, read_header
from puna.units import Size
from tests.builders import LLAMA, a_gguf

LAYERS = 10
SHAPE = {"llama.block_count": LAYERS, "llama.context_length": 4096}
PLAN = Plan(4096, 1)
NOTHING_ASKED = CardWish()


def a_header(folder: Path, **metadata: object) -> GgufHeader:
    """A model of ten equal layers, whose embeddings are its output as well."""
    file = folder / "model.gguf"
    tensors: dict[str, tuple[str, Sequence[int]]] = {"token_embd.weight": ("Q8_0", (64, 32))}
    tensors |= {f"blk.{layer}.attn_q.weight": ("F16", (64, 512)) for layer in range(LAYERS)}
    tensors["output_norm.weight"] = ("F32", (64,))
    file.write_bytes(a_gguf({**LLAMA, **SHAPE, **metadata}, tensors))
    return read_header(file)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Offloading:
    return Offloading(a_header(tmp_path_factory.mktemp("model")))


def room(model: Offloading, layers: int) -> int:
    """What so many layers take on a card beside the rest of the model in memory."""
    return int(model.needed(PLAN, layers))


def cards(*free: int, most: int = 0) -> list[CardRoom]:
    return [
        CardRoom(f"CUDA{number}", number, Size(size), Size(max(size, most)))
        for number, size in enumerate(free)
    ]


def layers_of(offload: Offload | None) -> dict[str, int]:
    return {each.name: each.layers for each in offload.shares} if offload else {}


ALL = LAYERS + 1
PART = 6


@pytest.mark.parametrize(
    ("free", "wish", "layers"),
    [
        ([ALL], NOTHING_ASKED, {"CUDA0": ALL}),
        ([ALL, ALL], NOTHING_ASKED, {"CUDA0": ALL}),
        ([PART, ALL], NOTHING_ASKED, {"CUDA1": ALL}),
        ([PART], NOTHING_ASKED, {"CUDA0": PART}),
        ([0], NOTHING_ASKED, {}),
        ([], NOTHING_ASKED, {}),
        ([9, 3], NOTHING_ASKED, {"CUDA0": 8, "CUDA1": 3}),
        ([8, 3], NOTHING_ASKED, {"CUDA0": 7, "CUDA1": 3}),
        ([ALL, ALL], CardWish(spreads=True), {"CUDA0": 5, "CUDA1": 6}),
        ([ALL], CardWish(4), {"CUDA0": 4}),
        ([ALL], CardWish(1000), {"CUDA0": ALL}),
        ([PART], CardWish(7), {}),
        ([ALL, ALL], CardWish(main=1), {"CUDA1": ALL}),
        ([ALL, 3], CardWish(main=1), {"CUDA1": 3}),
    ],
    ids=str,
)
def test_layers_go_where_they_fit(
    model: Offloading, free: list[int], wish: CardWish, layers: dict[str, int]
) -> None:
    rooms = cards(*(room(model, count) if count else 0 for count in free))

    assert layers_of(model.offload(PLAN, rooms, wish)) == layers


def test_room_that_is_free_comes_before_room_that_a_model_must_leave(model: Offloading) -> None:
    whole, few = room(model, ALL), room(model, 2)
    first = CardRoom("CUDA0", 0, Size(few), Size(2 * whole))
    second = CardRoom("CUDA1", 1, Size(whole), Size(whole))

    assert layers_of(model.offload(PLAN, [first, second], NOTHING_ASKED)) == {"CUDA1": ALL}
    smaller = replace(second, free=Size(few))
    assert layers_of(model.offload(PLAN, [first, smaller], NOTHING_ASKED)) == {"CUDA0": ALL}


def test_the_longer_the_context_the_fewer_layers_fit(model: Offloading) -> None:
    rooms = cards(room(model, ALL))
    found = [
        model.most_layers(Plan(context, 1), rooms, NOTHING_ASKED) for context in (2048, 8192, 32768)
    ]

    assert found == sorted(found, reverse=True)
    assert found[0] == ALL > found[-1]


def test_what_is_beside_the_model_takes_room_on_the_first_card(model: Offloading) -> None:
    beside = 5_000_000
    plan = replace(PLAN, beside=Size(beside))
    whole = room(model, ALL)

    small = model.offload(plan, cards(whole), NOTHING_ASKED)
    large = model.offload(plan, cards(whole + beside), NOTHING_ASKED)

    assert small is not None
    assert small.layers < ALL
    assert large is not None
    assert large.shares[0].memory > beside + CARD_OVERHEAD
    assert large.is_whole


def test_what_leaves_memory_for_a_card_is_no_longer_counted_there(model: Offloading) -> None:
    rooms = cards(room(model, ALL))
    sizes = [
        found.memory
        for layers in (1, 5, ALL)
        if (found := model.offload(PLAN, rooms, CardWish(layers))) is not None
    ]
    alone = estimate_fit(model.header, context=4096, parallel=1, rooms=()).total

    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == 3
    assert sizes[-1] - 300_000_000 < alone  # what a driver takes in the process


def test_output_that_is_the_embeddings_as_well_is_there_twice(
    model: Offloading,
) -> None:
    tied = model.offload(PLAN, cards(room(model, ALL)), CardWish(1))

    assert tied is not None
    assert tied.shares[0].memory > CARD_OVERHEAD + 64 * 32


def test_a_model_in_several_files_is_spread_evenly(tmp_path: Path) -> None:
    model = Offloading(a_header(tmp_path, **{"split.count": 3}))

    found = model.offload(PLAN, cards(room(model, ALL)), NOTHING_ASKED)

    assert layers_of(found) == {"CUDA0": ALL}


@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=4),
    st.none() | st.integers(1, 12),
    st.booleans(),
)
def test_no_card_gets_more_than_it_has(
    model: Offloading, free: list[int], asked: int | None, spreads: bool
) -> None:
    rooms = cards(*(room(model, min(count, ALL)) if count else 0 for count in free))

    found = model.offload(PLAN, rooms, CardWish(asked, spreads=spreads))

    free_by_name = {each.name: each.most for each in rooms}
    shares = found.shares if found else ()
    assert all(each.memory <= free_by_name[each.name] for each in shares)
    assert sum(each.layers for each in shares) == (found.layers if found else 0)
    assert asked is None or found is None or found.layers == min(asked, ALL)
