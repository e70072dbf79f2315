"""The marks around thoughts and before calls, told from the Go template that writes them.

A template that writes earlier thoughts and calls shows how the model writes its own: the literal
text around them. The rules are Ollama's.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from puna.chat.forms import form_of, tagged_form
from puna.chat.gotemplate import nodes
from puna.chat.gotemplate.template import GoTemplate
from puna.chat.output import Form


@dataclass(frozen=True, slots=True)
class OutputTags:
    """What a model writes around its thoughts and before a call; empty where it is not known."""

    think_open: str = ""
    think_close: str = ""
    tool_prefix: str = "{"


def output_tags(template: GoTemplate) -> OutputTags:
    """Return the marks that a template tells of."""
    opener, closer = _thought_tags(template.root)
    return OutputTags(opener, closer, _tool_prefix(template.root))


def tags_form(template: GoTemplate) -> Form:
    """Return the form of the answers of a model whose prompts a Go template writes."""
    tags = output_tags(template)
    if "<|channel|>" in template.text and "<|message|>" in template.text:
        return form_of(template.text)
    return tagged_form(tags.think_open, tags.think_close, tags.tool_prefix)


def _thought_tags(root: nodes.Block) -> tuple[str, str]:
    tags = "", ""
    for loop in (each for each in nodes.walk(root) if isinstance(each, nodes.Range)):
        if "messages" not in nodes.names_in(loop.pipe):
            continue
        for block in _blocks_with_thoughts(loop.body):
            first, last = block.nodes[0], block.nodes[-1]
            opener = first.text.strip() if isinstance(first, nodes.Text) else tags[0]
            closer = last.text.strip() if isinstance(last, nodes.Text) else tags[1]
            tags = opener, closer
    return tags


def _blocks_with_thoughts(block: nodes.Block) -> Iterator[nodes.Block]:
    for node in block.nodes:
        if isinstance(node, nodes.Action) and "thinking" in nodes.names_in(node):
            yield block
        for inner in nodes.parts_of(node):
            if isinstance(inner, nodes.Block):
                yield from _blocks_with_thoughts(inner)


def _tool_prefix(root: nodes.Block) -> str:
    for node in nodes.walk(root):
        if isinstance(node, nodes.If) and "toolcalls" in nodes.names_in(node.pipe):
            text, _ = _first_text(node.body)
            return text.partition("{")[0].strip() or "{"
    return "{"


def _first_text(block: nodes.Block) -> tuple[str, bool]:
    """Return the first text of a block, and whether to look no further."""
    for node in block.nodes:
        if isinstance(node, nodes.Text) and node.text.strip():
            return node.text, True
        if isinstance(node, nodes.Branch):
            text, _ = _first_text(node.body)
            if not text and node.otherwise:
                text, _ = _first_text(node.otherwise)
            return text, True
        if isinstance(node, nodes.Action) and not node.pipe.declared:
            return "", True
    return "", False
