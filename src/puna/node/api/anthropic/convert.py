"""Anthropic's requests as questions to a node. Pure.

A user's turn may hold results of tools beside words and pictures: each result becomes a turn of
its own, in the order in which they stand, since that is what models' templates know.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from pydantic import JsonValue

from puna.chat.images import decode_image
from puna.chat.messages import Message, Role, Think, Tool, ToolCall, ToolMode, ToolUse
from puna.errors import Invalid
from puna.models.details import Capability
from puna.node.api.ollama.convert import Wishes, read_keep_alive, with_own_words
from puna.node.api.ollama.lines import as_json
from puna.node.api.openai.convert import effort_named
from puna.node.api.openai.tools import only
from puna.node.api.parts import Content, picture
from puna.node.api.wishes import Wish
from puna.node.engine.request import Grammar
from puna.node.prompt import Conversation
from puna.node.served import ServedModel
from puna.wire import anthropic as wire

_ROLES = {"user": Role.USER, "assistant": Role.ASSISTANT, "system": Role.SYSTEM}
_NO_SCHEMA: Mapping[str, JsonValue] = {"type": "object", "properties": {}}
_OPTIONS = ("temperature", "top_p", "top_k")


def message_wish(asked: wire.MessagesRequest, model: ServedModel) -> Wish:
    """Return what `/v1/messages` asks for. Raises `Invalid`."""
    if asked.max_tokens is None or asked.max_tokens <= 0:
        raise Invalid("max_tokens is required and must be positive")
    wish = prompt_wish(asked, model)
    options: dict[str, object] = dict(asked.options or {})
    given = {name: getattr(asked, name) for name in _OPTIONS}
    options |= {name: value for name, value in given.items() if value is not None}
    options["num_predict"] = asked.max_tokens
    if asked.stop_sequences is not None:
        options["stop"] = asked.stop_sequences
    return replace(
        wish,
        options=options,
        keep_alive=read_keep_alive(asked.keep_alive),
        grammar=_read_format(asked),
        counts=True,
    )


def prompt_wish(asked: wire.Prompted, model: ServedModel) -> Wish:
    """Return the prompt that is asked for, with nothing about its answer. Raises `Invalid`."""
    if not asked.messages:
        raise Invalid("messages is required")
    _refuse(asked)
    messages = (*_system(asked.system), *read_messages(asked.messages))
    tools, unknown = read_tools(asked)
    think, ignored = _read_thinking(asked, model)
    return Wish(
        name=asked.model or "",
        wishes=Wishes.of_chat(messages, tools, think),
        subjects=(Conversation(with_own_words(model, messages), tools=tools, think=think),),
        ignored=(*unknown, *ignored),
    )


def _refuse(asked: wire.Prompted) -> None:
    if asked.mcp_servers:
        raise Invalid("mcp_servers is not supported", hint="call the servers in your own program")
    if asked.container:
        raise Invalid("container is not supported")


def _system(system: JsonValue) -> tuple[Message, ...]:
    text = _read_words(system, "system").text
    return (Message(Role.SYSTEM, text),) if text else ()


def read_messages(messages: Sequence[wire.Message]) -> tuple[Message, ...]:
    """Return the turns of a conversation; a tool's result learns which function it is from."""
    names: dict[str, str] = {}
    turns: list[Message] = []
    for number, message in enumerate(messages):
        role = _ROLES.get((message.role or "").lower())
        if role is None:
            raise Invalid(f"messages[{number}]: role is user or assistant")
        turns += _Turn(role, f"messages[{number}].content", names).read(message.content)
    return tuple(turns)


class _Turn:
    """Reads the blocks of one message, which may be more turns than one."""

    def __init__(self, role: Role, place: str, names: dict[str, str]) -> None:
        self._role = role
        self._place = place
        self._names = names
        self._results: list[Message] = []
        self._said: list[Content] = []
        self._thoughts: list[str] = []
        self._calls: list[ToolCall] = []

    def read(self, content: JsonValue) -> Sequence[Message]:
        """Return the turns. Raises `Invalid`."""
        for place, block in _blocks(content, self._place):
            kind = block.get("type")
            if kind == "thinking":
                self._thoughts.append(_text(block, "thinking", place))
            elif kind == "tool_use":
                self._calls.append(self._call(block, place))
            elif kind == "tool_result":
                self._results.append(self._result(block, place))
            elif kind != "redacted_thinking":
                self._said.append(_read_block(block, place))
        said = Content.joined(self._said)
        is_empty = not (self._said or self._thoughts or self._calls)
        if self._results and is_empty:
            return self._results
        own = Message(
            self._role,
            said.text,
            thinking="\n".join(self._thoughts),
            images=said.images,
            places=said.places,
            tool_calls=tuple(self._calls),
        )
        return (*self._results, own)

    def _call(self, block: Mapping[str, JsonValue], place: str) -> ToolCall:
        given = block.get("input")
        if not isinstance(given, dict):
            raise Invalid(f"{place}: input is an object")
        name, call_id = _text(block, "name", place), _text(block, "id", place)
        self._names[call_id] = name
        return ToolCall(name, as_json(given).decode(), call_id)

    def _result(self, block: Mapping[str, JsonValue], place: str) -> Message:
        call_id = _text(block, "tool_use_id", place)
        content = _read_words(block.get("content"), f"{place}.content")
        return Message(
            Role.TOOL,
            content.text,
            images=content.images,
            places=content.places,
            tool_name=self._names.get(call_id, ""),
            tool_call_id=call_id,
        )


