"""Ids as they stand in a path: whatever could be none is not there, and no database is asked."""

import re
from typing import Annotated

from pydantic import AfterValidator

from puna.errors import NotFound
from puna.text import one_line

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_SHOWN = 64


class NoSuchThing(NotFound):
    """There is nothing of this id."""

    code = "no_such_thing"


def _possible(text: str) -> str:
    if not _ID.fullmatch(text):
        raise NoSuchThing(f'there is nothing of the id "{one_line(text, _SHOWN)}"')
    return text


Id = Annotated[str, AfterValidator(_possible)]
"""Part of a path."""
