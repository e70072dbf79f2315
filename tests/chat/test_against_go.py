"""Every template of the golden file gives what Go's `text/template` gave, or fails in its words."""

import json
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from puna.chat.go_values import messages_value, tools_value
from puna.chat.gotemplate.errors import BadTemplate
from puna.chat.gotemplate.template import read_template
from puna.chat.gotemplate.values import Value
from puna.chat.messages import Message, Tool, ToolCall
from tests.chat.go_cases import CASES as RECORDED

GOLDEN = json.loads(
    (Path(__file__).parent.parent / "data" / "go_templates" / "golden.json").read_text()
)
CASES = [each._asdict() for each in RECORDED]
GROUPS = 12
PACKAGES = re.compile(r"\b(template|api)\.(?=[A-Zt])")
"""The recorder's types are all in one package."""


def chat_values(chat: Mapping[str, Any]) -> Value:
    messages = [
        Message(
            str(each["Role"]),
            str(each["Content"]),
            thinking=str(each.get("Thinking", "")),
            tool_calls=tuple(calls(each)),
            tool_name=str(each.get("ToolName", "")),
            tool_call_id=str(each.get("ToolCallID", "")),
        )
        for each in chat["Messages"]
    ]
    found = [each["function"] for each in chat.get("Tools", [])]
    tools = [Tool(each["name"], each["description"], each["parameters"]) for each in found]
    defaults: dict[str, Value] = {
        "Response": "",
        "Think": False,
        "ThinkLevel": "",
        "IsThinkSet": False,
    }
    given = {name: chat[name] for name in chat if name not in {"Messages", "Tools"}}
    return {
        **defaults, **given, "Messages": messages_value(messages), "Tools": tools_value(tools),
    }  # fmt: skip


def calls(message: Mapping[str, object]) -> list[ToolCall]:
    found = message.get("ToolCalls") or []
    assert isinstance(found, list)
    return [
        ToolCall(each["Function"]["Name"], json.dumps(each["Function"]["Arguments"]), each["ID"])
        for each in found
    ]


DATA: dict[str, Value] = {
    "values": json.loads(json.dumps(GOLDEN["data"]), parse_int=float),
    **{name: chat_values(chat) for name, chat in GOLDEN["chats"].items()},
}


def outcome(template: str, data: Value) -> str:
    try:
        return read_template(template).render(data, today=date(2026, 11, 24))
    except BadTemplate as error:
        return f"ERROR {error.message}"


@pytest.mark.parametrize("group", range(GROUPS))
def test_templates_give_what_go_gives(group: int) -> None:
    cases = CASES[group::GROUPS]
    ours = [PACKAGES.sub("main.", outcome(each["template"], DATA[each["data"]])) for each in cases]
    theirs = [f"ERROR {each['error']}" if each.get("error") else each["output"] for each in cases]
    differing = [
        (case["template"], case["data"], his, mine)
        for case, his, mine in zip(cases, theirs, ours, strict=True)
        if his != mine
    ]
    assert differing == []


def test_the_golden_file_says_when_and_with_what_it_was_recorded() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", GOLDEN["recorded"])
    assert GOLDEN["go"].startswith("go1.")
    assert len(CASES) > 1000
