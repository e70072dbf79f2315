"""WebP as PNG, in the child process: llama.cpp's decoder knows every other format that is taken."""

import base64
from io import BytesIO

from PIL import Image, UnidentifiedImageError

_MOST_BYTES = 150_000_000
"""What passes through the pipe to the node."""


def png_of(text: str) -> dict[str, str]:
    """Return an image in base64 as PNG in base64 under `image`, or why not under `refusal`.

    Of an animation it is the first picture. The caller has looked at the size.
    """
    Image.MAX_IMAGE_PIXELS = None
    written = BytesIO()
    try:
        with Image.open(BytesIO(base64.b64decode(text)), formats=["WEBP"]) as picture:
            has_alpha = "A" in picture.getbands() or "transparency" in picture.info
            picture.convert("RGBA" if has_alpha else "RGB").save(written, "PNG", compress_level=1)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError):
        return {"refusal": "the webp image cannot be decoded: it is damaged"}
    if written.tell() > _MOST_BYTES:
        return {"refusal": "the webp image is too large: send it as PNG or JPEG"}
    return {"image": base64.b64encode(written.getvalue()).decode()}
