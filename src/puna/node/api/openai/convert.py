"""OpenAI's requests as questions to a node. Pure.

What Ollama ignores in silence is done (`tool_choice`, `n`, `logit_bias`, `max_completion_tokens`,
`parallel_tool_calls`), refused by name, or named as ignored in the reply.
"""

from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue

from puna.chat.messages import Message, Role, Think, ToolCall
from puna.errors import Invalid
from puna.node.api.ollama.convert import (
    Wishes,
    gap_subject,
    read_keep_alive,
    read_think,
    with_own_words,
)
from puna.node.api.ollama.lines import as_json
from puna.node.api.openai.tools import read_arguments, read_tool_use
from puna.node.api.parts import Content, picture
from puna.node.api.wishes import Wish
from puna.node.engine.request import Grammar
from puna.node.prompt import Conversation, Verbatim
from puna.node.served import ServedModel
from puna.wire import openai as wire

MOST_CHOICES = 128
_MOST_ALTERNATIVES = 20
_MOST_BIAS = 100.0
_OPTIONS = (
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "top_k",
    "min_p",
    "repeat_penalty",
    "num_ctx",
)
_ROLES = {
    "system": Role.SYSTEM,
    "developer": Role.SYSTEM,
    "user": Role.USER,
    "assistant": Role.ASSISTANT,
    "tool": Role.TOOL,
    "function": Role.TOOL,
}
_EFFORTS = {
    "none": Think(on=False),
    "minimal": Think(on=True, level="low"),
    "low": Think(on=True, level="low"),
    "medium": Think(on=True, level="medium"),
    "high": Think(on=True, level="high"),
    "xhigh": Think(on=True, level="max"),
    "ultra": Think(on=True, level="max"),
    "max": Think(on=True, level="max"),
}
_TEXT_PARTS = frozenset({"text", "input_text", "output_text", "refusal", "summary_text"})
_REFUSED = {
    "functions": "use tools",
    "function_call": "use tool_choice",
    "audio": "only text comes out",
    "web_search_options": "puna does not search the web",
}


def chat_wish(asked: wire.ChatRequest, model: ServedModel) -> Wish:
    """Return what `/v1/chat/completions` asks for. Raises `Invalid`."""
    _refuse(asked)
    if not asked.messages:
        raise Invalid("[] is too short - 'messages'")
    messages = read_messages(asked.messages)
    tools = read_tool_use(asked.tools, asked.tool_choice, parallel=asked.parallel_tool_calls)
    think = read_effort(asked)
    return Wish(
        name=asked.model or "",
        wishes=Wishes.of_chat(messages, tools, think),
        subjects=(Conversation(with_own_words(model, messages), tools=tools, think=think),),
        options=read_options(asked, most=asked.max_completion_tokens),
        keep_alive=read_keep_alive(asked.keep_alive),
        grammar=read_response_format(asked.response_format),
        logprobs=_chat_logprobs(asked),
        logit_bias=read_bias(asked.logit_bias),
        count=read_count(asked.n),
        ignored=(
            *(("verbosity",) if asked.verbosity else ()),
            *ignored_details(message.content for message in asked.messages),
        ),
    )


def completion_wish(asked: wire.CompletionRequest, model: ServedModel) -> Wish:
    """Return what `/v1/completions` asks for. Raises `Invalid`."""
    if asked.best_of not in {None, 1}:
        raise Invalid("best_of is not supported", hint="ask for several answers with n")
    alternatives = asked.logprobs
    if alternatives is not None and not 0 <= alternatives <= _MOST_ALTERNATIVES:
        raise Invalid(f"logprobs must be between 0 and {_MOST_ALTERNATIVES}")
    prompts = read_prompts(asked.prompt)
    if asked.echo and (alternatives is not None or not isinstance(prompts[0], str)):
        raise Invalid("echo is only for prompts that are text, and without logprobs")
    is_raw = bool(asked.raw) or not isinstance(prompts[0], str)
    return Wish(
        name=asked.model or "",
        wishes=Wishes(verb="generate", insert=bool(asked.suffix), template=not is_raw),
        subjects=tuple(
            gap_subject(model, prompt, asked.suffix)
            if asked.suffix and isinstance(prompt, str) and prompt and not is_raw
            else _subject(prompt, model, is_raw=is_raw)
            for prompt in prompts
        ),
        options=read_options(asked),
        keep_alive=read_keep_alive(asked.keep_alive),
        logprobs=alternatives,
        logit_bias=read_bias(asked.logit_bias),
        count=read_count(asked.n),
    )


