"""Which images pass, told by their headers before anything decodes them."""

import struct
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from puna.chat.images import (
    MOST_IMAGES,
    MOST_PIXELS,
    BadImage,
    Image,
    ImageKind,
    check_inside,
    decode_image,
    read_image,
)
from tests.pictures import a_picture, an_image, as_text, as_url


@pytest.mark.parametrize("kind", list(ImageKind))
def test_a_format_is_told_by_the_content(kind: ImageKind) -> None:
    image = read_image(a_picture("red", (300, 20), kind), "image")
    assert (image.kind, image.width, image.height) == (kind, 300, 20)


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"exif": b"x" * 9}])
def test_each_form_of_webp_tells_its_size(options: dict[str, object]) -> None:
    image = read_image(a_picture("red", (70, 50), "webp", **options), "image")
    assert (image.width, image.height) == (70, 50)


@pytest.mark.parametrize("options", [{"progressive": True}, {"exif": b"Exif\0\0" + b"x" * 9000}])
def test_each_form_of_jpeg_tells_its_size(options: dict[str, object]) -> None:
    image = read_image(a_picture("red", (70, 50), "jpeg", **options), "image")
    assert (image.width, image.height) == (70, 50)


def test_a_bitmap_that_stands_upside_down() -> None:
    content = bytearray(a_picture("red", (8, 4), "bmp"))
    content[22:26] = struct.pack("<i", -4)
    assert read_image(bytes(content), "image").height == 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "the image is empty", id="nothing"),
        pytest.param(b"hello, world", "no image of a known format", id="text"),
        pytest.param(b"RIFF\0\0\0\0WAVEfmt ", "this is audio", id="wav"),
        pytest.param(b"\0\0\0\x18ftypmp42", "this is a film", id="mp4"),
        pytest.param(b"\0\0\0\x18ftypheic", "heic are not known", id="heic"),
        pytest.param(b"<svg/>", "svg are not known", id="svg"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "ends before its size", id="half a png"),
        pytest.param(b"\xff\xd8\xff\xe0", "ends before its size", id="half a jpeg"),
        pytest.param(b"\xff\xd8\xff\xe0\0\2?????", "ends before its size", id="no jpeg"),
    ],
)
def test_what_is_no_image_is_refused_by_name(content: bytes, words: str) -> None:
    with pytest.raises(BadImage, match=rf"images\[1\]: invalid image input: .*{words}"):
        read_image(content, "images[1]")


@pytest.mark.parametrize("text", ["!", "AAA", "AA AA", "é", "data:image/png;base64,?"])
def test_an_image_is_base64(text: str) -> None:
    with pytest.raises(BadImage, match="invalid image input: not base64"):
        decode_image(text, "images[0]")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_base64_may_come_in_lines(end: str) -> None:
    content = a_picture()
    lines = as_text(content)
    wrapped = end.join(lines[start : start + 76] for start in range(0, len(lines), 76)) + end
    assert decode_image(wrapped, "image").content == content


@pytest.mark.parametrize("kind", ["image/png", "image/jpg", "", "application/octet-stream"])
def test_an_image_may_be_a_data_url(kind: str) -> None:
    content = a_picture()
    assert decode_image(f"data:{kind};base64,{as_text(content)}", "image").content == content
    assert decode_image(as_text(content), "image") == decode_image(as_url(content), "image")


@pytest.mark.parametrize("size", [(0, 1), (1, 2**31 - 1), (70_000, 1), (9000, 9000)])
def test_an_image_that_claims_too_much_is_refused(size: tuple[int, int]) -> None:
    content = bytearray(a_picture())
    content[16:24] = struct.pack(">II", *size)
    with pytest.raises(BadImage, match=f"the image has {size[0]} x {size[1]} pixels"):
        read_image(bytes(content), "image")


def a_bomb() -> Image:
    """Return a PNG of four pixels that unpacks to half a gigabyte."""
    packed = zlib.compress(bytes(2**29), 1)
    head = struct.pack(">IIBBBBB", 2, 2, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", packed), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return read_image(b"\x89PNG\r\n\x1a\n" + body, "images[0]")


def test_a_small_image_that_unpacks_to_gigabytes_is_refused() -> None:
    with pytest.raises(BadImage, match="holds more than one of its size can"):
        check_inside([a_bomb()])


def test_a_jpeg_of_endless_scans_is_refused() -> None:
    content = a_picture("red", (640, 480), "jpeg") + b"\xff\xda\0\x08" * 300
    with pytest.raises(BadImage, match="holds more"):
        check_inside([read_image(content, "images[0]")])


def test_a_large_honest_image_passes() -> None:
    check_inside([an_image("red", (4000, 3000)), an_image("red", (4000, 3000), "jpeg")])


def test_too_many_images_are_refused() -> None:
    with pytest.raises(BadImage, match=f"at most {MOST_IMAGES}"):
        check_inside([an_image()] * (MOST_IMAGES + 1))


@given(
    st.sampled_from(list(ImageKind)),
    st.binary(max_size=80),
    st.integers(0, 60),
)
def test_whatever_the_bytes_say_an_image_is_read_or_refused(
    kind: ImageKind, noise: bytes, kept: int
) -> None:
    content = a_picture("red", (9, 9), kind)[:kept] + noise
    with suppress(BadImage):
        image = read_image(content, "image")
        check_inside([image])
        assert image.width * image.height <= MOST_PIXELS


@given(st.binary(min_size=1, max_size=60))
def test_a_long_png_of_nonsense_ends(noise: bytes) -> None:
    content = a_picture()[:40] + noise * (2**18 // len(noise))
    check_inside([Image(content, ImageKind.PNG, 64, 48, "image")])
