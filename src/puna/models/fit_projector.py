"""How many bytes the part of a model takes that sees images: its weights, its work, one picture.

llama.cpp reads a projector whole into memory, beside the mapped weights, and its buffers grow with
the picture that it hands to the encoder at once: of a fixed size, or of any up to a limit.
"""

from puna.models.fit_memory import weights_size
from puna.models.gguf import GgufHeader
from puna.units import Size

DECODED_PIXEL = 10
"""Bytes that decoding takes for each pixel while it lasts."""
COUNTED_PIXELS = 2**24
"""The picture that a load counts on; for a larger one there has to be memory when it comes."""
_FLOAT = 4
_FIXED = 16_000_000
"""What the encoder takes beside, whatever its size."""
_MOST_PATCHES = 16_384
"""What llama.cpp hands at most to an encoder of pictures of any size: 3.2 megapixels."""
_ANY_SIZE = frozenset(
    {"dots_ocr", "glm4v", "hunyuanocr", "hunyuanvl", "kimik25", "kimivl", "lightonocr"}
    | {"paddleocr", "pixtral", "qwen2.5vl_merger", "qwen2vl_merger", "qwen3vl_merger", "youtuvl"}
)
"""Projectors that take a picture as large as it is."""


def projector_size(header: GgufHeader) -> Size:
    """Return the bytes that a projector adds to a load."""
    return Size(weights_size(header) + work_size(header) + COUNTED_PIXELS * DECODED_PIXEL)


def work_size(header: GgufHeader) -> Size:
    """Return the bytes of the encoder's buffers for the largest picture that it gets at once."""

    def number(name: str) -> int:
        return header.integer(header.own_key(f"vision.{name}")) or 0

    side, patch = number("image_size"), max(1, number("patch_size"))
    patches = min(_MOST_PATCHES, (side // patch) ** 2)
    if _kind(header) in _ANY_SIZE:
        patches = min(_MOST_PATCHES, number("image_max_pixels") // patch**2 or _MOST_PATCHES)
    row = 8 * number("embedding_length") + 2 * number("feed_forward_length") + 3 * patch * patch
    return Size(_FIXED + patches * row * _FLOAT)


def _kind(header: GgufHeader) -> str:
    keys = ("vision.projector_type", "projector_type")
    return next((kind for key in keys if (kind := header.text(header.own_key(key)))), "")
