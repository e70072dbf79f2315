"""Options as people type and read them."""

import pytest
from hypothesis import given, strategies as st

from puna.errors import Invalid
from puna.models.option_text import UnknownOption, go_quoted, option_from_words, parameters_text


@pytest.mark.parametrize(
    ("name", "words", "value"),
    [
        ("num_ctx", ["4096"], 4096),
        ("num_ctx", [" 4096 "], 4096),
        ("seed", ["-1"], -1),
        ("temperature", ["0.7"], 0.7),
        ("temperature", ["1"], 1.0),
        ("temperature", ["1e-1"], 0.1),
        ("use_mmap", ["true"], True),
        ("use_mmap", ["F"], False),
        ("stop", ["a", "b c"], ("a", "b c")),
        ("stop", ["0.5"], ("0.5",)),
    ],
)
def test_typed_words_become_a_value(name: str, words: list[str], value: object) -> None:
    assert option_from_words(name, words) == value


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("num_ctx", ["many"], "invalid int value [many]"),
        ("num_ctx", ["1.5"], "invalid int value [1.5]"),
        ("num_ctx", [""], "invalid int value []"),
        ("num_ctx", ["1" * 5000], f"invalid int value [{'1' * 59}…]"),
        ("temperature", ["warm"], "invalid float value [warm]"),
        ("temperature", ["nan"], 'option "temperature" must be from -1000 to 1000, not nan'),
        ("use_mmap", ["yes"], "invalid bool value [yes]"),
        ("num_ctx", [], "parameter 'num_ctx' takes one value, not 0"),
        ("num_ctx", ["1", "2"], "parameter 'num_ctx' takes one value, not 2"),
        ("num_thread", ["600"], 'option "num_thread" must be from 0 to 512, not 600'),
        ("warmth", ["1"], "unknown parameter 'warmth'"),
        ("\x1b[31m", ["1"], "unknown parameter '�[31m'"),
    ],
)
def test_a_slip_of_the_keyboard_is_answered(name: str, words: list[str], message: str) -> None:
    with pytest.raises(Invalid) as caught:
        option_from_words(name, words)

    assert caught.value.message == message


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownOption) as caught:
        option_from_words("temprature", ["1"])

    assert "temperature" in caught.value.hint


def test_parameters_print_as_ollama_prints_them() -> None:
    text = parameters_text(
        {"stop": ["<|im_start|>", 'say "hi"\n'], "num_ctx": 4096.0, "temperature": 0.8}
        | {"use_mmap": True, "top_k": 40, "future": "word"}
    )

    assert text.splitlines() == [
        'stop                           "<|im_start|>"',
        'stop                           "say \\"hi\\"\\n"',
        "num_ctx                        4096",
        "temperature                    0.8",
        "use_mmap                       true",
        "top_k                          40",
        'future                         "word"',
    ]


def test_no_parameters_print_as_nothing() -> None:
    assert parameters_text({}) == ""
    assert parameters_text({"stop": []}) == ""


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("plain", '"plain"'),
        ("\\", '"\\\\"'),
        ("\t\r\v\f\a\b", '"\\t\\r\\v\\f\\a\\b"'),
        ("\0\x1b\x7f", '"\\x00\\x1b\\x7f"'),
        ("\u0085\u202e", '"\\u0085\\u202e"'),
        ("ü 日本 🦙", '"ü 日本 🦙"'),
        ("\U000e0001", '"\\U000e0001"'),
    ],
)
def test_text_is_quoted_as_go_quotes_it(text: str, quoted: str) -> None:
    assert go_quoted(text) == quoted


@given(st.text())
def test_a_quoted_text_is_one_printable_line(text: str) -> None:
    assert go_quoted(text).isprintable()


@pytest.mark.parametrize(
    ("name", "text"), [("num_ctx", "1_000"), ("num_ctx", "\u0661"), ("temperature", "0_1.5")]
)
def test_numbers_are_written_as_go_reads_them(name: str, text: str) -> None:
    with pytest.raises(Invalid, match=r"invalid (int|float) value"):
        option_from_words(name, [text])
