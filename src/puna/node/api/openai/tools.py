"""Functions that a model may call, as OpenAI's clients write them. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from puna.chat.messages import Tool, ToolMode, ToolUse
from puna.errors import Invalid

_MODES = {"auto": ToolMode.AUTO, "none": ToolMode.NONE, "required": ToolMode.REQUIRED}
_NO_PARAMETERS: Mapping[str, JsonValue] = {"type": "object", "properties": {}}


def read_tool_use(
    tools: Sequence[Mapping[str, JsonValue]] | None, choice: JsonValue, *, parallel: bool | None
) -> ToolUse:
    """Return which functions may be called, and which must. Raises `Invalid`."""
    known = tuple(_read_tool(tool, f"tools[{n}]") for n, tool in enumerate(tools or ()))
    return choose(ToolUse(known, parallel=parallel is not False), choice)


def _read_tool(tool: Mapping[str, JsonValue], place: str) -> Tool:
    function = tool.get("function")
    if tool.get("type", "function") != "function" or not isinstance(function, dict):
        raise Invalid(f"{place}: only tools of type function are supported")
    return read_function(function, place)


def read_function(function: Mapping[str, JsonValue], place: str) -> Tool:
    """Return a function from its name, description and schema. Raises `Invalid`."""
    name, about = function.get("name"), function.get("description") or ""
    parameters = function.get("parameters") or _NO_PARAMETERS
    if not isinstance(name, str) or not name:
        raise Invalid(f"{place}: a function needs a name")
    if not isinstance(about, str):
        raise Invalid(f"{place}: a description is a text")
    if not isinstance(parameters, Mapping):
        raise Invalid(f"{place}: parameters are a JSON schema")
    return Tool(name, about, parameters)


def choose(use: ToolUse, choice: JsonValue) -> ToolUse:
    """Apply a `tool_choice` of any form. Raises `Invalid`."""
    if choice is None:
        return use
    if isinstance(choice, str) and choice in _MODES:
        return _checked(replace(use, mode=_MODES[choice]))
    if not isinstance(choice, dict):
        raise Invalid("tool_choice is auto, none, required, or names a function")
    if choice.get("type") == "allowed_tools":
        return _allowed(use, choice.get("allowed_tools", choice))
    return only(use, _name_in(choice))


def only(use: ToolUse, name: str) -> ToolUse:
    """Require one function. Raises `Invalid` if there is none of that name."""
    if all(tool.name != name for tool in use.tools):
        raise Invalid("tool_choice names a function that is not among the tools")
    return replace(use, mode=ToolMode.REQUIRED, only=name)


def _allowed(use: ToolUse, allowed: JsonValue) -> ToolUse:
    listed = allowed.get("tools") if isinstance(allowed, dict) else None
    if not isinstance(allowed, dict) or not isinstance(listed, list):
        raise Invalid("tool_choice: allowed_tools needs a list of tools")
    names = {_name_in(each) for each in listed if isinstance(each, dict)}
    kept = tuple(tool for tool in use.tools if tool.name in names)
    mode = allowed.get("mode", "auto")
    if mode not in _MODES:
        raise Invalid("tool_choice: mode is auto or required")
    return _checked(replace(use, tools=kept, mode=_MODES[str(mode)]))


def _name_in(choice: Mapping[str, JsonValue]) -> str:
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else choice.get("name")
    return name if isinstance(name, str) else ""


def _checked(use: ToolUse) -> ToolUse:
    if use.mode is ToolMode.REQUIRED and not use.tools:
        raise Invalid("tool_choice requires a call, and there are no tools")
    return use


def read_arguments(text: str | None, place: str) -> str:
    """Return the arguments of an earlier call, which are a JSON object. Raises `Invalid`."""
    if not text or not text.strip():
        return "{}"
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{place}: invalid tool call arguments") from error
    if not isinstance(value, dict):
        raise Invalid(f"{place}: invalid tool call arguments")
    return text
