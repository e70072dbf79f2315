"""Which form a model's answers have: told from the texts of its template, or by a parser's name."""

import re
from collections.abc import Mapping
from functools import lru_cache

from puna.chat.calls import READERS
from puna.chat.messages import NO_TOOLS, ToolMode, ToolUse
from puna.chat.output import Form, OutputParser

_THOUGHTS = (
    ("<think>", "</think>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("<thinking>", "</thinking>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|channel>thought", "<channel|>"),
    ("<|channel>", "<channel|>"),
    ("◁think▷", "◁/think▷"),
    ("Here is my thought process:", "Here is my response:"),
)
_NOISE = (
    "<|START_RESPONSE|>",
    "<|END_RESPONSE|>",
    "<|START_TEXT|>",
    "<|END_TEXT|>",
    "<response>",
    "</response>",
    "<|END_OF_TURN_TOKEN|>",
    "<tool_call|>",
    "<|tool_response>",
)
_TOOLS = re.compile(r"\btools\b|\.Tools\b")
_QWEN = "<think></think><tool_call>"
_GEMMA_CALLS = "<|tool_call><tool_call|><|tool_response>"
_COHERE_TEXTS = "<|START_RESPONSE|><|END_RESPONSE|><|START_TEXT|><|END_TEXT|><|END_OF_TURN_TOKEN|>"
_NAMED: Mapping[str, str] = {
    # Ollama's names of parsers, each with the texts by which a template of the family is known.
    "qwen3": _QWEN,
    "qwen3-thinking": _QWEN,
    "qwen3.5": _QWEN + "<function=",
    "ornith": _QWEN,
    "qwen3-coder": "<tool_call><function=",
    "qwen3-vl-instruct": "<tool_call>",
    "qwen3-vl-thinking": _QWEN,
    "ministral": "[TOOL_CALLS][THINK]",
    "passthrough": "",
    "harmony": "<|start|><|channel|><|message|>",
    "cogito": "<think><｜tool▁calls▁begin｜>",
    "deepseek3": "<think><｜tool▁calls▁begin｜>",
    "deepseek3.1": "<think><｜tool▁calls▁begin｜>",
    "olmo3": "<function_calls>",
    "olmo3.1": "<function_calls>",
    "olmo3-think": "<think><function_calls>",
    "nemotron-3-nano": _QWEN + "<function=",
    "nemotron-3.5-nano": _QWEN + "<function=",
    "functiongemma": "<start_function_call>",
    "glm-4.7": _QWEN,
    "glm-ocr": _QWEN,
    "gemma4": "<|channel>thought" + _GEMMA_CALLS,
    "gemma4-no-thinking": _GEMMA_CALLS,
    "lfm2": "<|tool_call_start|>",
    "lfm2-thinking": "<think><|tool_call_start|>",
    "laguna": _QWEN + "tools",
    "poolside-v1": _QWEN,
    "cohere": "<|START_THINKING|><|START_ACTION|>" + _COHERE_TEXTS,
    "glimmer": "<|message|><|eom|>tools",
}
PARSER_NAMES = frozenset(_NAMED)


def takes_tools(template: str) -> bool:
    """Tell whether a template has a place for functions."""
    return bool(_TOOLS.search(template))


@lru_cache(maxsize=64)
def form_of(template: str) -> Form:
    """Return the form of the answers of a model with this template."""
    is_harmony = "<|channel|>" in template and "<|message|>" in template
    marks = tuple(mark for mark in READERS if mark in template)
    return Form(
        thoughts=tuple(pair for pair in _THOUGHTS if _has(template, pair)),
        marks=marks,
        noise=tuple(tag for tag in _NOISE if tag in template),
        is_bare=takes_tools(template) and not set(marks) - {"<|python_tag|>"},
        is_harmony=is_harmony,
        has_recipients="<|message|>" in template and "<|eom|>" in template and not is_harmony,
        names_first=">>>all" in template or "'>>>'" in template or '">>>"' in template,
    )


def _has(template: str, pair: tuple[str, str]) -> bool:
    return any(tag in template for tag in pair)


def named_form(name: str) -> Form | None:
    """Return the form that a parser's name in a model's config means; None for an unknown one."""
    return form_of(_NAMED[name]) if name in _NAMED else None


def tagged_form(think_open: str, think_close: str, tool_prefix: str) -> Form:
    """Return the form that the tags in a Go template tell."""
    prefix = tool_prefix.strip()
    known = next((mark for mark in READERS if mark in prefix), "")
    is_bare = not known and (not prefix or prefix.startswith(("{", "[")))
    return Form(
        thoughts=((think_open, think_close),) if think_open and think_close else (),
        marks=() if is_bare else (known or prefix,),
        is_bare=is_bare,
    )


def choose_parser(form: Form, tools: ToolUse = NO_TOOLS, *, tail: str = "") -> OutputParser | None:
    """Return a parser for an answer after a prompt that ends in `tail`; None if none is needed."""
    offered = tools.tools if tools.mode is not ToolMode.NONE else ()
    inside = opened_thought(form, tail)
    if not (inside or form.has_tags or offered):
        return None
    return OutputParser(form, offered, inside=inside)


def opened_thought(form: Form, tail: str) -> str:
    """Return what closes the thought in which a prompt ends; "" if it ends in none."""
    if form.is_harmony:
        return "<|end|>" if tail.rstrip().endswith("<|channel|>analysis<|message|>") else ""
    for opener, closer in form.thoughts:
        if tail.rstrip().endswith(opener):
            return closer
    return ""
