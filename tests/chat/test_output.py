"""Each family's way to mark thoughts and calls, whole, broken, and cut anywhere."""

import json

import pytest
from hypothesis import given, settings, strategies as st

from puna.chat.forms import choose_parser, form_of, named_form
from puna.chat.messages import Tool, ToolCall, ToolMode, ToolUse
from puna.chat.output import Mused, OutputParser, Said

WEATHER = Tool("get_weather", "", {"properties": {"city": {"type": "string"}, "days": {}}})
TOOLS = ToolUse((WEATHER, Tool("python", "", {})))
QWEN = "{{ tools }}<think></think><tool_call>"
HARMONY = "<|start|><|channel|><|message|> tools"
OSLO = '{"name": "get_weather", "arguments": {"city": "Oslo", "days": 2}}'
LLAMA_OSLO = '{"name": "get_weather", "parameters": {"city": "Oslo", "days": 2}}'
ARGUMENTS = '{"city": "Oslo", "days": 2}'
CALL = ("get_weather", {"city": "Oslo", "days": 2})

GLIMMER = "<|message|><|eom|> tools"
ATEM = (
    '<atem:function_calls>\n<atem:invoke name="get_weather">\n'
    '<atem:parameter name="city">Oslo</atem:parameter>\n'
    '<atem:parameter name="days">2</atem:parameter>\n</atem:invoke>\n</atem:function_calls>'
)

Heard = tuple[str, str, list[tuple[str, object]]]


def parser(template: str, tail: str = "") -> OutputParser:
    found = choose_parser(form_of(template), TOOLS, tail=tail)
    assert found is not None
    return found


def heard(reader: OutputParser, *pieces: str) -> Heard:
    """Return content, thoughts and calls."""
    parts = [part for piece in pieces for part in reader.feed(piece)] + [*reader.end()]
    return (
        "".join(part.text for part in parts if isinstance(part, Said)),
        "".join(part.text for part in parts if isinstance(part, Mused)),
        [(each.name, json.loads(each.arguments)) for each in parts if isinstance(each, ToolCall)],
    )


