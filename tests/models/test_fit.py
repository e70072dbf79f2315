"""What fits where, what does not by how many bytes, and what would."""

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from puna.errors import Invalid
from puna.models.fit import (
    Fit,
    Plan,
    Room,
    RoomKind,
    Verdict,
    choose_slots,
    estimate_fit,
    fit_plan,
    largest_context,
)
from puna.models.gguf import GgufHeader
from puna.units import Size
from tests.builders import a_header
from tests.models.architectures import KNOWN, a_transformer

GB = 10**9
TIGHT = 6_030_000_000
"""Too little by a context of 4096 with 4 slots; far from every limit, since machines differ."""


def memory(free: int, name: str = "memory") -> Room:
    return Room(name, RoomKind.MEMORY, Size(free), Size(64 * GB))


def card(gigabytes: int, name: str = "card 0") -> Room:
    return Room(name, RoomKind.CARD, Size(gigabytes * GB), Size(gigabytes * GB))


def an_8b(kind: str = "Q4_1", **more: object) -> GgufHeader:
    """Return a llama of 8 thousand million parameters, about 5 GB in Q4_1."""
    widths, heads = (4096, 14336), (32, 8, 128)
    weights = {f"blk.{n}.ffn_up.weight": (kind, (4096, 53_248)) for n in range(32)}
    numbers = {"block_count": 32, "context_length": 131_072, "vocabulary": 128_256}
    return a_transformer("llama", widths, heads, tensors=weights, **(numbers | more))


def fit_of(room: Room, **more: object) -> Fit:
    plan = replace(Plan(4096, 4), **more)  # type: ignore[arg-type]
    return fit_plan(an_8b(), plan, (room,))


def test_a_model_that_fits_says_where_and_needs_no_advice() -> None:
    fit = fit_of(memory(16 * GB))

    assert fit.fits
    assert fit.short_by == 0
    assert fit.advice == ()
    assert str(fit.verdicts[0]) == "memory: fits, 6.9 GB of 16 GB free"


def test_the_total_is_the_sum_of_its_parts() -> None:
    fit = estimate_fit(an_8b(), context=4096, parallel=4, rooms=())

    assert fit.total == fit.weights + fit.cache + fit.buffers + fit.margin
    assert fit.cache == 4 * 4096 * 32 * 2048 * 2
    assert 0.019 * fit.total < fit.margin < 0.021 * fit.total
    assert (fit.context, fit.parallel) == (4096, 4)


def test_a_model_that_fits_has_room_for_answers_in_json() -> None:
    fit = fit_of(memory(16 * GB))

    assert fit.json_tables == pytest.approx(128_256 * 600, rel=0.05)
    assert fit.needed == fit.total + fit.json_tables
    assert not fit_of(memory(fit.total)).fits
    assert fit_of(memory(fit.needed)).fits


def test_what_is_missing_is_said_to_the_byte() -> None:
    needed = fit_of(memory(16 * GB)).needed
    fit = fit_of(memory(needed - 1))

    assert not fit.fits
    assert fit.short_by == 1
    assert str(fit.verdicts[0]).endswith("1 bytes too few")
    assert fit_of(memory(needed)).fits


def test_a_model_that_does_not_fit_comes_with_what_would() -> None:
    fit = fit_of(memory(TIGHT))

    assert fit.advice == (
        "a context of 2304 fits",
        "2 requests at a time fit",
        "a q8_0 key-value cache fits",
        "a smaller quantization fits: Q2_K, about 3.0 GB",
        "a card of 8 GB fits",
    )


@pytest.mark.parametrize("number", range(3))
def test_following_the_advice_makes_it_fit(number: int) -> None:
    room = memory(TIGHT)
    changes: tuple[dict[str, object], ...] = (
        {"context": 2304},
        {"parallel": 2},
        {"cache_type": "q8_0"},
    )

    assert fit_of(room, **changes[number]).fits
    assert not fit_of(room).fits


def test_where_nothing_helps_only_a_card_is_named() -> None:
    assert fit_of(memory(GB)).advice == ("a card of 8 GB fits",)


def test_a_smaller_cache_is_not_advised_without_flash_attention() -> None:
    plain = fit_of(memory(TIGHT), has_flash_attention=False)

    assert "a q8_0 key-value cache fits" in fit_of(memory(TIGHT)).advice
    assert not any("cache" in words for words in plain.advice)


def test_each_room_has_its_verdict_and_all_cards_together_another() -> None:
    rooms = (memory(2 * GB), card(6), card(6, "card 1"))
    fit = fit_plan(an_8b(), Plan(4096, 4), rooms)

    assert [(each.where, each.fits) for each in fit.verdicts] == [
        ("memory", False),
        ("card 0", False),
        ("card 1", False),
        ("all 2 cards together", True),
    ]
    assert fit.fits


def test_two_cards_need_more_than_one_of_their_sum() -> None:
    two = fit_plan(an_8b(), Plan(4096, 4), (card(6), card(6, "card 1"))).verdicts[-1]
    one = fit_plan(an_8b(), Plan(4096, 4), (card(12),)).verdicts[0]

    assert two.free == one.free
    assert two.needed > one.needed + 600_000_000


def test_the_memory_of_a_card_holds_no_copies_and_no_process() -> None:
    header = an_8b("Q4_0")
    fit = fit_plan(header, Plan(4096, 4), (memory(64 * GB), card(80)))

    in_memory, on_card = fit.verdicts
    assert on_card.needed < in_memory.needed


def test_without_a_room_nothing_fits_and_all_is_missing() -> None:
    fit = estimate_fit(an_8b(), context=4096, parallel=4, rooms=())

    assert not fit.fits
    assert fit.short_by == fit.needed
    assert fit.advice == ()


