"""Messages and tools as the structs that Ollama gives to its Go templates.

The names of fields, their order in JSON and what is left out are Ollama's, since templates print
these values. Numbers are floats, as Go decodes them; a tool's schema keeps only the keys that
Ollama knows.
"""

import json
from collections.abc import Mapping, Sequence

from puna.chat.gotemplate.functions import typescript_type
from puna.chat.gotemplate.json_text import json_text
from puna.chat.gotemplate.values import GoList, GoMap, GoStruct, Value
from puna.chat.messages import Message, Tool, ToolCall

_NO_LIST: Mapping[str, str] = {"Images": "[]api.ImageData", "ToolCalls": "[]api.ToolCall"}
_MESSAGE, _CALL, _TOOL = "template.templateMessage", "template.templateToolCall", "api.Tool"
_PROPERTY_JSON = (
    ("AnyOf", "anyOf", True), ("Type", "type", True), ("Items", "items", True),
    ("Description", "description", True), ("Enum", "enum", True),
    ("Properties", "properties", True), ("Required", "required", True),
)  # fmt: skip
_PARAMETERS_JSON = (
    ("Type", "type", False), ("Defs", "$defs", True), ("Items", "items", True),
    ("Required", "required", True), ("Properties", "properties", False),
)  # fmt: skip
_FUNCTION_JSON = (
    ("Name", "name", False), ("Description", "description", False),
    ("Parameters", "parameters", False),
)  # fmt: skip
_TOOL_JSON = (("Type", "type", False), ("Items", "items", True), ("Function", "function", False))


def messages_value(messages: Sequence[Message]) -> Value:
    """Return `.Messages`."""
    return GoList("[]*template.templateMessage", [_message(each) for each in messages])


def tools_value(tools: Sequence[Tool]) -> Value:
    """Return `.Tools`; nil without any."""
    items = [_tool(each) for each in tools]
    listed = GoList("template.templateTools", items, is_nil=not items)
    return GoList(listed.go_type, items, lambda: json_text(listed), is_nil=not items)


def _message(message: Message) -> GoStruct:
    calls = [_call(place, each) for place, each in enumerate(message.tool_calls)]
    images = [each.content for each in message.images]
    return GoStruct(
        _MESSAGE,
        {
            "Role": str(message.role),
            "Content": message.content,
            "Thinking": message.thinking,
            "Images": GoList(_NO_LIST["Images"], images, is_nil=not images),
            "ToolCalls": GoList(_NO_LIST["ToolCalls"], calls, is_nil=not calls),
            "ToolName": message.tool_name,
            "ToolCallID": message.tool_call_id,
        },
        is_pointer=True,
    )


def _call(place: int, call: ToolCall) -> GoStruct:
    function: dict[str, Value] = {
        "Index": place,
        "Name": call.name,
        "Arguments": _arguments(call.arguments),
    }
    return GoStruct(
        _CALL, {"ID": call.id, "Function": GoStruct("template.templateToolCallFunction", function)}
    )


def _arguments(text: str) -> GoMap:
    """Return the arguments of a call; what is no object has none."""
    try:
        found = json.loads(text or "{}", parse_int=float)
    except ValueError:
        found = {}
    entries: dict[str, Value] = found if isinstance(found, dict) else {}
    return GoMap("template.templateArgs", _Loose(entries), None, lambda: json_text(entries))


class _Loose(dict[str, Value]):
    """Entries of any type."""


def _tool(tool: Tool) -> GoStruct:
    schema = {key: _floats(value) for key, value in tool.parameters.items()}
    listed = schema.get("properties")
    found = listed if isinstance(listed, Mapping) else {}
    entries: dict[str, Value] = {name: _property(each) for name, each in found.items()}
    parameters = GoStruct(
        "template.templateToolFunctionParameters",
        {
            "Type": _text(schema.get("type")),
            "Defs": schema.get("$defs"),
            "Items": schema.get("items"),
            "Required": _texts(schema.get("required"), "[]string"),
            "Properties": _properties(entries, is_nil=not isinstance(listed, Mapping)),
        },
        _PARAMETERS_JSON,
    )
    fields: dict[str, Value] = {
        "Name": tool.name, "Description": tool.description, "Parameters": parameters,
    }  # fmt: skip
    function = GoStruct("template.templateToolFunction", fields, _FUNCTION_JSON)
    whole = GoStruct(_TOOL, {"Type": "function", "Items": None, "Function": function}, _TOOL_JSON)
    return GoStruct(_TOOL, whole.fields, _TOOL_JSON, lambda: json_text(whole))


def _properties(entries: Mapping[str, Value], *, is_nil: bool) -> GoMap:
    written = "{}" if is_nil else json_text(entries)
    name = "template.templateProperties"
    return GoMap(name, entries, _property({}), lambda: written, is_nil=is_nil)


def _property(schema: Value) -> GoStruct:
    given = schema if isinstance(schema, Mapping) else {}
    choices, inner, enum = given.get("anyOf"), given.get("properties"), given.get("enum")
    any_of = [_property(each) for each in choices] if isinstance(choices, list) else []
    fields: dict[str, Value] = {
        "AnyOf": GoList("[]api.ToolProperty", any_of, is_nil=not any_of),
        "Type": _kinds(given.get("type")),
        "Items": given.get("items"),
        "Description": _text(given.get("description")),
        "Enum": GoList(
            "[]interface {}", enum if isinstance(enum, list) else [], is_nil=enum is None
        ),
        "Properties": None,
        "Required": _texts(given.get("required"), "[]string"),
    }
    if isinstance(inner, Mapping):
        within: dict[str, Value] = {name: _property(each) for name, each in inner.items()}
        fields["Properties"] = GoMap("*api.ToolPropertiesMap", within)
    made = GoStruct("api.ToolProperty", fields, _PROPERTY_JSON)
    methods = {"ToTypeScriptType": lambda: typescript_type(made)}
    return GoStruct("api.ToolProperty", fields, _PROPERTY_JSON, methods=methods)


def _kinds(given: Value) -> GoList:
    names = [given] if isinstance(given, str) else given if isinstance(given, list) else []
    texts = [str(each) for each in names]
    shown = texts[0] if len(texts) == 1 else f"[{' '.join(texts)}]" if texts else ""
    return GoList("api.PropertyType", texts, lambda: shown, is_nil=not texts, is_bare=True)


def _texts(given: Value, go_type: str) -> GoList:
    texts = [each for each in given if isinstance(each, str)] if isinstance(given, list) else []
    return GoList(go_type, texts, is_nil=not isinstance(given, list))


def _text(given: Value) -> str:
    return given if isinstance(given, str) else ""


def _floats(value: object) -> Value:
    """Return a value of JSON with every number a float, as Go decodes it."""
    if isinstance(value, bool) or value is None or isinstance(value, str | float):
        return value
    if isinstance(value, int):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): _floats(each) for key, each in value.items()}
    return [_floats(each) for each in value] if isinstance(value, list | tuple) else None
