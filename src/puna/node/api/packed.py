"""Bodies that a client has compressed: unpacked up to a limit, whatever they claim to hold.

OpenAI's command line sends zstd; others send gzip. A few bytes can unpack to gigabytes, so no more
is ever unpacked than a body may have.
"""

import asyncio
import sys
import zlib
from collections.abc import Callable, Mapping

from puna.errors import Invalid
from puna.units import Size

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MOST_UNPACKED = Size(20 * 2**20)
"""As Ollama allows."""
_LARGEST_WINDOW = 27
"""As a power of two; the unpacker takes that much memory."""
_GZIP = 31
"""zlib's word for gzip's format."""


class UnknownEncoding(Invalid):
    """The body is compressed in a way that this node does not know."""

    code = "unknown_encoding"
    status = 415


class UnpacksTooLarge(Invalid):
    """The body is small and would unpack to more than a body may have."""

    code = "unpacks_too_large"
    status = 413


async def unpacked(body: bytes, encoding: str) -> bytes:
    """Return the body as it was before it was compressed. Raises `Invalid`."""
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    unpack = _UNPACKERS.get(name)
    if unpack is None:
        raise UnknownEncoding(
            "the body's Content-Encoding is unknown",
            hint=f"send it as it is, or with {' or '.join(_UNPACKERS)}",
        )
    content = await asyncio.to_thread(unpack, body)
    if len(content) > MOST_UNPACKED:
        raise UnpacksTooLarge(f"the request body unpacks to more than {MOST_UNPACKED}")
    return content


def _unzstd(body: bytes) -> bytes:
    unpacker = zstd.ZstdDecompressor(
        options={zstd.DecompressionParameter.window_log_max: _LARGEST_WINDOW}
    )
    try:
        content = unpacker.decompress(body, MOST_UNPACKED + 1)
    except zstd.ZstdError as error:
        raise Invalid("the body is not valid zstd") from error
    if not unpacker.eof and len(content) <= MOST_UNPACKED:
        raise Invalid("the body is not valid zstd")
    return content


def _gunzip(body: bytes) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        content = unpacker.decompress(body, MOST_UNPACKED + 1)
    except zlib.error as error:
        raise Invalid("the body is not valid gzip") from error
    if not unpacker.eof and len(content) <= MOST_UNPACKED:
        raise Invalid("the body is not valid gzip")
    return content


_UNPACKERS: Mapping[str, Callable[[bytes], bytes]] = {"zstd": _unzstd, "gzip": _gunzip}
