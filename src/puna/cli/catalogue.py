"""What puna says, in another language than English.

Every message is written in English where it arises, be it on the other side of HTTP, and is turned
into another language in one place: where it is shown. A catalogue has messages as templates, such
as `model '{name}' not found`, and a message is recognised by the text around the braces. So no
room but this one knows of languages, errors compare as Ollama's clients expect, and what a
catalogue does not have is shown in English.
"""

import re
import struct
from collections.abc import Iterator, Sequence
from functools import cached_property
from gettext import GNUTranslations
from pathlib import Path
from typing import NamedTuple

from puna.cli.language import ENGLISH, Language

_PLACE = re.compile(r"\{(\w+)\}")
_FOLDER = Path(__file__).parent.parent / "locale"
_DOMAIN = "puna"
_DEEPEST = 6
_LEAST = 5
"""Letters by which a message is known that begins with a place."""
_HEAD = struct.Struct("<7I")
SPOKEN = frozenset(
    (
        *("advice", "age", "dropped", "error", "full", "kept", "read_only", "strerror"),
        *("message", "opinion", "reason", "said", "until", "verdict"),
        *("warning", "way", "what", "where", "why", "why_not", "words"),
    )
)
"""Names of places whose values are messages themselves, and are translated in their turn."""


class Template(NamedTuple):
    """A message with places in it."""

    pieces: tuple[str, ...]
    """The text before the first place, between places, and after the last."""
    names: tuple[str, ...]
    message: str
    plural: str = ""

    @classmethod
    def of(cls, text: str, message: str = "", plural: str = "") -> "Template":
        """Read a template; one of a plural belongs to the message of its singular."""
        parts = _PLACE.split(text)
        return cls(tuple(parts[::2]), tuple(parts[1::2]), message or text, plural)

    @property
    def weight(self) -> int:
        """How much text is certain: of two that match, the heavier is meant."""
        return sum(map(len, self.pieces))

    @property
    def is_certain(self) -> bool:
        """Whether there is enough text to recognise the message by: `{name} is {meant}` is not."""
        return bool(self.pieces[0].strip()) or sum(map(str.isalpha, "".join(self.pieces))) >= _LEAST

    def read(self, text: str) -> dict[str, str] | None:
        """Return what stands in the places of a text; None if it is another message."""
        first, last = self.pieces[0], self.pieces[-1]
        if not text.startswith(first):
            return None
        values, at = {}, len(first)
        for name, piece in zip(self.names[:-1], self.pieces[1:-1], strict=True):
            found = text.find(piece, at)  # of two places side by side the second has it all
            if found < 0:
                return None
            values[name], at = text[at:found], found + len(piece)
        end = len(text) - len(last)
        if end < at or not text.endswith(last):
            return None
        return {**values, self.names[-1]: text[at:end]}


class Catalogue(Language):
    """A language that is read from a compiled catalogue."""

    def __init__(self, code: str, file: Path) -> None:
        self.code = code
        self._file = file

    def of(self, text: str) -> str:
        """Return a message in this language; in English, if the catalogue lacks it."""
        return self._said(text, _DEEPEST)

    @cached_property
    def _texts(self) -> GNUTranslations:
        with self._file.open("rb") as file:
            return GNUTranslations(file)

    @cached_property
    def _templates(self) -> tuple[Template, ...]:
        found = [each for each in _templates_in(self._file.read_bytes()) if each.is_certain]
        return tuple(sorted(found, key=lambda each: -each.weight))

    def _said(self, text: str, depth: int) -> str:
        body = text.strip()
        if not body or depth == 0:
            return text
        whole = self._texts.gettext(text)
        if whole != text:
            return whole
        if "\n" in body:
            return "\n".join(self._said(line, depth) for line in text.split("\n"))
        before, _, after = text.partition(body)
        return before + self._line(body, depth) + after

    def _line(self, text: str, depth: int) -> str:
        whole = self._texts.gettext(text)
        if whole != text:
            return whole
        for template in self._templates:
            values = template.read(text)
            if values is not None:
                return self._filled(template, values, depth)
        head, colon, tail = text.partition(": ")  # `PUNA_HOST: address "x" has ...`
        return f"{head}{colon}{self._said(tail, depth - 1)}" if colon else text

    def _filled(self, template: Template, values: dict[str, str], depth: int) -> str:
        said = self._texts.gettext(template.message)
        if template.plural:
            count = next((int(each) for each in values.values() if each.isdecimal()), 0)
            said = self._texts.ngettext(template.message, template.plural, count)
        spoken = {
            name: self._said(value, depth - 1) if name.rstrip("0123456789") in SPOKEN else value
            for name, value in values.items()
        }
        return _PLACE.sub(lambda place: spoken.get(place[1], place[0]), said)


def _templates_in(raw: bytes) -> Iterator[Template]:
    """Read the templates of a compiled catalogue: GNU's format, which gettext itself hides."""
    _, _, count, table, *_ = _HEAD.unpack_from(raw)
    for row in range(count):
        length, offset = struct.unpack_from("<2I", raw, table + 8 * row)
        text = raw[offset : offset + length].decode()
        singular, _, plural = text.partition("\0")
        for each in (singular, plural):
            if _PLACE.search(each):
                yield Template.of(each, singular, plural)


def language_of(wanted: Sequence[str], folder: Path = _FOLDER) -> Language:
    """Return the first language of those wanted that there is a catalogue of; else English."""
    for code in wanted:
        file = folder / code / "LC_MESSAGES" / f"{_DOMAIN}.mo"
        if file.is_file():
            return Catalogue(code, file)
    return ENGLISH
