"""An image that a model is to see: known by its header, and harmless before anything decodes it.

The engine decodes with native code that trusts a file's own numbers. So what passes is a format
that it decodes, with sides that can be held, and with no more inside than an image of those sides
can have: a file of a few bytes can claim a billion pixels, or unpack to gigabytes.
"""

import base64
import binascii
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from struct import error as TooShort, unpack_from  # noqa: N812 - it says what it means here

from puna.errors import Invalid

MOST_IMAGES = 100
"""Images of one request."""
MOST_PIXELS = 2**26
"""67 million: more than a photograph of a telephone has. Decoding takes ten bytes for each."""
_MOST_SIDE = 2**16
_MOST_SCANS = 200
"""Parts of a JPEG, each of which a decoder takes for all its pixels."""
_SURELY_SMALL = 2**18
"""Packed bytes that cannot unpack to more than a quarter of a gigabyte."""
_STEP = 2**20
_DATA_URL = re.compile(
    r"data:(?:image/[^,;]*|application/octet-stream)?(?:;[^,;]*)?;base64,", re.IGNORECASE
)
_INVALID = "invalid image input"
"""What Ollama says, and then we say more."""


class BadImage(Invalid):
    """What should be an image is none, or is none that can be shown to a model."""

    code = "bad_image"


class ImageKind(StrEnum):
    """A format that can be shown to a model."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"
    GIF = "gif"
    BMP = "bmp"


@dataclass(frozen=True, slots=True)
class Image:
    """The bytes of an image file, and what its header says."""

    content: bytes
    kind: ImageKind
    width: int
    height: int
    place: str = field(default="", compare=False)
    """Where in the request it stands, for errors."""

    @property
    def pixels(self) -> int:
        """How many pixels it has."""
        return self.width * self.height

    @property
    def base64(self) -> str:
        """The file as text."""
        return base64.b64encode(self.content).decode()

    def __str__(self) -> str:
        return f"{self.kind} {self.width}x{self.height}"


def decode_image(text: str, place: str) -> Image:
    """Return the image that is written in base64, or as a data URL. Raises `BadImage`."""
    if text[:5].lower() == "data:":
        match = _DATA_URL.match(text[:200])
        if match is None:
            raise BadImage(
                f"{place}: {_INVALID}: a data URL of no image in base64",
                hint="one begins data:image/png;base64,",
            )
        text = text[match.end() :]
    try:
        content = binascii.a2b_base64(_in_one_line(text), strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise BadImage(f"{place}: {_INVALID}: not base64") from error
    return read_image(content, place)


def _in_one_line(text: str) -> str:
    """Return base64 without line ends, which Go skips, and many programs write."""
    return text.replace("\r", "").replace("\n", "") if "\n" in text[-200:] + text[:200] else text


def read_image(content: bytes, place: str) -> Image:
    """Return the image in a file's bytes; `place` names it in errors. Raises `BadImage`.

    Only the header is read; before anything decodes it, `check_inside` looks at the rest.
    """
    kind = kind_of(content)
    if kind is None:
        raise BadImage(
            f"{place}: {_INVALID}: {_what_else(content)}",
            hint=f"send one of {', '.join(ImageKind)}",
        )
    try:
        width, height = _SIDES[kind](content)
    except (TooShort, StopIteration) as error:
        raise BadImage(f"{place}: {_INVALID}: the {kind} ends before its size is told") from error
    if not (0 < width <= _MOST_SIDE and 0 < height <= _MOST_SIDE) or width * height > MOST_PIXELS:
        raise BadImage(
            f"{place}: the image has {width} x {height} pixels, at most {MOST_PIXELS} are taken",
            hint="make it smaller: models see no such detail",
        )
    return Image(content, kind, width, height, place)


def kind_of(content: bytes) -> ImageKind | None:
    """Tell the format by the first bytes; None for any that is not known."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return ImageKind.PNG
    if content.startswith(b"\xff\xd8\xff"):
        return ImageKind.JPEG
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return ImageKind.WEBP
    if content.startswith((b"GIF87a", b"GIF89a")):
        return ImageKind.GIF
    return ImageKind.BMP if content.startswith(b"BM") else None