def _subject(
    prompt: str | tuple[int, ...], model: ServedModel, *, is_raw: bool
) -> Conversation | Verbatim:
    if not isinstance(prompt, str):
        return Verbatim("", before=prompt)
    if is_raw:
        return Verbatim(prompt)
    return Conversation(with_own_words(model, (Message(Role.USER, prompt),)))


def read_prompts(prompt: JsonValue) -> tuple[str | tuple[int, ...], ...]:
    """Read one text, several, the tokens of one prompt, or those of several. Raises `Invalid`."""
    if prompt is None or isinstance(prompt, str):
        return (prompt or "",)
    parts: Sequence[JsonValue] = prompt if isinstance(prompt, list) else ()
    if parts and all(_is_token(part) for part in parts):
        parts = [list(parts)]
    if not 0 < len(parts) <= MOST_CHOICES:
        raise Invalid(f"prompt is a text, tokens, or a list of 1 to {MOST_CHOICES} of them")
    if all(isinstance(part, str) for part in parts):
        return tuple(str(part) for part in parts)
    if all(isinstance(part, list) and part and all(map(_is_token, part)) for part in parts):
        return tuple(tuple(int(str(n)) for n in part) for part in parts if isinstance(part, list))
    raise Invalid("prompt is a text, a list of texts, a list of tokens or a list of such lists")


def _is_token(value: JsonValue) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def read_messages(messages: Sequence[wire.Message]) -> tuple[Message, ...]:
    """Return the turns of a conversation; a tool's result learns which function it is from."""
    names: dict[str, str] = {}
    turns = []
    for number, message in enumerate(messages):
        turn = _read_message(message, f"messages[{number}]", names)
        names |= {call.id: call.name for call in turn.tool_calls if call.id}
        turns.append(turn)
    return tuple(turns)


def _read_message(message: wire.Message, place: str, names: Mapping[str, str]) -> Message:
    role = (message.role or "").lower()
    if not role:
        raise Invalid(f"{place}: role is required")
    content = read_content(message.content, f"{place}.content")
    call_id = message.tool_call_id or ""
    is_result = _ROLES.get(role) is Role.TOOL
    return Message(
        _ROLES.get(role, role),
        content.text,
        thinking=message.reasoning or message.reasoning_content or "",
        images=content.images,
        places=content.places,
        tool_calls=tuple(
            _read_call(call, f"{place}.tool_calls[{n}]")
            for n, call in enumerate(message.tool_calls or ())
        ),
        tool_name=(message.name or names.get(call_id, "")) if is_result else "",
        tool_call_id=call_id,
    )


def _read_call(call: wire.ToolCall, place: str) -> ToolCall:
    function = call.function
    if function is None or not function.name:
        raise Invalid(f"{place}: function.name is required")
    return ToolCall(function.name, read_arguments(function.arguments, place), call.id or "")


def read_content(content: JsonValue, place: str) -> Content:
    """Read a text, or the parts of a message. Raises `Invalid`."""
    if content is None or isinstance(content, str):
        return Content(content or "")
    if not isinstance(content, list):
        raise Invalid(f"{place}: a text or a list of parts is expected")
    return Content.joined([_read_part(part, f"{place}[{n}]") for n, part in enumerate(content)])


def _read_part(part: JsonValue, place: str) -> Content:
    if isinstance(part, str):
        return Content(part)
    if not isinstance(part, dict):
        raise Invalid(f"{place}: a part is an object with a type")
    kind = part.get("type")
    if kind in _TEXT_PARTS:
        text = part.get("refusal" if kind == "refusal" else "text")
        if isinstance(text, str):
            return Content(text)
        raise Invalid(f"{place}: text is required")
    if kind in {"image_url", "input_image"}:
        link = part.get("image_url")
        uri = link.get("url") if isinstance(link, dict) else link
        if isinstance(uri, str):
            return picture(uri, place)
        raise Invalid(f"{place}: image_url is required")
    if kind == "input_audio":
        raise Invalid(f"{place}: audio is not supported")
    if kind in {"file", "input_file"}:
        raise Invalid(f"{place}: files are not supported", hint="send their text")
    raise Invalid(f"{place}: a part of an unknown type", hint="text and image_url are known")


