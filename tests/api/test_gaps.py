"""What goes between two texts: by the template's `.Suffix`, by the file's marks, or refused."""

import pytest

from tests.api.stage import Stage
from tests.builders import LLAMA, a_gguf


@pytest.mark.parametrize("own", [True, False], ids=["of the model", "of the request"])
async def test_a_template_with_a_suffix_writes_the_gap(stage: Stage, *, own: bool) -> None:
    template = "<P>{{ .Prompt }}<S>{{ .Suffix }}<M>"
    bare = {key: value for key, value in LLAMA.items() if key != "tokenizer.chat_template"}
    stage.add_model(
        "coder", a_gguf(bare), [("template", (template if own else "{{ .Suffix }}").encode())]
    )
    given = {} if own else {"template": template}
    reply = await stage.generate("a", model="coder", suffix="b", _debug_render_only=True, **given)
    assert reply.json["_debug_info"] == {"rendered_template": "<P>a<S>b<M>"}


async def test_a_model_that_fills_no_gaps_says_so(stage: Stage) -> None:
    reply = await stage.generate("a", suffix="b")
    assert (reply.status, reply.headers["Puna-Error-Code"]) == (400, "missing_ability")
