"""Text that arrives in pieces, read as if it were all there.

A reader is a generator: it yields where it needs more text and goes on when some has come. It never
looks at where a piece ended, so what it makes of a text does not depend on how the text was cut.
"""

import json
import re
from collections.abc import Generator, Sequence
from typing import NoReturn, TypeVar

Value = TypeVar("Value")
Reading = Generator[None, None, Value]
"""A reader under way; its value is what was read."""

_STRUCTURE = re.compile(r'["\\{}\[\]]')
_MOST_DEPTH = 200


class Broken(ValueError):
    """The text is not what the reader reads."""


class Tape:
    """The text so far, and the place up to which it was read."""

    def __init__(self) -> None:
        self.text = ""
        self.at = 0
        self.is_over = False

    @property
    def rest(self) -> str:
        """What was not read yet."""
        return self.text[self.at :]

    def add(self, text: str) -> None:
        """Put text at the end."""
        self.text += text

    def take(self, length: int) -> str:
        """Read so many characters."""
        self.at += length
        return self.text[self.at - length : self.at]

    def forget(self) -> None:
        """Let go of what was read."""
        self.text = self.text[self.at :]
        self.at = 0

    def space(self) -> Reading[str]:
        """Read white space, as much as there is."""
        start = self.at
        while True:
            while self.at < len(self.text) and self.text[self.at].isspace():
                self.at += 1
            if self.at < len(self.text) or self.is_over:
                return self.text[start : self.at]
            yield

    def accept(self, *words: str) -> Reading[str]:
        """Read the first of `words` that comes next; nothing, and return "", if none does."""
        for word in words:
            while not self.text.startswith(word, self.at):
                rest = self.text[self.at :]
                if self.is_over or not word.startswith(rest):
                    break
                yield
            else:
                self.at += len(word)
                return word
        return ""

    def expect(self, *words: str) -> Reading[str]:
        """Read one of `words`. Raises `Broken` if none comes next."""
        return (yield from self.accept(*words)) or _broken(f"no {words[0]}")

    def until(self, *ends: str, most: int | None = None) -> Reading[tuple[str, str]]:
        """Read up to the first of `ends` and past it; return what was before, and which it was.

        Raises `Broken` where none comes, or not within `most` characters.
        """
        longest = max(map(len, ends))
        start = seen = self.at
        while True:
            # An end that begins earlier may still be growing, so nothing near the edge counts.
            found = first_of(self.text, ends, max(start, seen - longest))
            place, end = found
            limit = len(self.text) if self.is_over else len(self.text) - longest + 1
            if end and (place <= limit or self.is_over):
                if most is not None and place - start > most:
                    _broken("too long")
                self.at = place + len(end)
                return self.text[start:place], end
            if self.is_over or (most is not None and limit - start > most):
                _broken(f"no {ends[0]}")
            seen = max(start, limit)
            yield

    def json(self) -> Reading[object]:
        """Read one JSON object or list. Raises `Broken`."""
        start = self.at
        if not (yield from self.accept("{", "[")):
            _broken("no JSON")
        depth, in_text = 1, False
        while depth:
            found = _STRUCTURE.search(self.text, self.at)
            if found is None or (found[0] == "\\" and found.end() == len(self.text)):
                self.at = len(self.text) if found is None else found.start()
                if self.is_over:
                    _broken("JSON without an end")
                yield
                continue
            self.at = found.end()
            if in_text and found[0] == "\\":
                self.at += 1
            elif found[0] == '"':
                in_text = not in_text
            elif not in_text and found[0] != "\\":
                depth += 1 if found[0] in "{[" else -1
            if depth > _MOST_DEPTH:
                _broken("JSON too deep")
        return parsed(self.text[start : self.at])


def first_of(text: str, words: Sequence[str], start: int = 0) -> tuple[int, str]:
    """Return where the first of `words` stands and which it is; "" if there is none."""
    hits = ((place, word) for word in words if (place := text.find(word, start)) >= 0)
    return min(hits, key=lambda hit: (hit[0], -len(hit[1])), default=(len(text), ""))


def held_back(text: str, words: Sequence[str]) -> int:
    """Return the length of the end of `text` that may be the beginning of one of `words`."""
    longest = min(len(text), max((len(word) for word in words), default=1) - 1)
    ends = (text[-length:] for length in range(longest, 0, -1))
    return next((len(end) for end in ends if any(word.startswith(end) for word in words)), 0)


def parsed(text: str) -> object:
    """Return the value of a JSON text. Raises `Broken`."""
    try:
        value: object = json.loads(text, parse_constant=_broken)
    except (ValueError, RecursionError) as error:
        raise Broken(str(error)) from error
    return value


def written(value: object) -> str:
    """Return a value as JSON on one line, keys in their order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _broken(why: str) -> NoReturn:
    raise Broken(why)
