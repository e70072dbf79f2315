"""Read a Modelfile: one instruction a line, with values that may be quoted over several lines.

The grammar is Ollama's to the letter, its oddities included: there are no escapes, a quoted value
ends at the first line that ends with its quotes, and `#` begins a comment only where an instruction
could begin. What `modelfile.py` prints, this reads back.
"""

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from puna.errors import Invalid
from puna.models.option_text import option_from_words
from puna.models.options import OPTION_TABLE, OptionKind
from puna.text import one_line

_COMMANDS = (
    "from",
    "license",
    "template",
    "system",
    "adapter",
    "draft",
    "renderer",
    "parser",
    "parameter",
    "message",
    "requires",
)
_NAMED = ", ".join(f'"{name}"' for name in _COMMANDS[:-1])
_UNKNOWN_COMMAND = f'command must be one of {_NAMED}, or "{_COMMANDS[-1]}"'
_ROLES = ("system", "user", "assistant")
_BAD_ROLE = 'message role must be one of "system", "user", or "assistant"'
BAD_VERSION = "requires must be a valid semver (e.g. 0.14.0)"
VERSION = re.compile(r"v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_DEPRECATED = frozenset(
    {
        "penalize_newline",
        "low_vram",
        "f16_kv",
        "logits_all",
        "vocab_only",
        "use_mlock",
        "mirostat",
        "mirostat_tau",
        "mirostat_eta",
    }
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class BadModelfile(Invalid):
    """A Modelfile cannot be read; the message says where and why."""

    code = "bad_modelfile"


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its name in lower case, the word after PARAMETER or MESSAGE, its value."""

    name: str
    value: str
    line: int
    key: str = ""


@dataclass(frozen=True, slots=True)
class Modelfile:
    """What a Modelfile asks for. Paths are as written; nobody has looked for them yet."""

    sources: tuple[str, ...]
    """The values of FROM: a name, or files."""
    adapters: tuple[str, ...] = ()
    drafts: tuple[str, ...] = ()
    template: str | None = None
    system: str | None = None
    renderer: str = ""
    parser: str = ""
    requires: str = ""
    licenses: tuple[str, ...] = ()
    messages: tuple[tuple[str, str], ...] = ()
    parameters: Mapping[str, object] | None = None
    dropped: tuple[str, ...] = ()
    """Parameters that no longer mean anything."""


def decode_modelfile(content: bytes) -> str:
    """Return the text of a file: UTF-8, or UTF-16 with a byte order mark. Raises `BadModelfile`."""
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise BadModelfile("the Modelfile is no text in UTF-8 or UTF-16") from error


def parse_modelfile(text: str) -> Modelfile:
    """Read a Modelfile. Raises `BadModelfile`, and `Invalid` for a parameter that is wrong."""
    found = list(instructions(text))
    values: dict[str, list[str]] = {name: [] for name in _COMMANDS}
    for each in found:
        values[each.name].append(each.value)
    if not values["from"]:
        raise BadModelfile("no FROM line")
    parameters, dropped = _parameters([each for each in found if each.name == "parameter"])
    return Modelfile(
        sources=tuple(values["from"]),
        adapters=tuple(values["adapter"]),
        drafts=tuple(values["draft"]),
        template=_last(values["template"]),
        system=_last(values["system"]),
        renderer=_last(values["renderer"]) or "",
        parser=_last(values["parser"]) or "",
        requires=_last(values["requires"]) or "",
        licenses=tuple(values["license"]),
        messages=tuple((each.key, each.value) for each in found if each.name == "message"),
        parameters=parameters,
        dropped=dropped,
    )


def _last(values: list[str]) -> str | None:
    return values[-1] if values else None


def _parameters(given: list[Instruction]) -> tuple[dict[str, object], tuple[str, ...]]:
    found: dict[str, list[Instruction]] = {}
    for each in given:
        found.setdefault(each.key, []).append(each)
    dropped = tuple(name for name in found if name in _DEPRECATED)
    return {
        name: _parameter(name, rows) for name, rows in found.items() if name not in _DEPRECATED
    }, dropped


def _parameter(name: str, rows: list[Instruction]) -> object:
    counted = rows if _is_list(name) else rows[-1:]
    try:
        return option_from_words(name, [each.value for each in counted])
    except Invalid as error:
        why = f"(line {rows[-1].line}): {error.message}"
        raise BadModelfile(why, hint=error.hint) from error


def _is_list(name: str) -> bool:
    row = OPTION_TABLE.get(name)
    return row is not None and row.kind is OptionKind.STRINGS


def instructions(text: str) -> Iterator[Instruction]:
    """Yield the instructions in their order. Raises `BadModelfile` with the line."""
    lines = text.replace("\r\n", "\n").split("\n")
    at = 0
    while at < len(lines):
        start, line = at, lines[at]
        at += 1
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, rest = _first_word(line)
        name = name.lower()
        if name not in _COMMANDS:
            raise _wrong(start, _UNKNOWN_COMMAND)
        key = ""
        if name in {"parameter", "message"}:
            key, rest = _first_word(rest)
            key = key.lower()
        if name == "message" and key not in _ROLES:
            raise _wrong(start, _BAD_ROLE)
        if not rest:
            raise _wrong(start, f"{name.upper()} has no value")
        value, at = _value(rest, lines, at)
        if value is None:
            raise _wrong(start, "unexpected EOF")
        if name == "requires" and not VERSION.fullmatch(value):
            raise _wrong(start, BAD_VERSION)
        yield Instruction(name, value, start + 1, key)


def _first_word(text: str) -> tuple[str, str]:
    word, *rest = text.split(maxsplit=1)[:2] or [""]
    return word, rest[0] if rest else ""


def _value(first: str, lines: list[str], at: int) -> tuple[str | None, int]:
    """Return a value without its quotes, and the line after it; None if the quotes never end."""
    quotes = next((each for each in ('"""', '"') if first.startswith(each)), "")
    if not quotes:
        return first.rstrip(), at
    begun, line = at, first[len(quotes) :].rstrip()
    while not line.endswith(quotes):
        if at == len(lines):
            return None, at
        line = lines[at].rstrip()
        at += 1
    whole = "\n".join([first, *lines[begun:at]]).rstrip()
    return whole[len(quotes) : -len(quotes)], at


def _wrong(line: int, why: str) -> BadModelfile:
    return BadModelfile(f"(line {line + 1}): {one_line(why, 300)}")
