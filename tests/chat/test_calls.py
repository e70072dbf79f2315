"""What counts as a call of a function, and what does not."""

import json

import pytest

from puna.chat.calls import READERS, calls_in, python_calls, read_calls
from puna.chat.messages import Tool
from puna.chat.output import INNER_TAGS
from puna.chat.tape import Broken, Tape

TYPED = Tool(
    "f",
    "",
    {
        "properties": {
            "text": {"type": "string"},
            "count": {"type": "integer"},
            "flag": {"type": "boolean"},
            "list": {"type": "array"},
        }
    },
)


def calls_after(mark: str, text: str) -> object:
    """Return the calls in a text that is all there."""
    tape = Tape()
    tape.add(text)
    tape.is_over = True
    try:
        next(read_calls(tape, mark, (TYPED,)))
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


@pytest.mark.parametrize(
    "value",
    [
        {"name": "f", "arguments": {"a": 1}},
        {"name": "f", "parameters": {"a": 1}},
        {"name": "f", "args": {"a": 1}},
        {"tool_name": "f", "parameters": {"a": 1}, "tool_call_id": "0"},
        {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}},
        {"type": "function", "function": "f", "parameters": {"a": 1}},
        {"name": "functions.f", "arguments": '{"a": 1}'},
        [{"name": " f ", "arguments": {"a": 1}}],
    ],
)
def test_json_in_many_shapes_is_a_call(value: object) -> None:
    assert calls_in(value) == [("f", {"a": 1})]


@pytest.mark.parametrize(
    "value",
    [
        1,
        "f",
        {},
        {"name": "f", "city": "Oslo"},
        {"name": "two words", "arguments": {}},
        {"name": "", "arguments": {}},
        {"name": 1, "arguments": {}},
        {"name": "f", "arguments": [1]},
        {"name": "f", "arguments": "not json"},
        {"name": "f" * 300, "arguments": {}},
        [{"name": "f", "arguments": {}}, 2],
    ],
)
def test_other_json_is_none(value: object) -> None:
    with pytest.raises(Broken):
        calls_in(value)


@pytest.mark.parametrize("arguments", [None, "", {}])
def test_no_arguments_are_an_empty_object(arguments: object) -> None:
    assert calls_in({"name": "f", "arguments": arguments}) == [("f", {})]
    assert calls_in({"name": "f"}) == [("f", {})]


def test_command_r_s_direct_answer_is_no_call() -> None:
    assert calls_in([{"tool_name": "directly_answer", "parameters": {}}]) == []


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("f(a=1)", [("f", {"a": 1})]),
        ("[f(a='x'), g()]", [("f", {"a": "x"}), ("g", {})]),
        ("f(a=[1, {'b': None}])\ng(c=-2.5)", [("f", {"a": [1, {"b": None}]}), ("g", {"c": -2.5})]),
        ("f(a=true, b=null)", [("f", {"a": True, "b": None})]),
        ("tools.f.call(a=1)", [("tools.f", {"a": 1})]),
    ],
)
def test_python_is_a_call(text: str, calls: object) -> None:
    assert python_calls(text) == calls


@pytest.mark.parametrize(
    "text",
    [
        "",
        "f(1)",
        "f(**x)",
        "f(a=g())",
        "f(a=b)",
        "x = f(a=1)",
        "f(a=",
        "f",
        "f()(a=1)",
        "import os",
        "(" * 500,
        "f(a='\0')",
    ],
)
def test_python_that_would_have_to_run_is_none(text: str) -> None:
    with pytest.raises(Broken):
        python_calls(text)


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("text", "5", "5"),
        ("text", "\n two\nlines \n", " two\nlines "),
        ("count", "5", 5),
        ("count", "five", "five"),
        ("flag", "true", True),
        ("flag", "False", False),
        ("list", '["a", 1]', ["a", 1]),
        ("unknown", "None", None),
        ("unknown", '{"a": 1}', {"a": 1}),
    ],
)
def test_a_value_without_quotes_has_the_type_of_its_schema(
    key: str, text: str, value: object
) -> None:
    xml = f"f>\n<parameter={key}>{text}</parameter>\n</function>"
    assert calls_after("<function=", xml) == [("f", {key: value})]
    glm = f"f\n<arg_key>{key}</arg_key>\n<arg_value>{text}</arg_value>\n</tool_call>"
    assert calls_after("<tool_call>", glm) == [("f", {key: value})]


def test_a_value_may_hold_what_looks_like_tags() -> None:
    code = "if a < b:\n    print('<function=x>')"
    xml = f"f><parameter=text>\n{code}\n</parameter></function>"
    assert calls_after("<function=", xml) == [("f", {"text": code})]


def test_gemma_s_texts_may_hold_anything() -> None:
    text = 'call:f{text:<escape>{"a": 1, b: "c"}<escape>,list:[1,2],flag:true}'
    expected = ("f", {"text": '{"a": 1, b: "c"}', "list": [1, 2], "flag": True})
    assert calls_after("<start_function_call>", f"{text}<end_function_call>") == [expected]


@pytest.mark.parametrize("mark", READERS)
@pytest.mark.parametrize("text", ["", "nonsense", "{", "[1]", '{"a": {}}', "<", "f(", "call:"])
def test_no_reader_makes_calls_of_nonsense(mark: str, text: str) -> None:
    with pytest.raises(Broken):
        calls_after(mark, text)


def test_every_mark_with_inner_tags_is_read() -> None:
    assert set(INNER_TAGS) <= set(READERS)


@pytest.mark.parametrize("count", [1, 2, 20])
def test_a_section_holds_any_number_of_calls(count: int) -> None:
    one = "<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}<|tool_call_end|>"
    calls = calls_after("<|tool_calls_section_begin|>", one * count + "<|tool_calls_section_end|>")
    assert calls == [("f", {})] * count


def test_large_arguments_are_read_in_small_pieces() -> None:
    """A hundred thousand characters, token by token, take no time that grows with their square."""
    arguments = json.dumps({"text": "x" * 50_000, "list": list(range(8_000))})
    tape = Tape()
    running = read_calls(tape, "<tool_call>", (TYPED,))
    text = f'{{"name": "f", "arguments": {arguments}}}</tool_call>'
    found = None
    for start in range(0, len(text), 4):
        tape.add(text[start : start + 4])
        found = next(running, found)
    assert (tape.at, found) == (len(text), None)
