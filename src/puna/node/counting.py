"""How many tokens a prompt with images has, and long texts in blocks.

The engine reads the texts around images each by itself, so that is how they are counted.
"""

from collections.abc import Iterator

from puna.chat.images import Image
from puna.chat.marks import Illustrated
from puna.node.engine.engine import Engine

BLOCK = 2**16
"""Characters of a block of a long text: reading the reply for one holds up no other client."""


async def count_illustrated(engine: Engine, prompt: Illustrated) -> int:
    """Count what the engine will: each text by itself, and the images."""
    size = 0
    for number, part in enumerate(prompt.parts):
        if isinstance(part, Image):
            size += await engine.image_tokens(part)
            continue
        for place, block in enumerate(blocks(part) if part else ("",)):
            add_special = number == place == 0
            size += len(await engine.tokenize(block, add_special=add_special))
    return size


def blocks(text: str) -> Iterator[str]:
    """Cut a text before blanks, where tokens begin anyway."""
    start = 0
    while start < len(text):
        end = start + BLOCK
        if end < len(text):
            blank = max(text.rfind(" ", start + 1, end), text.rfind("\n", start + 1, end))
            end = blank if blank > 0 else end
        yield text[start:end]
        start = end
