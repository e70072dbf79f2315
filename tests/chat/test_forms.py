"""Which form of answers a template tells."""

import pytest

from puna.chat.calls import READERS
from puna.chat.forms import (
    PARSER_NAMES,
    choose_parser,
    form_of,
    named_form,
    opened_thought,
    tagged_form,
    takes_tools,
)
from puna.chat.messages import Tool, ToolUse
from puna.chat.output import Mused, Said

TOOLS = ToolUse((Tool("f", "", {}),))
CALL = '{"name": "f", "arguments": {"a": 1}}'

QWEN3 = """{%- if tools %}<tools>{{ tool | tojson }}</tools>
return a json object within <tool_call></tool_call>: <tool_call>
{%- if '</think>' in content %}{%- set content = content.split('</think>')[-1] %}{%- endif %}
{%- if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>{%- endif %}"""
CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
LLAMA = "{%- if tools is not none %}{{ tools }}<|python_tag|>{%- endif %}"
MISTRAL = "[AVAILABLE_TOOLS]{{ tools }}[/AVAILABLE_TOOLS][TOOL_CALLS]"
GPT_OSS = "{{ tools }}<|start|>assistant<|channel|>final<|message|>"
FUNCTIONARY = "{{ tools }}{% if x %}>>>all\n{{ content }}{% endif %}"
UNKNOWN = "{{ tools | tojson }}{{ message.tool_calls }}"


@pytest.mark.parametrize(
    ("template", "marks", "thoughts"),
    [
        (QWEN3, ("<tool_call>",), (("<think>", "</think>"),)),
        (CHATML, (), ()),
        (LLAMA, ("<|python_tag|>",), ()),
        (MISTRAL, ("[TOOL_CALLS]",), ()),
        (UNKNOWN, (), ()),
    ],
)
def test_marks_and_thoughts_are_those_that_stand_in_the_template(
    template: str, marks: tuple[str, ...], thoughts: tuple[tuple[str, str], ...]
) -> None:
    form = form_of(template)
    assert (form.marks, form.thoughts) == (marks, thoughts)


@pytest.mark.parametrize(
    ("template", "is_bare"),
    [(QWEN3, False), (CHATML, False), (LLAMA, True), (MISTRAL, False), (UNKNOWN, True)],
)
def test_json_alone_is_a_call_where_the_template_names_no_mark(
    template: str, is_bare: bool
) -> None:
    assert form_of(template).is_bare is is_bare


def test_two_families_are_read_in_their_own_way() -> None:
    assert form_of(GPT_OSS).is_harmony
    assert form_of(FUNCTIONARY).names_first


@pytest.mark.parametrize(
    ("template", "takes"),
    [(QWEN3, True), (LLAMA, True), (CHATML, False), ("{{ .Tools }}", True), ("toolset", False)],
)
def test_a_template_takes_functions_or_does_not(template: str, takes: bool) -> None:
    assert takes_tools(template) is takes


@pytest.mark.parametrize(
    ("template", "tail", "closer"),
    [
        (QWEN3, "<|im_start|>assistant\n<think>\n", "</think>"),
        (QWEN3, "<|im_start|>assistant\n<think>\n\n</think>\n\n", ""),
        (QWEN3, "<|im_start|>assistant\n", ""),
        (CHATML, "<think>\n", ""),
        (GPT_OSS, "<|channel|>analysis<|message|>", "<|end|>"),
    ],
)
def test_a_prompt_may_end_within_a_thought(template: str, tail: str, closer: str) -> None:
    assert opened_thought(form_of(template), tail) == closer


@pytest.mark.parametrize("name", sorted(PARSER_NAMES))
def test_every_parser_s_name_means_a_form(name: str) -> None:
    form = named_form(name)
    assert form is not None
    assert set(form.marks) <= set(READERS)


@pytest.mark.parametrize("prefix", ["<tool_call>", "{", "", "[", "\nCALL: "])
def test_the_tags_of_a_go_template_are_followed(prefix: str) -> None:
    form = tagged_form("<r>", "</r>", prefix)
    reader = choose_parser(form, TOOLS)
    assert reader is not None
    mark = prefix if prefix.strip("{[") else ""
    thought, call = (*reader.feed(f"<r>Hm.</r>{mark}{CALL}"), *reader.end())
    assert thought == Mused("Hm.")
    assert getattr(call, "name", "") == "f"


def test_a_known_mark_in_a_go_template_brings_its_reader() -> None:
    reader = choose_parser(tagged_form("", "", "[TOOL_CALLS] ["), TOOLS)
    assert reader is not None
    parts = (*reader.feed(f"[TOOL_CALLS] [{CALL}, {CALL}][/TOOL_CALLS]"), *reader.end())
    assert [getattr(part, "name", part) for part in parts] == ["f", "f"]


def test_a_function_is_found_among_other_words_behind_a_mark() -> None:
    tools = ToolUse((Tool("f", "", {}), Tool("fun", "", {})))
    reader = choose_parser(tagged_form("", "", "<|calls|>"), tools)
    assert reader is not None
    (call,) = (*reader.feed('<|calls|><|call|>function<|sep|>fun\n{"a": 1}'), *reader.end())
    assert getattr(call, "name", "") == "fun"


def test_a_go_template_without_tags_leaves_thoughts_alone() -> None:
    reader = choose_parser(tagged_form("", "", "{"), TOOLS)
    assert reader is not None
    assert (*reader.feed("<think>Hm.</think>"), *reader.end()) == (Said("<think>Hm.</think>"),)


def test_every_tag_of_a_form_is_to_be_shown() -> None:
    tags = form_of(GPT_OSS).tags
    assert {"<|channel|>", "<|message|>", "<|call|>", "<|end|>"} <= set(tags)
    assert {"<think>", "</think>", "<tool_call>", "</tool_call>"} <= set(form_of(QWEN3).tags)
