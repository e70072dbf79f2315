"""A conversation as llama.cpp's `/apply-template` takes it: OpenAI's form. Pure."""

from collections.abc import Iterator, Sequence

from puna.chat.messages import Json, Message, Think, ToolCall, ToolMode, ToolUse


def template_question(
    messages: Sequence[Message], *, tools: ToolUse, think: Think | None
) -> dict[str, Json]:
    """Return the body of the question for the prompt of a conversation."""
    question: dict[str, Json] = {"messages": [dict(_fields(each)) for each in messages]}
    if tools.tools and tools.mode is not ToolMode.NONE:
        question["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": each.name,
                    "description": each.description,
                    "parameters": each.parameters,
                },
            }
            for each in tools.tools
        ]
        question["parallel_tool_calls"] = tools.parallel
    if think is not None:
        words: dict[str, Json] = {"enable_thinking": think.on, "thinking": think.on}
        question["chat_template_kwargs"] = (
            words | {"reasoning_effort": think.level} if think.level else words
        )
    return question


def _fields(message: Message) -> Iterator[tuple[str, Json]]:
    yield "role", str(message.role)
    yield "content", message.content
    if message.thinking:
        yield "reasoning_content", message.thinking
    if message.tool_calls:
        yield "tool_calls", [_call(each) for each in message.tool_calls]
    if message.tool_name:
        yield "name", message.tool_name
    if message.tool_call_id:
        yield "tool_call_id", message.tool_call_id


def _call(call: ToolCall) -> Json:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