CALLS = {
    "hermes": (QWEN, f"<tool_call>\n{OSLO}\n</tool_call>"),
    "hermes-list": (QWEN, f"<tool_call>[{OSLO}]</tool_call>"),
    "hermes-unclosed": (QWEN, f"<tool_call>\n{OSLO}"),
    "arguments-in-text": (
        QWEN,
        f'<tool_call>{{"name":"get_weather","arguments":{json.dumps(ARGUMENTS)}}}</tool_call>',
    ),
    "qwen3-coder": (
        "tools <tool_call><function=",
        (
            "<tool_call>\n<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n"
            "<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>"
        ),
    ),
    "qwen3-coder-bare": (
        "tools <tool_call><function=",
        (
            "<function=get_weather><parameter=city>Oslo</parameter><parameter=days>2</parameter>"
            "</function></tool_call>"
        ),
    ),
    "functionary-3.1": (
        "tools <function=",
        f"<function=get_weather>{ARGUMENTS}</function>",
    ),
    "functionary-3.2": ("tools >>>all", f"get_weather\n{ARGUMENTS}"),
    "glm-4.5": (
        "tools <think><tool_call><arg_key>",
        (
            "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n"
            "<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>"
        ),
    ),
    "llama-3": ("tools <|python_tag|>", LLAMA_OSLO),
    "llama-3-tag": ("tools <|python_tag|>", f"<|python_tag|>{LLAMA_OSLO}"),
    "llama-3-python": (
        "tools <|python_tag|>",
        '<|python_tag|>get_weather.call(city="Oslo", days=2)',
    ),
    "mistral": ("tools [TOOL_CALLS]", f"[TOOL_CALLS][{OSLO}]"),
    "mistral-new": ("tools [TOOL_CALLS]", f"[TOOL_CALLS]get_weather[ARGS]{ARGUMENTS}"),
    "mistral-id": (
        "tools [TOOL_CALLS]",
        f"[TOOL_CALLS]get_weather[CALL_ID]abc123def[ARGS]{ARGUMENTS}",
    ),
    "deepseek-r1": (
        "tools <｜tool▁calls▁begin｜>",
        (
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n"
            f"```json\n{ARGUMENTS}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
        ),
    ),
    "deepseek-v3.1": (
        "tools <｜tool▁calls▁begin｜>",
        (
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>"
            f"{ARGUMENTS}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
        ),
    ),
    "deepseek-v3.2": (
        "tools <｜DSML｜function_calls>",
        (
            '<｜DSML｜function_calls>\n<｜DSML｜invoke name="get_weather">\n'
            '<｜DSML｜parameter name="city" string="true">Oslo</｜DSML｜parameter>\n'
            '<｜DSML｜parameter name="days" string="false">2</｜DSML｜parameter>\n'
            "</｜DSML｜invoke>\n</｜DSML｜function_calls>"
        ),
    ),
    "minimax": (
        "tools <minimax:tool_call>",
        (
            '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Oslo'
            '</parameter>\n<parameter name="days">2</parameter>\n</invoke>\n</minimax:tool_call>'
        ),
    ),
    "command-r": (
        "tools <|START_ACTION|>",
        (
            '<|START_ACTION|>[{"tool_call_id": "0", "tool_name": "get_weather", "parameters": '
            f"{ARGUMENTS}}}]<|END_ACTION|>"
        ),
    ),
    "command-r-old": (
        "tools Action: ```json",
        f'Action: ```json\n[{{"tool_name": "get_weather", "parameters": {ARGUMENTS}}}]```',
    ),
    "phi-4": ("tools <|tool_call|>", f"<|tool_call|>[{OSLO}]<|/tool_call|>"),
    "granite": ("tools <|tool_call|>", f"<|tool_call|>[{OSLO}]"),
    "firefunction": ("tools functools", f" functools[{OSLO}]"),
    "kimi": (
        "tools <|tool_calls_section_begin|>",
        (
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
            f"<|tool_call_argument_begin|>{ARGUMENTS}<|tool_call_end|><|tool_calls_section_end|>"
        ),
    ),
    "gemma-3": (
        "tools ```tool_code",
        '```tool_code\nget_weather(city="Oslo", days=2)\n```',
    ),
    "functiongemma": (
        "tools <start_function_call>",
        (
            "<start_function_call>call:get_weather{city:<escape>Oslo<escape>,days:2}"
            "<end_function_call>"
        ),
    ),
    "gemma-4": (
        "tools <|tool_call>",
        '<|tool_call>call:get_weather{city:<|"|>Oslo<|"|>,days:2}<tool_call|>',
    ),
    "lfm2": (
        "tools <|tool_call_start|>",
        '<|tool_call_start|>[get_weather(city="Oslo", days=2)]<|tool_call_end|>',
    ),
    "olmo-3": (
        "tools <function_calls>",
        '<function_calls>\nget_weather(city="Oslo", days=2)\n</function_calls>',
    ),
    "gemma-4-unclosed": (
        "tools <|tool_call>",
        '<|tool_call>call:get_weather{city:<|"|>Oslo<|"|>,days:2}',
    ),
    "gemma-4-closed-twice": (
        "tools <|tool_call><tool_call|><|tool_response>",
        (
            '<|tool_call>call:get_weather{city:<|"|>Oslo<|"|>,days:2}<tool_call|><tool_call|>'
            "<|tool_response>"
        ),
    ),
    "laguna": ("tools <tool_call>", f"<tool_call>get_weather\n{ARGUMENTS}</tool_call>"),
    "glimmer": (GLIMMER, f" to=get_weather<|message|>{ATEM}<|eot|>"),
    "glimmer-namespace": (
        GLIMMER,
        f" to=user<|message|>{ATEM.replace('get_weather', 'get_weather.get_weather')}",
    ),
    "nemotron": ("tools <TOOLCALL>", f"<TOOLCALL>[{OSLO}]</TOOLCALL>"),
    "gpt-oss": (
        HARMONY,
        (
            "<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
            f"{ARGUMENTS}<|call|>"
        ),
    ),
    "gpt-oss-role": (
        HARMONY,
        f" to=functions.get_weather<|channel|>commentary json<|message|>{ARGUMENTS}",
    ),
    "generic": ("tools", OSLO),
    "generic-fence": ("tools", f"```json\n{OSLO}\n```"),
}

