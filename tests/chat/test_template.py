"""Which template writes a prompt, what a Go template writes, and the tags that it tells of."""

from datetime import date

import pytest

from puna.chat.gotemplate.errors import BadTemplate
from puna.chat.gotemplate.template import read_template
from puna.chat.messages import NO_TOOLS, Message, Role, Think, Tool, ToolUse
from puna.chat.output_tags import OutputTags, output_tags
from puna.chat.template import GoPrompt, choose_template, write_prompt

USER, MODEL, SYSTEM = Role.USER, Role.ASSISTANT, Role.SYSTEM
PLAIN = "{{ range .Messages }}<{{ .Role }}>{{ .Content }}{{ end }}<assistant>"
TURNS = "{{ if .System }}S:{{ .System }} {{ end }}U:{{ .Prompt }} A:{{ .Response }}|"
TOOLS = "{{ .Tools }}" + PLAIN
FULL = """{{ range .Messages }}{{ if .Thinking }}<think>
{{ .Thinking }}
</think>{{ end }}{{ if .ToolCalls }}<tool_call>
{{ range .ToolCalls }}{"name": "{{ .Function.Name }}"}{{ end }}</tool_call>{{ end }}{{ end }}"""
SEARCH = Tool("search", "", {"type": "object", "properties": {}})


def written(template: str, *messages: Message, suffix: str = "", think: Think | None = None) -> str:
    prompt = GoPrompt(read_template(template), date(2026, 11, 24))
    return write_prompt(prompt, messages, tools=NO_TOOLS, think=think, suffix=suffix)


@pytest.mark.parametrize(
    ("go", "jinja", "is_go"),
    [
        (None, "", False),
        ("{{ .Prompt }}", "", False),
        (PLAIN, "", True),
        (PLAIN, "{{ messages }}", True),
        (PLAIN, "{{ messages }}{{ tools }}", False),
        (TOOLS, "{{ messages }}{{ tools }}", True),
        (TOOLS, "{{ tools }}<think>", False),
        ("{{ broken", "{{ messages }}", False),
    ],
)
def test_the_template_that_can_do_more_writes(go: str | None, jinja: str, *, is_go: bool) -> None:
    assert (choose_template(go, jinja) is not None) is is_go


def test_a_setting_prefers_the_go_template() -> None:
    assert choose_template(PLAIN, "{{ tools }}", prefers_go=True) is not None


def test_a_go_template_that_cannot_be_read_and_stands_alone_is_an_error() -> None:
    with pytest.raises(BadTemplate, match="not defined"):
        choose_template("{{ broken", "")


def test_messages_are_written_in_one_go_and_turns_of_one_speaker_joined() -> None:
    text = written(PLAIN, Message(USER, "a"), Message(USER, "b"), Message(MODEL, "c"))
    assert text == "<user>a\n\nb<assistant>c<assistant>"


def test_without_messages_it_is_carried_out_turn_by_turn_up_to_the_answer() -> None:
    said = (Message(SYSTEM, "s"), Message(USER, "a"), Message(MODEL, "b"), Message(USER, "c"))
    assert written(TURNS, *said) == "S:s U:a A:b|U:c A:"


def test_an_answer_that_was_begun_goes_on() -> None:
    assert written(TURNS, Message(USER, "a"), Message(MODEL, "b")) == "U:a A:b"


def test_a_template_without_a_place_for_the_answer_gets_one_at_its_end() -> None:
    said = (Message(USER, "a"), Message(MODEL, "b"), Message(USER, "c"))
    assert written("[{{ .Prompt }}]", *said) == "[a]b[c]"


def test_all_system_messages_are_joined() -> None:
    said = (Message(SYSTEM, "a"), Message(USER, "x"), Message(SYSTEM, "b"))
    assert written("{{ .System }}{{ range .Messages }}{{ end }}", *said) == "a\n\nb"


def test_a_gap_is_written_with_prompt_and_suffix() -> None:
    template = "<PRE>{{ .Prompt }}<SUF>{{ .Suffix }}<MID>{{ .Response }}"
    assert written(template, Message(USER, "a"), suffix="b") == "<PRE>a<SUF>b<MID>"


def test_thinking_is_told() -> None:
    template = "{{ .Think }} {{ .ThinkLevel }} {{ .IsThinkSet }}{{ range .Messages }}{{ end }}"
    assert written(template, think=Think(on=True, level="high")) == "true high true"
    assert written(template) == "false  false"


def test_tools_are_offered() -> None:
    prompt = GoPrompt(read_template(TOOLS), date(2026, 11, 24))
    text = write_prompt(prompt, (), tools=ToolUse((SEARCH,)), think=None)
    assert '"name":"search"' in text


@pytest.mark.parametrize(
    ("template", "tags"),
    [
        (FULL, OutputTags("<think>", "</think>", "<tool_call>")),
        (PLAIN, OutputTags()),
        ("{{ if .ToolCalls }}{{ range .ToolCalls }}{ }{{ end }}{{ end }}", OutputTags()),
    ],
)
def test_a_template_tells_what_the_model_writes(template: str, tags: OutputTags) -> None:
    assert output_tags(read_template(template)) == tags
