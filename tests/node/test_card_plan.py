"""Cards in the plan of a load: what is asked, what fits, what is refused and in which words."""

from dataclasses import replace
from pathlib import Path

import pytest

from puna.errors import Invalid
from puna.models.fit_offload import CardRoom, CardShare, Offloading
from puna.models.gguf import GgufHeader
from puna.models.options import Loading
from puna.node.card_plan import TooBig, card_names, is_partly_on_cards, place_words
from puna.node.engine.request import LoadSpec
from puna.node.placing import LoadWish, plan_load
from puna.node.scheduler.state import Wanted
from puna.settings import NodeSettings, load_settings
from puna.units import Size
from tests.models.test_fit_offload import ALL, PLAN, a_header

GB = 10**9
PLENTY = Size(64 * GB)
SHARE = CardShare("CUDA0", 0, 20, Size(2 * GB), "Tesla T4")
SPEC = LoadSpec(Path("/models/x"), 4096, 1, Size(GB), may_shrink=True)


@pytest.fixture
def header(tmp_path: Path) -> GgufHeader:
    return a_header(tmp_path)


def settings(**changes: object) -> NodeSettings:
    return replace(load_settings({}).node, **changes)  # type: ignore[arg-type]


def a_card(free: int, *, number: int = 0) -> CardRoom:
    return CardRoom(f"CUDA{number}", number, Size(free), Size(free), "Tesla T4")


def plan(
    header: GgufHeader,
    *cards: CardRoom,
    loaded: LoadSpec | None = None,
    free: Size = PLENTY,
    num_gpu: int | None = None,
    main_gpu: int | None = None,
    **set_: object,
) -> Wanted:
    wish = LoadWish("model", header, Loading(num_gpu=num_gpu, main_gpu=main_gpu))
    return plan_load(wish, settings(**set_), loaded=loaded, free=lambda: free, cards=cards)


def test_a_model_that_fits_is_on_the_card_with_all_its_requests(header: GgufHeader) -> None:
    spec = plan(header, a_card(8 * GB)).spec

    assert (spec.gpu_layers, spec.all_layers, spec.slots) == (ALL, ALL, 4)
    assert [each.name for each in spec.shares] == ["CUDA0"]
    assert not is_partly_on_cards(spec)


def test_fewer_requests_at_a_time_come_before_fewer_layers(header: GgufHeader) -> None:
    two = Offloading(header).needed(replace(PLAN, parallel=2), ALL)
    spec = plan(header, a_card(two)).spec

    assert (spec.gpu_layers, spec.slots) == (ALL, 2)


def test_the_rest_of_a_model_that_is_too_big_is_in_memory(header: GgufHeader) -> None:
    spec = plan(header, a_card(Offloading(header).needed(PLAN, 6)), num_parallel=1).spec

    assert spec.gpu_layers == 6
    assert is_partly_on_cards(spec)


def test_a_card_without_room_for_a_layer_leaves_all_to_the_processor(header: GgufHeader) -> None:
    spec = plan(header, a_card(1000)).spec

    assert (spec.shares, spec.gpu_layers, spec.all_layers) == ((), 0, ALL)
    assert is_partly_on_cards(spec)
    assert place_words(spec).endswith("nothing of it on a card")


@pytest.mark.parametrize(
    ("asked", "layers"), [(None, ALL), (0, 0), (1, 1), (4, 4), (ALL, ALL), (999, ALL)]
)
def test_num_gpu_says_how_many_layers(header: GgufHeader, asked: int | None, layers: int) -> None:
    assert plan(header, a_card(8 * GB), num_gpu=asked).spec.gpu_layers == layers


def test_layers_that_do_not_fit_are_refused_with_the_numbers(header: GgufHeader) -> None:
    with pytest.raises(TooBig, match=r"for 9 of 11 layers on Tesla T4 and .* can be used") as found:
        plan(header, a_card(Offloading(header).needed(PLAN, 6)), num_gpu=9, num_parallel=1)

    assert found.value.hint.startswith("6 layers fit: num_gpu 6")


def test_main_gpu_names_the_only_card(header: GgufHeader) -> None:
    pair = (a_card(8 * GB), a_card(6 * GB, number=1))

    assert plan(header, *pair, main_gpu=1).spec.shares[0].name == "CUDA1"
    with pytest.raises(Invalid, match=r"main_gpu 2 is no card here: there is 0 \(Tesla T4\), 1"):
        plan(header, *pair, main_gpu=2)


def test_every_card_is_used_where_that_is_set(header: GgufHeader) -> None:
    pair = (a_card(8 * GB), a_card(8 * GB, number=1))

    assert len(plan(header, *pair).spec.shares) == 1
    assert len(plan(header, *pair, sched_spread=True).spec.shares) == 2


def test_memory_has_to_do_for_what_is_not_on_the_card(header: GgufHeader) -> None:
    with pytest.raises(TooBig, match=r"of memory beside 11 of 11 layers on cards"):
        plan(header, a_card(8 * GB), free=Size(1000), num_gpu=99)


def test_a_small_model_that_has_no_memory_for_a_driver_does_without(header: GgufHeader) -> None:
    alone = plan(header, num_parallel=1).spec.memory

    spec = plan(header, a_card(8 * GB), free=alone, num_parallel=1).spec

    assert (spec.shares, spec.memory) == ((), alone)


@pytest.mark.parametrize(
    ("first", "then", "is_accepted"),
    [
        ({}, {}, True),
        ({}, {"num_gpu": ALL}, True),
        ({}, {"num_gpu": 99}, True),
        ({}, {"num_gpu": 0}, False),
        ({}, {"num_gpu": 4}, False),
        ({"num_gpu": 0}, {}, True),
        ({"num_gpu": 4}, {}, True),
        ({"num_gpu": 4}, {"num_gpu": 4}, True),
        ({}, {"main_gpu": 0}, True),
        ({"main_gpu": 0}, {"main_gpu": 1}, False),
    ],
    ids=str,
)
def test_only_who_asks_for_other_cards_has_a_model_loaded_again(
    header: GgufHeader, first: dict[str, int], then: dict[str, int], is_accepted: bool
) -> None:
    pair = (a_card(8 * GB), a_card(6 * GB, number=1))
    loaded = plan(header, *pair, **first).spec  # type: ignore[arg-type]

    wanted = plan(header, *pair, loaded=loaded, **then)  # type: ignore[arg-type]

    assert wanted.accepts(loaded) is is_accepted
    assert (wanted.spec is loaded) is is_accepted


def test_without_cards_nothing_of_a_load_is_about_them(header: GgufHeader) -> None:
    spec = plan(header, num_gpu=20, main_gpu=1).spec

    assert (spec.gpu_layers, spec.main_gpu, spec.shares, spec.all_layers) == (0, None, (), 0)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (SPEC, "1 GB of memory"),
        (
            replace(SPEC, shares=(SHARE,), gpu_layers=20, all_layers=31),
            "20 of 31 layers on Tesla T4 (2 GB), 1 GB of memory",
        ),
        (
            replace(SPEC, shares=(SHARE, SHARE), gpu_layers=31, all_layers=31),
            "31 of 31 layers on 2 x Tesla T4 (2 GB), 1 GB of memory",
        ),
    ],
)
def test_a_load_is_said_in_one_line(spec: LoadSpec, words: str) -> None:
    assert place_words(spec) == words
    assert card_names([SHARE, SHARE]) == "2 x Tesla T4"