def test_a_file_read_instead_of_mapped_is_not_held_twice() -> None:
    header = an_8b("Q4_0")
    mapped = fit_plan(header, Plan(512, 1), ())
    read = fit_plan(header, Plan(512, 1, is_mapped=False), ())

    assert mapped.weights == 2 * read.weights


def test_an_architecture_with_its_own_rules_gets_a_wider_margin() -> None:
    known = fit_plan(a_transformer("llama", (4096, 14336), (32, 8, 128)), Plan(4096, 4), ())
    own = fit_plan(a_transformer("deepseek4", (4096, 14336), (32, 8, 128)), Plan(4096, 4), ())

    assert own.is_upper_bound
    assert own.margin == pytest.approx(5 * known.margin, rel=0.01)


@pytest.mark.parametrize(
    ("gigabytes", "slots"),
    [(16, 4), (7, 4), (6.45, 3), (6, 2), (5.5, 1), (5, 0)],
)
def test_as_many_slots_are_chosen_as_fit(gigabytes: float, slots: int) -> None:
    room = memory(int(gigabytes * GB))

    assert choose_slots(an_8b(), Plan(4096, 1), room) == slots


def test_no_more_slots_are_chosen_than_wanted() -> None:
    assert choose_slots(an_8b(), Plan(4096, 1), memory(64 * GB), wanted=2) == 2


def test_the_longest_context_is_the_one_that_was_trained() -> None:
    assert largest_context(an_8b(), Plan(512, 1), memory(64 * GB)) == 131_072
    assert largest_context(an_8b(context_length=1000), Plan(512, 1), memory(64 * GB)) == 1000


def test_the_longest_context_fits_and_the_next_does_not() -> None:
    room = memory(8 * GB)
    longest = largest_context(an_8b(), Plan(512, 2), room)

    assert 0 < longest < 131_072
    assert longest % 256 == 0
    assert fit_plan(an_8b(), Plan(longest, 2), (room,)).fits
    assert not fit_plan(an_8b(), Plan(longest + 1, 2), (room,)).fits


def test_where_not_even_the_weights_fit_there_is_no_context() -> None:
    assert largest_context(an_8b(), Plan(512, 1), memory(4 * GB)) == 0


@pytest.mark.parametrize(
    ("context", "parallel", "cache_type", "batch"),
    [(0, 1, "f16", 512), (512, 0, "f16", 512), (512, 1, "q2_k", 512), (512, 1, "f16", 0)],
)
def test_a_load_that_cannot_be_is_refused(
    context: int, parallel: int, cache_type: str, batch: int
) -> None:
    with pytest.raises(Invalid):
        estimate_fit(
            an_8b(),
            context=context,
            parallel=parallel,
            rooms=(),
            cache_type=cache_type,
            batch=batch,
        )


COUNTS = st.integers(1, 2**20)


@given(context=COUNTS, more=COUNTS, parallel=st.integers(1, 256), name=st.sampled_from([*KNOWN]))
def test_a_longer_context_never_takes_less(
    context: int, more: int, parallel: int, name: str
) -> None:
    header = KNOWN[name].header

    assert _total(header, context, parallel) <= _total(header, context + more, parallel)


@given(context=COUNTS, parallel=st.integers(1, 128), name=st.sampled_from([*KNOWN]))
def test_twice_the_slots_never_take_less(context: int, parallel: int, name: str) -> None:
    header = KNOWN[name].header

    assert _total(header, context, parallel) <= _total(header, context, 2 * parallel)


def _total(header: GgufHeader, context: int, parallel: int) -> Size:
    return estimate_fit(header, context=context, parallel=parallel, rooms=()).total


NAMES = (
    "block_count",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attention.recurrent_layers",
    "attention.shared_kv_layers",
    "context_length",
    "expert_count",
    "expert_used_count",
    "full_attention_interval",
    "kda.head_dim",
    "nextn_predict_layers",
    "shortconv.l_cache",
    "ssm.conv_kernel",
    "ssm.inner_size",
    "ssm.state_size",
    "ssm.group_count",
    "wkv.head_size",
    "vocab_size",
)
VALUES = (
    st.integers(-(2**63), 2**64 - 1)
    | st.integers(0, 600)
    | st.floats()
    | st.booleans()
    | st.text(max_size=3)
    | st.lists(st.integers(-5, 2**33), max_size=8)
)


@given(
    architecture=st.sampled_from(
        ["llama", "gemma2", "gemma3n", "gemma4", "qwen3next", "jamba", "falcon-h1", "rwkv7", "bert"]
    ),
    numbers=st.dictionaries(st.sampled_from(NAMES), VALUES),
    layers=st.none() | st.integers(1, 8),
)
def test_an_absurd_file_is_refused_or_huge_but_nothing_breaks(
    architecture: str, numbers: dict[str, object], layers: int | None
) -> None:
    metadata = {f"{architecture}.{name}": value for name, value in numbers.items()}
    if layers:
        metadata[f"{architecture}.block_count"] = layers
    header = a_header({"general.architecture": architecture, **metadata})
    plan = Plan(4096, 4)

    try:
        fit = fit_plan(header, plan, (memory(2**33), card(24)))
        longest = largest_context(header, plan, memory(2**33))
    except Invalid:
        return
    assert min(fit.weights, fit.cache, fit.buffers, fit.margin, longest) >= 0
    assert fit.total > 0


def test_a_verdict_prints_on_one_line() -> None:
    verdict = Verdict("card 0", Size(5 * GB), Size(3 * GB))

    assert str(verdict) == (
        "card 0: does not fit, 5 GB needed, 3 GB free, 2000000000 bytes too few"
    )
