"""Options have Ollama's names, types, defaults and errors, and nothing in them hurts the engine."""

import math
from dataclasses import fields

import pytest
from hypothesis import given, strategies as st

from puna.models.options import (
    DEFAULTS,
    MAX_STOP_LENGTH,
    MAX_STOPS,
    OPTION_TABLE,
    Loading,
    OptionError,
    OptionKind,
    OptionOutOfRange,
    Options,
    Sampling,
    parse_options,
)


def value_of(options: Options, name: str) -> object:
    for part in (options, options.sampling, options.loading):
        if name in {field.name for field in fields(part)}:
            value: object = getattr(part, name)
            return value
    raise KeyError(name)


def parsed(name: str, value: object) -> object:
    return value_of(parse_options({name: value}).options, name)


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("num_ctx", None),
        ("num_batch", None),
        ("num_gpu", None),
        ("main_gpu", None),
        ("use_mmap", None),
        ("num_thread", None),
        ("draft_num_predict", None),
        ("num_keep", 4),
        ("num_predict", -1),
        ("seed", -1),
        ("temperature", 0.8),
        ("top_k", 40),
        ("top_p", 0.9),
        ("min_p", 0.0),
        ("typical_p", 1.0),
        ("repeat_last_n", 64),
        ("repeat_penalty", 1.0),
        ("presence_penalty", 0.0),
        ("frequency_penalty", 0.0),
        ("stop", ()),
    ],
)
def test_defaults_are_those_of_ollama(name: str, default: object) -> None:
    assert value_of(parse_options({}).options, name) == default
    assert OPTION_TABLE[name].default == default


def test_every_option_has_a_row_and_every_row_an_option() -> None:
    names = {field.name for part in (Sampling, Loading) for field in fields(part)}

    assert set(OPTION_TABLE) == names | {"num_predict"}
    assert all(row.summary for row in OPTION_TABLE.values())


@pytest.mark.parametrize(
    ("name", "given_value", "value"),
    [
        ("num_ctx", 4096, 4096),
        ("num_ctx", 1e2, 100),
        ("num_ctx", 2048.9, 2048),
        ("num_ctx", 0, None),
        ("num_gpu", -1, None),
        ("num_gpu", -1.0, None),
        ("num_gpu", 0, 0),
        ("num_gpu", 999, 999),
        ("num_thread", 0, None),
        ("main_gpu", 0, 0),
        ("use_mmap", False, False),
        ("draft_num_predict", 0, 0),
        ("num_predict", -2.7, -2),
        ("num_predict", 0.9, 0),
        ("num_keep", -1, -1),
        ("top_k", 0, 0),
        ("top_k", -0.5, 0),
        ("repeat_last_n", -1, -1),
        ("temperature", 0, 0.0),
        ("temperature", 2, 2.0),
        ("temperature", -1, -1.0),
        ("temperature", 1e-30, 0.0),
        ("temperature", 5e-324, 0.0),
        ("temperature", 0.001, 0.001),
        ("top_p", 1, 1.0),
        ("seed", 42, 42),
        ("seed", 42.9, 42),
        ("seed", -1, -1),
        ("seed", 2**32 - 1, -1),
        ("seed", 2**32 + 7, 7),
        ("seed", -2, 2**32 - 2),
        ("stop", [], ()),
        ("stop", ["a", "b\n"], ("a", "b\n")),
        ("stop", ["", "a", ""], ("a",)),
        ("stop", ["half \ud83d pair"], ("half \ufffd pair",)),
        ("stop", ["\U0001f999\0"], ("\U0001f999\0",)),
    ],
)
def test_a_value_arrives_as_the_engine_takes_it(
    name: str, given_value: object, value: object
) -> None:
    arrived = parsed(name, given_value)

    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("num_ctx", "4096", "integer"),
        ("num_ctx", True, "integer"),
        ("num_ctx", [4096], "integer"),
        ("num_ctx", {}, "integer"),
        ("seed", "x", "integer"),
        ("temperature", "0.8", "float32"),
        ("temperature", False, "float32"),
        ("temperature", [0.8], "float32"),
        ("use_mmap", 1, "boolean"),
        ("use_mmap", "true", "boolean"),
        ("stop", "END", "array"),
        ("stop", 1, "array"),
        ("stop", {"a": "b"}, "array"),
    ],
)
def test_a_wrong_type_is_said_in_the_words_of_ollama(name: str, value: object, kind: str) -> None:
    with pytest.raises(OptionError) as caught:
        parse_options({name: value})

    assert caught.value.message == f'option "{name}" must be of type {kind}'
    assert caught.value.status == 500


