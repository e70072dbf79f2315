"""A blob that was made of others, and how its making is told."""

from dataclasses import dataclass

from puna.errors import Unsupported
from puna.models.digest import Digest
from puna.units import Size

NO_DIGEST = "0000000000000000000"
"""What Ollama writes where the digest of a blob would be, while it makes one."""


@dataclass(frozen=True, slots=True)
class Made:
    """A blob that was made, and is in the store."""

    digest: Digest
    size: Size


class CannotConvert(Unsupported):
    """The model is of a kind that puna does not make a GGUF file of; the message says which."""

    code = "cannot_convert"
    status = 400
