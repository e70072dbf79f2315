"""Images that a person names in a prompt: found, read, and taken out of the text.

A path begins as no other word does (`./`, `/`, `~/`, a drive) and ends as an image does. Terminals
drop files with quotes or backslashes around blanks, so these are undone. What is named and not
there stays text, and that is said.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from puna.chat.images import Image, read_image
from puna.errors import Invalid
from puna.models.regular_file import open_regular
from puna.units import Size

MOST_BYTES = Size(100_000_000)
_END = re.compile(r"\.(?:jpe?g|png|webp|gif|bmp|wav)\b(?!\.\w)", re.IGNORECASE)
_START = re.compile(r"(?<![^\s'\"(=])(?:\.{1,2}[/\\]|~/|/|\\|[A-Za-z]:[/\\])")
_ESCAPED = re.compile(r"\\([ ()\[\]{}$&;'\"\\*?~!#|<>`])")
_QUOTES = "'\""
_LONGEST = 4096


class Named(NamedTuple):
    """A file that a text names, and where in the text."""

    path: str
    start: int
    end: int
    is_there: bool


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is asked, without the names of images, and the images."""

    text: str
    images: tuple[Image, ...] = ()
    notes: tuple[str, ...] = ()
    """What the person should know, a line each."""


def read_prompt(text: str, *, sees: bool) -> Prompt:
    """Return a prompt with the images that it names, for a model that sees or does not.

    Raises `Invalid` for a file that is there and is no image that can be shown.
    """
    named = list(named_files(text))
    there = [each for each in named if each.is_there]
    if not sees:
        return Prompt(text, notes=tuple(_unseen(each.path) for each in there))
    missing = tuple(_missing(each.path) for each in named if not each.is_there)
    images = tuple(_read(each.path) for each in there)
    added = tuple(f"Added image '{each.path}'" for each in there)
    return Prompt(_without(text, there) if there else text, images, (*missing, *added))


def begins_with_file(text: str) -> bool:
    """Tell whether the first words of a text are the path of an image, be it there or not."""
    return any(each.start == 0 for each in named_files(text))


def named_files(text: str) -> Iterator[Named]:
    """Yield the files that a text names. Blanks may be part of a name, if that file is there."""
    done = 0
    for ending in _END.finditer(text):
        end = ending.end()
        first = max(done, end - _LONGEST)
        starts = [each.start() for each in _START.finditer(text, first, ending.start())]
        found = next((each for start in starts if (each := _at(text, start, end)).is_there), None)
        if found is None and starts and not re.search(r"(?<!\\)\s", text[starts[-1] : end]):
            found = _at(text, starts[-1], end)
        if found is not None:
            yield found
            done = end


def _at(text: str, start: int, end: int) -> Named:
    written = text[start:end]
    for path in dict.fromkeys((written, _ESCAPED.sub(r"\1", written))):
        with suppress(OSError):  # too long, or forbidden
            if _file(path).is_file():
                return Named(path, start, end, is_there=True)
    return Named(_ESCAPED.sub(r"\1", written), start, end, is_there=False)


def _file(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:  # nobody has a home here
        return Path(path)


def _read(path: str) -> Image:
    if path.lower().endswith(".wav"):
        raise Invalid(f"'{path}' is audio, and models here hear nothing")
    with open_regular(_file(path)) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise Invalid(f"'{path}' is larger than {MOST_BYTES}", hint="make the image smaller")
    return read_image(content, f"'{path}'")


def _without(text: str, named: list[Named]) -> str:
    """Return a text without the names in it, and without the quotes around them."""
    for each in reversed(named):
        before, after = text[: each.start], text[each.end :]
        if before[-1:] and before[-1:] in _QUOTES and before[-1:] == after[:1]:
            before, after = before[:-1], after[1:]
        text = before + after
    return text.strip()


def _missing(path: str) -> str:
    return f"Couldn't find '{path}': the model sees its name only"


def _unseen(path: str) -> str:
    return f"warning: this model sees no images, so it gets the name '{path}' only"
