"""A call that must be made: the grammar that leaves a model no choice, and what it is told.

So even a model that was never trained to call functions returns a call that can be made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from puna.chat.messages import Json, Message, Role, Tool, ToolUse
from puna.chat.output import Form
from puna.chat.tape import written

_JSON_MARKS = ("<tool_call>", "<|tool_call|>", "<TOOLCALL>")
"""What stands before a call that is one JSON object, and can be written for the model."""


def offered(tools: ToolUse) -> tuple[Tool, ...]:
    """Return the functions that may be called: all, or the only one."""
    return tuple(tool for tool in tools.tools if not tools.only or tool.name == tools.only)


def opening_of_call(form: Form) -> str:
    """Return what the model writes before a call as JSON; "" where it would write it otherwise."""
    marks = [mark for mark in form.marks if mark in _JSON_MARKS]
    return f"{marks[0]}\n" if marks and "<function=" not in form.marks else ""


def schema_of_call(tools: ToolUse) -> str:
    """Return the JSON schema of a call to one of the functions."""
    definitions: dict[str, Json] = {}
    forms: list[Json] = []
    for number, tool in enumerate(offered(tools)):
        place = f"tool{number}"
        arguments: Json = {"type": "object", **tool.parameters}
        if '"$ref"' in written(arguments):
            definitions[place] = _moved(arguments, f"#/$defs/{place}")
            arguments = {"$ref": f"#/$defs/{place}"}
        forms.append(
            {
                "type": "object",
                "properties": {"name": {"const": tool.name}, "arguments": arguments},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    schema: dict[str, Json] = {"anyOf": forms}
    if len(forms) == 1 and isinstance(forms[0], Mapping):
        schema = dict(forms[0])
    return written(schema | {"$defs": definitions} if definitions else schema)


def _moved(value: Json, place: str) -> Json:
    """Return a schema whose references are right once it stands at `place`."""
    if isinstance(value, Mapping):
        return {
            key: place + each[1:]
            if key == "$ref" and isinstance(each, str) and each.startswith("#")
            else _moved(each, place)
            for key, each in value.items()
        }
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_moved(each, place) for each in value]
    return value


def told_of_tools(messages: Sequence[Message], tools: ToolUse) -> tuple[Message, ...]:
    """Return a conversation that begins with the functions, for a template that has no place."""
    lines = [
        written({"name": tool.name, "description": tool.description, "parameters": tool.parameters})
        for tool in offered(tools)
    ]
    text = "\n".join(
        (
            (
                "Answer with one call of a function, as JSON: "
                '{"name": the function, "arguments": an object}. The functions:'
            ),
            *lines,
        )
    )
    first = messages[0] if messages else None
    if first is not None and first.role is Role.SYSTEM:
        return (replace(first, content=f"{first.content}\n\n{text}"), *messages[1:])
    return (Message(Role.SYSTEM, text), *messages)
