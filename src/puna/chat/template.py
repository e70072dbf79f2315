"""Which template writes a model's prompts, and the prompt that a Go template writes.

The rules are Ollama's: a template with `.Messages` is carried out once over all of them; one
without is carried out turn by turn, and for the last turn it ends where the answer begins.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from puna.chat.go_values import messages_value, tools_value
from puna.chat.gotemplate import nodes
from puna.chat.gotemplate.errors import BadTemplate
from puna.chat.gotemplate.template import GoTemplate, read_template
from puna.chat.gotemplate.values import Value
from puna.chat.messages import Message, Role, Think, ToolMode, ToolUse

BARE = "{{ .Prompt }}"
"""The Go template that adds nothing."""
_TOOLS = re.compile(r"\btools\b")
_THINKING = re.compile(r"</?think>|\benable_thinking\b|\breasoning_content\b|\[THINK\]")
_ONCE = frozenset({"messages", "response"})


@dataclass(frozen=True, slots=True)
class GoPrompt:
    """A Go template that writes prompts, and the day that it may speak of."""

    template: GoTemplate
    today: date


def choose_template(go: str | None, jinja: str, *, prefers_go: bool = False) -> GoTemplate | None:
    """Return the Go template that writes a model's prompts; None leaves it to its file's own.

    The file's own template wins where it can do more, or where the Go template cannot be read,
    unless Go is preferred. Raises `BadTemplate` if there is nothing else to use.
    """
    if go is None or go.strip() in {"", BARE}:
        return None
    try:
        template = read_template(go)
    except BadTemplate:
        if jinja and not prefers_go:
            return None
        raise
    if jinja and not prefers_go and _skills_of_jinja(jinja) > _skills_of_go(template):
        return None
    return template


def _skills_of_jinja(text: str) -> int:
    return bool(_TOOLS.search(text)) + bool(_THINKING.search(text))


def _skills_of_go(template: GoTemplate) -> int:
    return ("tools" in template.names) + bool({"thinking", "think"} & template.names)


def write_prompt(
    prompt: GoPrompt,
    messages: Sequence[Message],
    *,
    tools: ToolUse,
    think: Think | None,
    suffix: str = "",
) -> str:
    """Return the text of a conversation, up to where the answer begins. Raises `BadTemplate`."""
    settings: dict[str, Value] = {
        "Response": "",
        "Think": think is not None and think.on,
        "ThinkLevel": think.level if think else "",
        "IsThinkSet": think is not None,
    }
    merged = merge_turns(messages)
    template, today = prompt.template, prompt.today
    if suffix:
        asked: Value = merged[-1].content if merged else ""
        values = {**settings, "Prompt": asked, "Suffix": suffix}
        return _completed(template).render(values, today=today)
    if "messages" in template.names:
        offered = tools.tools if tools.mode is not ToolMode.NONE else ()
        values = {
            **settings,
            "System": "\n\n".join(
                each.content for each in messages if each.role == Role.SYSTEM and each.content
            ),
            "Messages": messages_value(merged),
            "Tools": tools_value(offered),
        }
        return template.render(values, today=today)
    return _by_turns(_completed(template), merged, settings, today)


def merge_turns(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Join what one speaker says in a row with a blank line; results of tools stay apart."""
    merged: list[Message] = []
    for message in messages:
        last = merged[-1] if merged else None
        if last is None or last.role != message.role or message.role == Role.TOOL:
            merged.append(message)
            continue
        merged[-1] = replace(
            last,
            content=f"{last.content}\n\n{message.content}",
            images=(*last.images, *message.images),
            places=(),
            tool_calls=(*last.tool_calls, *message.tool_calls),
        )
    return tuple(merged)


def _completed(template: GoTemplate) -> GoTemplate:
    """Add the answer at the end of a template that has no place for it."""
    if _ONCE & template.names:
        return template
    root = template.root
    end = len(template.text)
    command = nodes.Command(end, (nodes.Field(end, ("Response",)),))
    answer = nodes.Action(end, nodes.Pipe(end, (), is_assign=False, commands=(command,)))
    trees = {**template.trees, "": nodes.Block(root.place, (*root.nodes, answer))}
    return GoTemplate(template.text, trees, template.names | {"response"})


@dataclass(slots=True)
class _Turn:
    """What was said since the last time that the template was carried out."""

    system: str = ""
    prompt: str = ""
    response: str = ""

    def values(self, settings: dict[str, Value]) -> Value:
        return {
            **settings, "System": self.system, "Prompt": self.prompt, "Response": self.response,
        }  # fmt: skip


def _by_turns(
    template: GoTemplate, messages: Sequence[Message], settings: dict[str, Value], today: date
) -> str:
    pieces: list[str] = []
    turn = _Turn()
    for message in messages:
        is_over = (message.role == Role.SYSTEM and (turn.prompt or turn.response)) or (
            message.role == Role.USER and turn.response
        )
        if is_over:
            pieces.append(template.render(turn.values(settings), today=today))
            turn = _Turn()
        if message.role == Role.SYSTEM:
            turn.system = message.content
        elif message.role == Role.USER:
            turn.prompt = message.content
        elif message.role == Role.ASSISTANT:
            turn.response = message.content
    pieces.append(cut_at_answer(template).render(turn.values(settings), today=today))
    return "".join(pieces)


def cut_at_answer(template: GoTemplate) -> GoTemplate:
    """Return a template without what follows the place of the answer."""
    root, _ = _cut(template.root)
    return GoTemplate(template.text, {**template.trees, "": root}, template.names)


def _cut(block: nodes.Block) -> tuple[nodes.Block, bool]:
    """Return a block up to the answer, and whether the answer was in it.

    The part with the answer stays: an answer that was begun is to go on.
    """
    kept: list[nodes.Node] = []
    for node in block.nodes:
        if isinstance(node, nodes.Branch):
            body, is_cut = _cut(node.body)
            otherwise = node.otherwise
            if is_cut:
                otherwise = nodes.Block(otherwise.place, ()) if otherwise else None
            elif otherwise is not None:
                otherwise, is_cut = _cut(otherwise)
            kept.append(replace(node, body=body, otherwise=otherwise))
        else:
            kept.append(node)
            is_cut = "response" in nodes.names_in(node)
        if is_cut:
            return nodes.Block(block.place, tuple(kept)), True
    return block if len(kept) == len(block.nodes) and not kept else nodes.Block(
        block.place, tuple(kept)
    ), False