@pytest.mark.parametrize("items", [["a", 1], [None], [["a"]], [b"a"]])
def test_stop_holds_texts_only(items: list[object]) -> None:
    with pytest.raises(OptionError, match='option "stop" must be of an array of strings'):
        parse_options({"stop": items})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_ctx", -1),
        ("num_ctx", 2**31),
        ("num_ctx", math.nan),
        ("num_ctx", math.inf),
        ("num_ctx", -math.inf),
        ("num_ctx", 1e300),
        pytest.param("num_ctx", 10**5000, id="num_ctx-long"),
        ("num_batch", -5),
        ("num_thread", 513),
        ("num_thread", -1),
        ("num_gpu", -2),
        ("main_gpu", -1),
        ("num_predict", 2**40),
        ("repeat_last_n", 2**30),
        ("repeat_last_n", -2),
        ("seed", 2**64),
        ("seed", math.nan),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", 1e39),
        pytest.param("temperature", 10**5000, id="temperature-long"),
        ("top_p", -0.1),
        ("top_p", math.nan),
        ("min_p", -1),
        ("repeat_penalty", 0),
        ("repeat_penalty", -1.0),
        ("repeat_penalty", 1e-40),
        ("presence_penalty", math.inf),
        ("frequency_penalty", 1e38),
    ],
)
def test_a_number_that_would_hurt_the_engine_is_refused(name: str, value: object) -> None:
    with pytest.raises(OptionOutOfRange) as caught:
        parse_options({name: value})

    assert caught.value.status == 400
    assert caught.value.message.startswith(f'option "{name}" must be from ')
    assert len(caught.value.message) < 120


def test_ten_thousand_stop_strings_are_refused_with_the_limit() -> None:
    with pytest.raises(OptionOutOfRange, match="at most 1024 strings, not 10000"):
        parse_options({"stop": [str(number) for number in range(10_000)]})


def test_a_very_long_stop_string_is_refused_with_the_limit() -> None:
    with pytest.raises(OptionOutOfRange, match="at most 4096 characters"):
        parse_options({"stop": ["a" * 10_000_000]})


def test_as_many_stop_strings_as_allowed_are_taken() -> None:
    stops = [f"{number:0{MAX_STOP_LENGTH}}" for number in range(MAX_STOPS)]

    assert parsed("stop", stops) == tuple(stops)


def test_null_leaves_a_value_as_it_is() -> None:
    over = parse_options({"temperature": 0.1, "num_ctx": 512, "stop": ["a"]}).options

    nulls = dict.fromkeys(OPTION_TABLE)

    assert parse_options(nulls, over=over).options == over
    assert parse_options(nulls).options == DEFAULTS


def test_a_request_wins_over_the_model_and_the_model_over_the_defaults() -> None:
    model = parse_options({"temperature": 0.1, "top_k": 10, "num_ctx": 512}).options

    request = parse_options({"temperature": 0.5, "num_ctx": 0}, over=model).options

    assert request.sampling == Sampling(temperature=0.5, top_k=10)
    assert request.loading == Loading()


def test_unknown_names_are_returned_and_the_others_still_count() -> None:
    result = parse_options({"mirostat": 2, "top_k": 5, "Top_K": 6, "": None, "\x1b": "a"})

    assert result.ignored == ("mirostat", "Top_K", "", "\x1b")
    assert result.options.sampling.top_k == 5


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.lists(st.text(max_size=5) | st.integers(), max_size=3)
    | st.sampled_from([2**31, -(2**31), 2**63, 2**64, 1e308, -0.0, 1e-320, 10**400])
)


@given(st.dictionaries(st.sampled_from([*OPTION_TABLE, "unknown"]), VALUES))
def test_whatever_arrives_is_a_number_in_its_range_or_a_refusal(values: dict[str, object]) -> None:
    try:
        options = parse_options(values).options
    except (OptionError, OptionOutOfRange):
        return

    for row in OPTION_TABLE.values():
        value = value_of(options, row.name)
        if row.kind is OptionKind.INTEGER:
            assert value is None or type(value) is int
        if row.range and isinstance(value, int | float):
            assert row.range[0] <= value <= row.range[1]


def test_parsing_again_what_was_parsed_changes_nothing() -> None:
    once = parse_options({"seed": -2, "temperature": 1e-9, "num_ctx": 7.5}).options

    again = parse_options({"seed": once.sampling.seed, "temperature": 0.0, "num_ctx": 7}).options

    assert again == once
