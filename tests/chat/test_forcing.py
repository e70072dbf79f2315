"""A call that must be made: its grammar, and what a model is told of it."""

import json

import pytest

from puna.chat.forcing import offered, opening_of_call, schema_of_call, told_of_tools
from puna.chat.forms import form_of
from puna.chat.messages import Json, Message, Role, Tool, ToolMode, ToolUse

CITY: dict[str, Json] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
WEATHER = Tool("get_weather", "Tells the weather.", CITY)
NOTHING = Tool("nothing", "", {"type": "object", "properties": {}})
TREE = Tool(
    "plant",
    "",
    {
        "type": "object",
        "properties": {"root": {"$ref": "#/$defs/Node"}},
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {"left": {"$ref": "#/$defs/Node"}, "name": {"type": "string"}},
            }
        },
    },
)


def forced(*tools: Tool, only: str = "") -> ToolUse:
    return ToolUse(tools, mode=ToolMode.REQUIRED, only=only)


def test_the_grammar_of_one_function_is_its_name_and_its_arguments() -> None:
    assert json.loads(schema_of_call(forced(WEATHER))) == {
        "type": "object",
        "properties": {"name": {"const": "get_weather"}, "arguments": CITY},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def test_of_several_functions_one_is_to_be_called() -> None:
    schema = json.loads(schema_of_call(forced(WEATHER, NOTHING)))
    names = [each["properties"]["name"]["const"] for each in schema["anyOf"]]
    assert names == ["get_weather", "nothing"]


def test_the_only_function_is_the_only_choice() -> None:
    use = forced(WEATHER, NOTHING, only="nothing")
    assert offered(use) == (NOTHING,)
    assert "get_weather" not in schema_of_call(use)


def test_references_in_a_schema_still_point_to_what_they_mean() -> None:
    schema = json.loads(schema_of_call(forced(WEATHER, TREE)))
    assert schema["anyOf"][1]["properties"]["arguments"] == {"$ref": "#/$defs/tool1"}
    tree = schema["$defs"]["tool1"]
    assert tree["properties"]["root"] == {"$ref": "#/$defs/tool1/$defs/Node"}
    node = tree["$defs"]["Node"]["properties"]
    assert node["left"] == {"$ref": "#/$defs/tool1/$defs/Node"}


@pytest.mark.parametrize("key", ["pattern", "minLength", "x-own", "$comment"])
def test_no_key_of_a_schema_is_lost(key: str) -> None:
    tool = Tool("f", "", {"type": "object", "properties": {"a": {"type": "string", key: "1"}}})
    schema = json.loads(schema_of_call(forced(tool)))
    assert schema["properties"]["arguments"]["properties"]["a"][key] == "1"


@pytest.mark.parametrize(
    ("template", "opening"),
    [
        ("tools <tool_call>", "<tool_call>\n"),
        ("tools <|tool_call|>", "<|tool_call|>\n"),
        ("tools <TOOLCALL>", "<TOOLCALL>\n"),
        ("tools <tool_call><function=", ""),
        ("tools [TOOL_CALLS]", ""),
        ("tools", ""),
        ("", ""),
    ],
)
def test_a_call_begins_as_the_model_knows_it(template: str, opening: str) -> None:
    assert opening_of_call(form_of(template)) == opening


def test_a_template_without_a_place_for_functions_gets_them_in_the_system_text() -> None:
    user = Message(Role.USER, "Weather in Oslo?")
    system, same = told_of_tools((user,), forced(WEATHER, NOTHING))
    assert (system.role, same) == (Role.SYSTEM, user)
    assert '"get_weather","description":"Tells the weather."' in system.content
    assert '"nothing"' in system.content


def test_the_system_text_that_is_there_stays_first() -> None:
    messages = (Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Hi"))
    system, user = told_of_tools(messages, forced(WEATHER))
    assert system.content.startswith("Be brief.\n\n")
    assert "get_weather" in system.content
    assert user.content == "Hi"