def _read_words(content: JsonValue, place: str) -> Content:
    return Content.joined([_read_block(block, at) for at, block in _blocks(content, place)])


def _blocks(content: JsonValue, place: str) -> Sequence[tuple[str, Mapping[str, JsonValue]]]:
    if content is None:
        return ()
    if isinstance(content, str):
        return ((place, {"type": "text", "text": content}),)
    if not isinstance(content, list):
        raise Invalid(f"{place}: a text or a list of blocks is expected")
    blocks = []
    for number, block in enumerate(content):
        if not isinstance(block, dict):
            raise Invalid(f"{place}[{number}]: a block is an object with a type")
        blocks.append((f"{place}[{number}]", block))
    return blocks


def _read_block(block: Mapping[str, JsonValue], place: str) -> Content:
    kind = block.get("type")
    if kind == "text":
        return Content(_text(block, "text", place))
    if kind != "image":
        raise Invalid(f"{place}: a block of this type is not supported")
    source = block.get("source")
    if not isinstance(source, dict):
        raise Invalid(f"{place}: source is required")
    if source.get("type") == "url":
        return picture(_text(source, "url", place), place)
    if source.get("type") != "base64":
        raise Invalid(f"{place}: an image's source is of type base64 or url")
    return Content(images=(decode_image(_text(source, "data", place), place),))


def _text(block: Mapping[str, JsonValue], name: str, place: str) -> str:
    value = block.get(name)
    if isinstance(value, str):
        return value
    raise Invalid(f"{place}: {name} is required")


def read_tools(asked: wire.Prompted) -> tuple[ToolUse, tuple[str, ...]]:
    """Return which functions may be called, and the tools that only Anthropic's servers have."""
    tools = asked.tools or []
    own = [tool for tool in tools if tool.type not in {None, "custom"}]
    use = ToolUse(
        tuple(_tool(tool, f"tools[{n}]") for n, tool in enumerate(tools) if tool not in own)
    )
    unknown = tuple(f"tools.{tool.type}" for tool in own)
    choice = asked.tool_choice
    if choice is None:
        return use, unknown
    use = replace(use, parallel=choice.disable_parallel_tool_use is not True)
    return _choose(use, choice), unknown


def _tool(tool: wire.Tool, place: str) -> Tool:
    if not tool.name:
        raise Invalid(f"{place}: a tool needs a name")
    return Tool(tool.name, tool.description or "", tool.input_schema or _NO_SCHEMA)


def _choose(use: ToolUse, choice: wire.ToolChoice) -> ToolUse:
    if choice.type == "tool":
        return only(use, choice.name or "")
    if choice.type == "any" and not use.tools:
        raise Invalid("tool_choice requires a call, and there are no tools")
    modes = {"auto": ToolMode.AUTO, "any": ToolMode.REQUIRED, "none": ToolMode.NONE}
    if choice.type not in modes:
        raise Invalid("tool_choice: type is auto, any, tool or none")
    return replace(use, mode=modes[choice.type])


def _read_thinking(
    asked: wire.Prompted, model: ServedModel
) -> tuple[Think | None, tuple[str, ...]]:
    """Return whether to think, and what of it has no effect: a model that cannot is no error."""
    thinking, config = asked.thinking, asked.output_config
    effort = effort_named(config.effort) if config and config.effort else None
    if thinking is None:
        return None, ("output_config.effort",) if effort else ()
    if thinking.type not in {"enabled", "disabled", "adaptive"}:
        raise Invalid("thinking: type is enabled, disabled or adaptive")
    if thinking.type == "disabled":
        return Think(on=False), ()
    budget = thinking.budget_tokens
    if thinking.type == "enabled" and (budget is None or budget <= 0):
        raise Invalid("thinking: budget_tokens is required and must be positive")
    if Capability.THINKING not in model.abilities:
        return None, ("thinking",)
    level = effort.level if effort else ""
    return Think(on=True, level=level), ("thinking.budget_tokens",) if budget else ()


def _read_format(asked: wire.Prompted) -> Grammar | None:
    config = asked.output_config
    form = asked.output_format or (config.format if config else None)
    if not form:
        return None
    schema = form.get("schema")
    if form.get("type") != "json_schema" or not isinstance(schema, dict):
        raise Invalid("the output format has the type json_schema and a schema")
    return Grammar(as_json(schema).decode())