THOUGHTS = {
    "qwen3": (QWEN, "", "<think>\nHm, so.\n</think>\n\nIt rains."),
    "deepseek-r1": (QWEN, "<think>\n", "Hm, so.\n</think>\n\nIt rains."),
    "magistral": ("[THINK]", "", "[THINK]Hm, so.[/THINK]It rains."),
    "seed": ("<seed:think>", "", "<seed:think>Hm, so.</seed:think>It rains."),
    "command-a": (
        "<|START_THINKING|><|START_RESPONSE|><|END_RESPONSE|>",
        "",
        "<|START_THINKING|>Hm, so.<|END_THINKING|><|START_RESPONSE|>It rains.<|END_RESPONSE|>",
    ),
    "gemma-4": ("<|channel>thought", "", "<|channel>thought\nHm, so.<channel|>It rains."),
    "gemma-4-bare": (
        "<|channel>thought",
        "",
        "<|channel>Hm, so.<channel|><|channel>thought<channel|>It rains.",
    ),
    "command-a-text": (
        "<|START_THINKING|><|START_TEXT|><|END_TEXT|><|END_OF_TURN_TOKEN|>",
        "<|START_THINKING|>",
        "Hm, so.<|END_THINKING|><|START_TEXT|>It rains.<|END_TEXT|><|END_OF_TURN_TOKEN|>",
    ),
    "glimmer": (
        GLIMMER,
        "",
        " to=self<|message|>Hm, so.<|eom|><|start|>assistant to=user<|message|>It rains.<|eot|>",
    ),
    "granite-3.2": (
        "Here is my thought process:",
        "",
        "Here is my thought process: Hm, so. Here is my response: It rains.",
    ),
    "granite-3.3": (
        "<think><response></response>",
        "",
        "<think>Hm, so.</think><response>It rains.</response>",
    ),
    "gpt-oss": (
        HARMONY,
        "",
        (
            "<|channel|>analysis<|message|>Hm, so.<|end|><|start|>assistant"
            "<|channel|>final<|message|>It rains.<|return|>"
        ),
    ),
}

BROKEN = {
    "half-json": (QWEN, '<tool_call>\n{"name": "get_weather", "argu'),
    "no-json": (QWEN, "<tool_call>well</tool> then"),
    "no-name": (QWEN, '<tool_call>{"city": "Oslo", "a": 1}</tool_call>'),
    "not-a-number": (QWEN, '<tool_call>{"name": "f", "arguments": {"a": NaN}}</tool_call>'),
    "half-a-tag": (QWEN, "a < b and <tool_c"),
    "other-json": ("tools", '{"answer": [1, 2, {"name": "x"}]}'),
    "unknown-function": ("tools", '{"name": "other", "arguments": {}}'),
    "no-ends": ("tools <function=", "<function=f><parameter=a>1"),
    "no-python": ("tools <|tool_call_start|>", "<|tool_call_start|>[f(1)]<|tool_call_end|>"),
    "deep": (QWEN, f'<tool_call>{{"name": "f", "arguments": {{"a": {"[" * 300}'),
    "channel": (HARMONY, "no channels at all"),
    "recipient": (GLIMMER, "no recipients at all"),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_call_is_read(case: str) -> None:
    template, text = CALLS[case]
    said, thought, calls = heard(parser(template), text)
    assert (said.strip(), thought, calls) == ("", "", [CALL])


@pytest.mark.parametrize("case", THOUGHTS)
def test_a_thought_is_told_from_the_answer(case: str) -> None:
    template, tail, text = THOUGHTS[case]
    assert heard(parser(template, tail), text) == ("It rains.", "Hm, so.", [])


@pytest.mark.parametrize("case", BROKEN)
def test_what_makes_no_sense_is_content(case: str) -> None:
    template, text = BROKEN[case]
    assert heard(parser(template), text) == (text, "", [])


ALL = {
    **CALLS,
    **{f"thought-{name}": (case[0], case[2]) for name, case in THOUGHTS.items()},
    **{f"broken-{name}": case for name, case in BROKEN.items()},
    "mixed": (QWEN, f"<think>a</think>\n\nLook:\n<tool_call>{OSLO}</tool_call>\n{OSLO} <b>\n"),
}


@pytest.mark.parametrize("case", ALL)
@settings(max_examples=15)
@given(data=st.data())
def test_where_pieces_end_makes_no_difference(case: str, data: st.DataObject) -> None:
    template, text = ALL[case]
    places = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=12)))
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    whole = heard(parser(template), text)
    assert heard(parser(template), *pieces) == whole
    assert heard(parser(template), *text) == whole


