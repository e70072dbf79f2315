"""The parts of a message: texts, and pictures that travel inside the request."""

import base64
import binascii
from dataclasses import dataclass
from re import compile as compile_pattern

from puna.errors import Invalid

_DATA_URI = compile_pattern(r"data:(?:image/(?:jpeg|jpg|png|webp|gif))?;base64,")


@dataclass(frozen=True, slots=True)
class Content:
    """What one turn says and shows."""

    text: str = ""
    images: tuple[bytes, ...] = ()

    @classmethod
    def joined(cls, parts: list["Content"]) -> "Content":
        """Put the parts of one turn together, each text on its own line."""
        texts = [part.text for part in parts if part.text]
        return cls("\n".join(texts), tuple(image for part in parts for image in part.images))


def picture(uri: str) -> Content:
    """Return the picture in a data URI. Raises `Invalid`: nothing is fetched for a client."""
    if uri.startswith(("http://", "https://")):
        raise Invalid(
            "image URLs are not currently supported, please use base64 encoded data instead"
        )
    match = _DATA_URI.match(uri[:100])
    if match is None:
        raise Invalid("invalid image input", hint="send data:image/png;base64,... or image/jpeg")
    return decoded_picture(uri[match.end() :])


def decoded_picture(text: str) -> Content:
    """Return the picture that is written in base64. Raises `Invalid`."""
    try:
        return Content(images=(base64.b64decode(text, validate=True),))
    except (binascii.Error, ValueError) as error:
        raise Invalid("invalid image input: not base64") from error
