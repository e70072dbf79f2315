"""How an unknown template marks calls: a made-up call is rendered, and what surrounds it is seen.

The same conversation is rendered up to where the model speaks, and with the model's call in it.
What the second has more begins with the mark that the model was trained to write.
"""

import json
import os.path
import re
from collections.abc import Mapping
from dataclasses import replace

from puna.chat.calls import calls_in
from puna.chat.messages import Message, Role, Tool, ToolCall, ToolUse
from puna.chat.output import Form
from puna.chat.tape import Broken
from puna.errors import Invalid
from puna.node.engine.engine import Engine

_NAME = "puna_probe"
_RESULT = "puna_result"
_ARGUMENTS: Mapping[str, object] = {"puna_key": "puna_value"}
_TOOLS = ToolUse((Tool(_NAME, "Probes.", {"type": "object", "properties": {}}),))
_ASKED = (Message(Role.USER, "Probe."),)
_CALLED = (
    *_ASKED,
    Message(Role.ASSISTANT, "", tool_calls=(ToolCall(_NAME, json.dumps(_ARGUMENTS), "probe0001"),)),
    Message(Role.TOOL, _RESULT, tool_name=_NAME, tool_call_id="probe0001"),
)
_TAG = re.compile(r"\s*(</[^<>\s]{1,40}>|\[/[^\[\]\s]{1,40}\]|<\|?/[^<>\s]{1,40}\|?>)")
_LONGEST_MARK = 60


async def learn_form(engine: Engine, form: Form) -> Form:
    """Return the form with the mark that the engine's template shows; the same where it shows none.

    Raises `EngineDied`.
    """
    try:
        before = await engine.render(_ASKED, tools=_TOOLS)
        after = await engine.render(_CALLED, tools=_TOOLS)
    except Invalid:  # the template takes no calls
        return form
    return learned(before, after, form)


def learned(before: str, after: str, form: Form) -> Form:
    """Return the form that two renderings tell: one up to the model's turn, one with its call."""
    shared = len(os.path.commonprefix((before, after)))  # noqa: RUF071 - of characters, indeed
    written = after[shared:].partition(_RESULT)[0]
    place, length = _place_of_call(written)
    mark = written[:place].strip()
    if place < 0 or not mark or len(mark) > _LONGEST_MARK:
        return form
    closing = _TAG.match(written, place + length)
    noise = (*form.noise, closing[1]) if closing and closing[1] not in before else form.noise
    return replace(form, marks=(mark,), noise=noise, is_bare=False)


def _place_of_call(text: str) -> tuple[int, int]:
    """Return where the call begins, by its JSON or by its name, and its length; -1 for nowhere."""
    named = text.find(_NAME)
    for place, letter in enumerate(text):
        if letter not in "{[":
            continue
        try:
            value, end = json.JSONDecoder().raw_decode(text, place)
        except ValueError:
            continue
        if value == _ARGUMENTS and 0 <= named < place:
            return named, end - named
        if _is_call(value):
            return place, end - place
    return -1, 0


def _is_call(value: object) -> bool:
    try:
        return list(calls_in(value)) == [(_NAME, _ARGUMENTS)]
    except Broken:
        return False