def ignored_details(contents: Iterable[JsonValue]) -> tuple[str, ...]:
    """Name the wish for less or more of an image: how much a model sees is its own."""
    parts = (part for content in contents if isinstance(content, list) for part in content)
    for part in parts:
        link = part.get("image_url") if isinstance(part, dict) else None
        holder = link if isinstance(link, dict) else part
        if link and isinstance(holder, dict) and holder.get("detail", "auto") != "auto":
            return ("image_url.detail",)
    return ()


def read_options(asked: wire.Generation, *, most: int | None = None) -> dict[str, object]:
    """Return the options of a request, in Ollama's words; what is absent is the model's own."""
    options: dict[str, object] = dict(asked.options or {})
    given = {name: getattr(asked, name) for name in _OPTIONS}
    options |= {name: value for name, value in given.items() if value is not None}
    limit = asked.max_tokens if most is None else most
    if limit is not None:
        options["num_predict"] = limit
    if asked.stop is not None:
        options["stop"] = read_stop(asked.stop)
    return options


def read_stop(stop: JsonValue) -> list[str]:
    """Read one stop string or a list of them. Raises `Invalid`."""
    texts = [stop] if isinstance(stop, str) else stop
    if isinstance(texts, list) and all(isinstance(text, str) for text in texts):
        return [str(text) for text in texts]
    raise Invalid("stop is a text or a list of texts")


def read_bias(biases: Mapping[str, float] | None) -> dict[int, float]:
    """Read what is added to the logits of tokens. Raises `Invalid`."""
    read: dict[int, float] = {}
    for token, bias in (biases or {}).items():
        if not token.isdecimal() or not token.isascii():
            raise Invalid("logit_bias: a key is the number of a token")
        if not -_MOST_BIAS <= bias <= _MOST_BIAS:
            raise Invalid(f"logit_bias: a value is between -{_MOST_BIAS:g} and {_MOST_BIAS:g}")
        read[int(token[:20])] = bias
    return read


def read_count(count: int | None) -> int:
    """Read how many answers are wanted. Raises `Invalid`."""
    wanted = 1 if count is None else count
    if not 1 <= wanted <= MOST_CHOICES:
        raise Invalid(f"n must be between 1 and {MOST_CHOICES}")
    return wanted


def read_effort(asked: wire.ChatRequest) -> Think | None:
    """Read how hard to think, from any of the three fields that say so. Raises `Invalid`."""
    effort = asked.reasoning_effort or (asked.reasoning.effort if asked.reasoning else None)
    if effort:
        return effort_named(effort)
    return read_think(asked.think)


def effort_named(effort: str) -> Think:
    """Return what an effort's name means. Raises `Invalid`."""
    if effort in _EFFORTS:
        return _EFFORTS[effort]
    raise Invalid("the reasoning effort is unknown", hint=f"it is one of {', '.join(_EFFORTS)}")


def read_response_format(form: JsonValue) -> Grammar | None:
    """Read `text`, `json_object` or `json_schema`. Raises `Invalid`."""
    if form is None:
        return None
    kind = form.get("type") if isinstance(form, dict) else None
    if not isinstance(form, dict) or kind == "text":
        if kind == "text":
            return None
        raise Invalid("response_format is an object with a type")
    if kind == "json_object":
        return Grammar()
    if kind != "json_schema":
        raise Invalid("response_format: type is text, json_object or json_schema")
    inner = form.get("json_schema")
    schema = inner.get("schema") if isinstance(inner, dict) else None
    if not isinstance(schema, dict):
        raise Invalid("response_format: json_schema.schema is required")
    return Grammar(as_json(schema).decode())


def _chat_logprobs(asked: wire.ChatRequest) -> int | None:
    alternatives = asked.top_logprobs or 0
    if not 0 <= alternatives <= _MOST_ALTERNATIVES:
        raise Invalid(f"top_logprobs must be between 0 and {_MOST_ALTERNATIVES}")
    if alternatives and not asked.logprobs:
        raise Invalid("top_logprobs needs logprobs: true")
    return alternatives if asked.logprobs else None


def _refuse(asked: wire.ChatRequest) -> None:
    for name, hint in _REFUSED.items():
        if getattr(asked, name):
            raise Invalid(f"{name} is not supported", hint=hint)
    if set(asked.modalities or ()) - {"text"}:
        raise Invalid("modalities: only text is supported")
