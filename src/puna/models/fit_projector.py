"""How many bytes the part of a model takes that sees images: its weights, its work, one picture.

llama.cpp reads a projector whole into memory, beside the mapped weights, and plans its buffers for
the largest picture that it hands to the encoder at once. `bench/fit.py` measures it.
"""

from puna.models.fit_memory import weights_size
from puna.models.gguf import GgufHeader
from puna.units import Size

_PICTURE = 2**24 * 10
"""Decoding takes ten bytes a pixel, for as long as it takes; this is for one of 16 megapixels."""
_FLOAT = 4
_MOST_PATCHES = 16_384
"""What llama.cpp hands to an encoder of pictures of any size, at most."""


def projector_size(header: GgufHeader) -> Size:
    """Return the bytes that a projector adds to a load."""
    return Size(weights_size(header) + _work(header) + _PICTURE)


def _work(header: GgufHeader) -> int:
    """Return the bytes of the buffers for one picture."""

    def number(name: str) -> int:
        return header.integer(header.own_key(f"vision.{name}")) or 0

    side, patch = number("image_size"), max(1, number("patch_size"))
    width, inner = number("embedding_length"), number("feed_forward_length")
    patches = min(_MOST_PATCHES, (side // patch) ** 2)
    return patches * _FLOAT * (8 * width + 2 * inner) + 3 * side * side * _FLOAT
