"""Names of families in a model's config: known ones pass, others are refused by name."""

import pytest

from puna.chat.families import RENDERER_NAMES, UnknownFamily, check_families
from puna.chat.forms import PARSER_NAMES


def test_known_names_and_none_pass() -> None:
    check_families("", "")
    for name in RENDERER_NAMES:
        check_families(name, "")
    for name in PARSER_NAMES:
        check_families("", name)


@pytest.mark.parametrize(
    ("renderer", "parser", "said"),
    [
        ("qwen9", "", 'unknown renderer "qwen9"'),
        ("qwen3-coder", "qwen9", 'unknown parser "qwen9"'),
        ("QWEN3-CODER", "", 'unknown renderer "QWEN3-CODER"'),
    ],
)
def test_a_name_that_nobody_knows_is_refused(renderer: str, parser: str, said: str) -> None:
    with pytest.raises(UnknownFamily, match=said) as caught:
        check_families(renderer, parser)
    assert "glimmer" in caught.value.hint