_STRANGERS: tuple[tuple[int, bytes, str], ...] = (
    (8, b"WAVE", "this is audio (wav), and models here hear nothing"),
    (0, b"ID3", "this is audio (mp3), and models here hear nothing"),
    (0, b"fLaC", "this is audio (flac), and models here hear nothing"),
    (0, b"OggS", "this is audio (ogg), and models here hear nothing"),
    (4, b"ftypheic", "images of the format heic are not known"),
    (4, b"ftypavif", "images of the format avif are not known"),
    (4, b"ftyp", "this is a film, and models here see images only"),
    (0, b"II*\0", "images of the format tiff are not known"),
    (0, b"MM\0*", "images of the format tiff are not known"),
    (0, b"%PDF", "this is a PDF and no image"),
    (0, b"<svg", "images of the format svg are not known"),
)


def _what_else(content: bytes) -> str:
    if not content:
        return "the image is empty"
    for start, mark, words in _STRANGERS:
        if content[start : start + len(mark)] == mark:
            return words
    return "this is no image of a known format"


def _png_sides(content: bytes) -> tuple[int, int]:
    width, height = unpack_from(">II", content, 16)
    return width, height


def _gif_sides(content: bytes) -> tuple[int, int]:
    width, height = unpack_from("<HH", content, 6)
    return width, height


def _bmp_sides(content: bytes) -> tuple[int, int]:
    if unpack_from("<I", content, 14)[0] == 12:  # noqa: PLR2004 - the header of OS/2
        width, height = unpack_from("<HH", content, 18)
        return width, height
    width, height = unpack_from("<ii", content, 18)
    return width, abs(height)


def _webp_sides(content: bytes) -> tuple[int, int]:
    form = content[12:16]
    if form == b"VP8X":
        low = unpack_from("<HBHB", content, 24)
        return low[0] + (low[1] << 16) + 1, low[2] + (low[3] << 16) + 1
    if form == b"VP8L":
        bits = unpack_from("<I", content, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = unpack_from("<HH", content, 26)
    return width & 0x3FFF, height & 0x3FFF


_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""Markers of a JPEG that tell its size."""


def _jpeg_sides(content: bytes) -> tuple[int, int]:
    start = 2
    while True:
        fill, marker = unpack_from("BB", content, start)
        if fill != 0xFF:  # noqa: PLR2004 - every marker begins with it
            raise StopIteration
        if marker == 0xFF:  # noqa: PLR2004 - a filling byte
            start += 1
            continue
        length = unpack_from(">H", content, start + 2)[0]
        if marker in _FRAMES:
            height, width = unpack_from(">HH", content, start + 5)
            return width, height
        start += 2 + length


_SIDES: Mapping[ImageKind, Callable[[bytes], tuple[int, int]]] = {
    ImageKind.PNG: _png_sides,
    ImageKind.JPEG: _jpeg_sides,
    ImageKind.WEBP: _webp_sides,
    ImageKind.GIF: _gif_sides,
    ImageKind.BMP: _bmp_sides,
}


def _png_holds_more(content: bytes, width: int, height: int) -> bool:
    """Tell whether the packed part is longer than rows of 16-bit colours with transparency."""
    if len(content) < _SURELY_SMALL:
        return False
    most = 8 * width * height + 8 * (width + height) + 2 * height + _STEP
    reader, size = zlib.decompressobj(), 0
    try:
        for part in _png_data(content):
            left = part
            while left:
                size += len(reader.decompress(left, _STEP))
                left = reader.unconsumed_tail
                if size > most:
                    return True
    except zlib.error:
        return False  # the decoder stops there as well, and says so
    return False


def _png_data(content: bytes) -> Iterator[bytes]:
    start = 8
    while start + 8 <= len(content):
        length = unpack_from(">I", content, start)[0]
        if content[start + 4 : start + 8] == b"IDAT":
            yield content[start + 8 : start + 8 + length]
        start += length + 12


def _jpeg_holds_more(content: bytes, _width: int, _height: int) -> bool:
    return content.count(b"\xff\xda") > _MOST_SCANS


_HOLDS_MORE: Mapping[ImageKind, Callable[[bytes, int, int], bool]] = {
    ImageKind.PNG: _png_holds_more,
    ImageKind.JPEG: _jpeg_holds_more,
}


def check_inside(images: Sequence[Image]) -> None:
    """Raise `BadImage` for too many images, and for one that holds more than its sides tell.

    Blocks for tenths of a second where a PNG is large.
    """
    if len(images) > MOST_IMAGES:
        raise BadImage(f"the request has {len(images)} images, and at most {MOST_IMAGES} are taken")
    for image in images:
        holds_more = _HOLDS_MORE.get(image.kind)
        if holds_more and holds_more(image.content, image.width, image.height):
            raise BadImage(
                f"{image.place}: the {image.kind} image holds more than one of its size can"
            )
