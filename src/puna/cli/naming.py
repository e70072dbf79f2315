"""What a person wrote for a model, as the node understands it: a name, or a whole path."""

from pathlib import Path

from puna.cli.reach import is_local
from puna.cli.session import Session
from puna.errors import Invalid, NotFound
from puna.models.reference import FileReference, parse_reference


class NoSuchFile(NotFound):
    """There is no file where a person said that a model is."""

    code = "file_missing"


def model_text(session: Session, text: str) -> str:
    """Return what to call a model towards the node. Raises `Invalid`, `NoSuchFile`.

    A file must lie on the machine of the node, so only a node on this machine is asked for one.
    """
    reference = parse_reference(text, cwd=Path.cwd())
    if not isinstance(reference, FileReference):
        return text
    if not is_local(session):
        raise Invalid(
            f'the server at {session.settings.host} cannot open "{text}", a file on this machine'
        )
    if not reference.path.is_file():
        raise NoSuchFile(f'file "{text}" does not exist')
    return str(reference.path.absolute())


def is_file(text: str) -> bool:
    """Tell whether a model that `model_text` returned is a file."""
    return text.startswith("/")
