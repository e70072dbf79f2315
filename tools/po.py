"""Catalogues of messages: the text that translators edit, and the file that gettext reads."""

import ast
import struct
from collections.abc import Iterable
from typing import NamedTuple

_HEAD = struct.Struct("<7I")
_MAGIC = 0x950412DE


class Entry(NamedTuple):
    """A message, its plural if it has one, and what is said for it: a text for each form."""

    message: str
    plural: str = ""
    said: tuple[str, ...] = ()

    @property
    def is_translated(self) -> bool:
        """Whether something is said in every form."""
        return bool(self.said) and all(self.said)


def read_po(text: str) -> tuple[str, list[Entry]]:
    """Return the head and the entries of a catalogue. Comments are not kept."""
    entries: list[Entry] = []
    fields: dict[str, str] = {}
    keyword = ""
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                entries.append(_entry(fields))
            fields, keyword = {}, ""
            continue
        if not line.startswith('"'):
            keyword, _, line = line.partition(" ")  # noqa: PLW2901 - the rest of it
            fields[keyword] = ""
        fields[keyword] += ast.literal_eval(line)
    head, *rest = entries
    return head.said[0], rest


def _entry(fields: dict[str, str]) -> Entry:
    said = [text for name, text in fields.items() if name.startswith("msgstr")]
    return Entry(fields["msgid"], fields.get("msgid_plural", ""), tuple(said))


def written(head: str, entries: Iterable[Entry]) -> str:
    """Return a catalogue as text."""
    blocks = ['msgid ""\nmsgstr ' + _quoted(head)]
    for entry in entries:
        lines = [f"msgid {_quoted(entry.message)}"]
        if entry.plural:
            lines.append(f"msgid_plural {_quoted(entry.plural)}")
            forms = entry.said or ("", "", "")
            lines += [f"msgstr[{form}] {_quoted(text)}" for form, text in enumerate(forms)]
        else:
            lines.append(f"msgstr {_quoted(''.join(entry.said))}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _quoted(text: str) -> str:
    if "\n" not in text.rstrip("\n"):
        return _line(text)
    return "\n".join(['""', *map(_line, text.splitlines(keepends=True))])


def _line(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def compiled(head: str, entries: Iterable[Entry]) -> bytes:
    """Return what gettext reads. What is not translated is left out, and so is said in English."""
    texts = {b"": head.encode()}
    for entry in entries:
        if entry.is_translated:
            key = "\0".join(filter(None, (entry.message, entry.plural)))
            texts[key.encode()] = "\0".join(entry.said).encode()
    keys = sorted(texts)
    values = [texts[key] for key in keys]
    count = len(keys)
    at = _HEAD.size + 16 * count
    tables: list[bytes] = []
    for rows in (keys, values):
        for row in rows:
            tables.append(struct.pack("<2I", len(row), at))
            at += len(row) + 1
    head_row = _HEAD.pack(_MAGIC, 0, count, _HEAD.size, _HEAD.size + 8 * count, 0, 0)
    return b"".join([head_row, *tables, *(row + b"\0" for row in (*keys, *values))])
