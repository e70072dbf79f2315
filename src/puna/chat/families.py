"""Ollama's names of families: who writes prompts (RENDERER) and reads answers (PARSER).

Ollama has code for each. Here a parser's name says the form of the answers (`forms`), and prompts
are always written by a template, the model's own; so a renderer's name changes nothing, and a
model that has only that name cannot be asked. A name that nobody knows is refused, never ignored:
it says that the model speaks in a way that is not understood here.
"""

from puna.chat.forms import PARSER_NAMES
from puna.errors import Invalid
from puna.text import one_line

RENDERER_NAMES = frozenset(
    (
        *("qwen3-coder", "qwen3-vl-instruct", "qwen3-vl-thinking", "qwen3.5", "qwen3.8", "ornith"),
        *("cogito", "deepseek3.1", "olmo3", "olmo3.1", "olmo3-think", "olmo3-32b-think"),
        *("nemotron-3-nano", "nemotron-3.5-nano", "gemma4", "gemma4-small", "gemma4-large"),
        *("functiongemma", "glm-4.7", "glm-ocr", "lfm2", "lfm2-thinking", "laguna"),
        *("poolside-v1", "cohere", "glimmer"),
    )
)


class UnknownFamily(Invalid):
    """A renderer or parser is named that puna does not know."""

    code = "unknown_family"


def check_families(renderer: str, parser: str) -> None:
    """Raise `UnknownFamily` for a name that means nothing here; "" is no name."""
    for kind, name, known in (
        ("renderer", renderer, RENDERER_NAMES),
        ("parser", parser, PARSER_NAMES),
    ):
        if name and name not in known:
            raise UnknownFamily(
                f'unknown {kind} "{one_line(name, 60)}"',
                hint=f"puna knows {', '.join(sorted(known))}",
            )
