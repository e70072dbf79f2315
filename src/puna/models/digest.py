"""The sha256 of some content, which is also its name in the store.

A digest comes from manifests and requests and becomes a file name, so a `Digest` can hold nothing
but 64 hexadecimal digits behind `sha256:`. Making one is the check; there is no other way.
"""

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from puna.errors import Invalid
from puna.models.regular_file import open_regular
from puna.text import one_line

_FORM = re.compile(r"sha256[:-]([0-9a-fA-F]{64})")


class InvalidDigest(Invalid):
    """A text that is no digest."""

    code = "invalid_digest"


class Digest(str):
    """`sha256:` and 64 lower-case hexadecimal digits."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        """Take `sha256:<hex>`, or `sha256-<hex>` as file names have it. Raises `InvalidDigest`."""
        match = _FORM.fullmatch(text)
        if match is None:
            raise InvalidDigest(
                f'invalid digest format: "{one_line(text, 90)}"',
                hint="a digest is sha256: and 64 hexadecimal digits",
            )
        return super().__new__(cls, f"sha256:{match[1].lower()}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a digest in either form. Raises `InvalidDigest`."""
        return cls(text)

    @property
    def hex(self) -> str:
        """The 64 digits."""
        return self[7:]

    @property
    def short(self) -> str:
        """The first 12 digits, as `puna list` shows them."""
        return self[7:19]

    @property
    def blob_name(self) -> str:
        """The file name in `blobs/`."""
        return f"sha256-{self.hex}"


def digest_of(content: bytes) -> Digest:
    """Return the digest of bytes."""
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


def digest_of_chunks(chunks: Iterable[bytes]) -> Digest:
    """Return the digest of content that arrives in pieces."""
    state = hashlib.sha256()
    for chunk in chunks:
        state.update(chunk)
    return Digest(f"sha256:{state.hexdigest()}")


def digest_of_file(path: Path) -> Digest:
    """Read the whole file and return its digest; blocks. Raises `UnusableFile`."""
    with open_regular(path) as file:
        return Digest(f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}")
