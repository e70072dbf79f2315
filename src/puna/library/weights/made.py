"""A blob that was made of others, and how its making is told."""

from dataclasses import dataclass

from puna.models.digest import Digest
from puna.units import Size

NO_DIGEST = "0000000000000000000"
"""What Ollama writes where the digest of a blob would be, while it makes one."""


@dataclass(frozen=True, slots=True)
class Made:
    """A blob that was made, and is in the store."""

    digest: Digest
    size: Size