def test_content_is_passed_on_as_it_comes_but_no_half_tag() -> None:
    reader = parser(QWEN)
    assert reader.feed("It ") == (Said("It"),)
    assert reader.feed("is <tool") == (Said(" is"),)
    assert reader.unread == len(" <tool")
    assert reader.feed("box>.") == (Said(" <toolbox>."),)


def test_a_call_comes_as_soon_as_it_is_whole() -> None:
    (call,) = parser(QWEN).feed(f"<tool_call>{OSLO}</tool_call>")
    assert call == ToolCall("get_weather", '{"city":"Oslo","days":2}')


def test_several_calls_keep_their_order_and_that_of_their_arguments() -> None:
    text = '<tool_call>{"name":"b","arguments":{"z":1,"a":2}}</tool_call>'
    parts = parser(QWEN).feed(f"{text}\n<tool_call>{OSLO}</tool_call>")
    assert [part.arguments for part in parts if isinstance(part, ToolCall)] == [
        '{"z":1,"a":2}',
        '{"city":"Oslo","days":2}',
    ]


def test_a_call_in_a_thought_that_was_not_closed_is_a_call() -> None:
    text = f"<think>Hm.\n<tool_call>{OSLO}</tool_call>"
    assert heard(parser(QWEN), text) == ("", "Hm.", [CALL])


def test_code_is_a_call_of_the_tool_that_runs_it() -> None:
    text = "<|python_tag|>print(1 +"
    expected = ("", "", [("python", {"code": "print(1 +"})])
    assert heard(parser("tools <|python_tag|>"), text) == expected


def test_a_function_that_nobody_offered_is_content() -> None:
    text = ATEM.replace("get_weather", "other")
    assert heard(parser(GLIMMER), f" to=user<|message|>{text}<|eot|>") == (text, "", [])


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('f(from="Oslo", to="Rome")', {"from": "Oslo", "to": "Rome"}),
        (
            'f(data={"on": true, "off": [false, null]})',
            {"data": {"on": True, "off": [False, None]}},
        ),
    ],
)
def test_words_of_python_and_of_json_are_arguments(written: str, expected: object) -> None:
    text = f"<function_calls>{written}</function_calls>"
    assert heard(parser("tools <function_calls>"), text) == ("", "", [("f", expected)])


def test_without_tools_their_tags_are_content() -> None:
    reader = choose_parser(form_of(QWEN), ToolUse((WEATHER,), mode=ToolMode.NONE))
    assert reader is not None
    text = f"<tool_call>{OSLO}</tool_call>"
    assert heard(reader, text) == (text, "", [])


def test_a_model_that_neither_thinks_nor_calls_needs_no_parser() -> None:
    assert choose_parser(form_of("{{ messages }}")) is None


@pytest.mark.parametrize("name", ["qwen3-coder", "gemma4", "harmony", "cohere", "ministral"])
def test_the_names_of_ollama_s_parsers_are_known(name: str) -> None:
    assert named_form(name) is not None
    assert named_form("no such parser") is None


SOUP = (
    *(tag for template, *_ in ALL.values() for tag in form_of(template).tags),
    *("{", "}", "[", "]", '"', "\\", ":", ",", ";", "\n", " ", "(", ")", "=", "a", "f", "```"),
    *(OSLO, ARGUMENTS, "get_weather", "all", ">>>", "<parameter=a>", "</parameter>", "</function>"),
    *("call:f{", "<function=f>", "assistant", "to=functions.f", "analysis", "final", "Oslo"),
)


@pytest.mark.parametrize("template", sorted({case[0] for case in ALL.values()}))
@settings(max_examples=10)
@given(words=st.lists(st.sampled_from(SOUP), max_size=30))
def test_whatever_is_written_is_read_the_same_in_any_pieces(
    template: str, words: list[str]
) -> None:
    text = "".join(words)
    whole = heard(parser(template), text)
    assert heard(parser(template), *text) == whole
    assert heard(parser(template), *words) == whole


def test_thousands_of_broken_calls_cost_no_time_that_grows_with_their_square() -> None:
    text = '<tool_call>["' * 20_000
    assert heard(parser(QWEN), text) == (text, "", [])
