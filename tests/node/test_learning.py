"""How an unknown template marks calls is learnt from what it makes of a made-up one."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from puna.chat.forms import choose_parser, form_of
from puna.chat.messages import NO_TOOLS, Message, Think, Tool, ToolCall, ToolUse
from puna.chat.output import Said
from puna.errors import Invalid
from puna.node.engine.request import LoadSpec
from puna.node.engine.scripted import Script, ScriptedEngine
from puna.node.learning import learn_form, learned
from puna.units import Size
from tests.worlds import FakeWorld

UNKNOWN = form_of("{{ tools }}")
JSON = '{"name": "puna_probe", "arguments": {"puna_key": "puna_value"}}'
ARGUMENTS = '{"puna_key": "puna_value"}'
START = "<|user|>Probe.<|end|><|model|>"
TOOLS = ToolUse((Tool("f", "", {}),))


class Templated(ScriptedEngine):
    """An engine whose template writes calls with its own words around them."""

    def __init__(self, call: str) -> None:
        spec = LoadSpec(Path("/models/none.gguf"), context=500, slots=1, memory=Size(1))
        super().__init__(spec, Script(), FakeWorld())
        self._call = call

    async def render(
        self,
        messages: Sequence[Message],
        *,
        tools: ToolUse = NO_TOOLS,
        think: Think | None = None,
    ) -> str:
        assert tools.tools
        assert think is None
        if len(messages) == 1:
            return START
        if not self._call:
            raise Invalid("no calls")
        return f"{START}{self._call}<|end|><|tool|>{messages[-1].content}<|end|><|model|>"


@pytest.mark.parametrize(
    ("call", "mark", "noise"),
    [
        (f"<call>{JSON}</call>", "<call>", ("</call>",)),
        (f"<call>\n{JSON}\n</call>", "<call>", ("</call>",)),
        (f"CALL: {JSON}", "CALL:", ()),
        (f"[[CALLS]][{JSON}]", "[[CALLS]]", ()),
        (f"<fn>puna_probe<args>{ARGUMENTS}</fn>", "<fn>", ("</fn>",)),
        (f"@@puna_probe {ARGUMENTS}", "@@", ()),
    ],
)
async def test_what_stands_before_a_call_is_its_mark(
    call: str, mark: str, noise: tuple[str, ...]
) -> None:
    form = await learn_form(Templated(call), UNKNOWN)
    assert (form.marks, form.noise, form.is_bare) == ((mark,), noise, False)
    reader = choose_parser(form, TOOLS)
    assert reader is not None
    text = call.replace("puna_probe", "f")
    assert (*reader.feed(text), *reader.end()) == (ToolCall("f", '{"puna_key":"puna_value"}'),)


@pytest.mark.parametrize("call", ["", JSON, "nothing", "puna_probe(1)", "x" * 100 + JSON])
async def test_a_template_that_shows_no_mark_teaches_nothing(call: str) -> None:
    assert await learn_form(Templated(call), UNKNOWN) == UNKNOWN


async def test_broken_calls_after_a_learnt_mark_are_content() -> None:
    form = await learn_form(Templated(f"<call>{JSON}</call>"), UNKNOWN)
    reader = choose_parser(form, TOOLS)
    assert reader is not None
    assert (*reader.feed("<call>well"), *reader.end()) == (Said("<call>well"),)


def test_the_end_of_a_turn_is_no_tag_of_a_call() -> None:
    before = "<s>a</s><m>"
    form = learned(before, f"{before}CALL {JSON}</s>puna_result", UNKNOWN)
    assert (form.marks, form.noise) == (("CALL",), ())
