"""What a person wrote for a model, as the node understands it: a name, or a whole path.

A link from the browser becomes the name that its model has in the store.
"""

from pathlib import Path

from puna.cli.reach import is_local
from puna.cli.session import Session
from puna.errors import Invalid, NotFound
from puna.models.reference import FileReference, parse_reference

_SLASHES_OF_A_NAME = 2


class NoSuchFile(NotFound):
    """There is no file where a person said that a model is."""

    code = "file_missing"


def model_text(session: Session, text: str) -> str:
    """Return what to call a model towards the node. Raises `Invalid`, `NoSuchFile`.

    A file must lie on the machine of the node, so only a node on this machine is asked for one.
    """
    reference = parse_reference(text, cwd=Path.cwd())
    if not isinstance(reference, FileReference):
        return str(reference.name) if is_link(text) else text
    if not is_local(session):
        raise Invalid(
            f'the server at {session.settings.host} cannot open "{text}", a file on this machine'
        )
    if not reference.path.is_file():
        raise NoSuchFile(f'file "{text}" does not exist')
    return str(reference.path.absolute())


def is_link(text: str) -> bool:
    """Tell whether a text was copied from a browser: only then has it more parts than a name."""
    return "://" in text or text.count("/") > _SLASHES_OF_A_NAME


def is_file(text: str) -> bool:
    """Tell whether a model that `model_text` returned is a file."""
    return text.startswith("/")
