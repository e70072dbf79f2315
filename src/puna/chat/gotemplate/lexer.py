"""The words of a template: texts, and what stands between `{{` and `}}`.

Line numbers and complaints are those of Go, since people look them up.
"""

import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import NamedTuple

from puna.chat.gotemplate.quoting import quoted

_SPACES = " \t\r\n"
_SPACE = re.compile(r"[ \t\r\n]+")
_WORD = re.compile(r"\w+")
_QUOTED = {
    '"': re.compile(r'"(?:[^"\\\n]|\\[^\n])*"', re.DOTALL),
    "'": re.compile(r"'(?:[^'\\\n]|\\[^\n])*'", re.DOTALL),
    "`": re.compile(r"`[^`]*`", re.DOTALL),
}
_UNTERMINATED = {
    '"': "unterminated quoted string",
    "'": "unterminated character constant",
    "`": "unterminated raw quoted string",
}
_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*(?:\.[0-9a-fA-F_]*)?(?:[pP][+-]?[0-9_]*)?"
    r"|0[oO][0-7_]*(?:\.[0-7_]*)?|0[bB][01_]*(?:\.[01_]*)?"
    r"|[0-9_]*(?:\.[0-9_]*)?(?:[eE][+-]?[0-9_]*)?)i?"
)
_TRIM = 2
"""The length of `- ` and ` -`."""


class Kind(Enum):
    """What a word is."""

    ERROR = auto()
    BOOL = auto()
    CHAR = auto()
    CHARACTER = auto()
    COMPLEX = auto()
    ASSIGN = auto()
    DECLARE = auto()
    EOF = auto()
    FIELD = auto()
    IDENTIFIER = auto()
    LEFT_DELIM = auto()
    LEFT_PAREN = auto()
    NUMBER = auto()
    PIPE = auto()
    RAW_STRING = auto()
    RIGHT_DELIM = auto()
    RIGHT_PAREN = auto()
    SPACE = auto()
    STRING = auto()
    TEXT = auto()
    VARIABLE = auto()
    DOT = auto()
    NIL = auto()
    BLOCK = auto()
    BREAK = auto()
    CONTINUE = auto()
    DEFINE = auto()
    ELSE = auto()
    END = auto()
    IF = auto()
    RANGE = auto()
    TEMPLATE = auto()
    WITH = auto()


_KEYWORDS = {
    "block": Kind.BLOCK,
    "break": Kind.BREAK,
    "continue": Kind.CONTINUE,
    "define": Kind.DEFINE,
    "else": Kind.ELSE,
    "end": Kind.END,
    "if": Kind.IF,
    "nil": Kind.NIL,
    "range": Kind.RANGE,
    "template": Kind.TEMPLATE,
    "with": Kind.WITH,
    "true": Kind.BOOL,
    "false": Kind.BOOL,
}
_SHOWN_BARE = frozenset(_KEYWORDS.values()) - {Kind.BOOL} | {Kind.DOT}
_SIGNS = {"=": Kind.ASSIGN, "|": Kind.PIPE}
_QUOTE_KINDS = {'"': Kind.STRING, "`": Kind.RAW_STRING, "'": Kind.CHARACTER}
_LONG_WORD = 10


class Token(NamedTuple):
    """One word, where it starts, and on which line."""

    kind: Kind
    start: int
    text: str
    line: int

    def __str__(self) -> str:
        if self.kind is Kind.EOF:
            return "EOF"
        if self.kind is Kind.ERROR:
            return self.text
        if self.kind in _SHOWN_BARE:
            return f"<{self.text}>"
        if len(self.text.encode("utf-8", "surrogateescape")) > _LONG_WORD:
            return f"{quoted(self.text[:_LONG_WORD])}..."
        return quoted(self.text)


class _Broken(Exception):
    """The rest cannot be read; the message says why."""


def tokens(text: str) -> Iterator[Token]:
    """Yield the words of a template; the last one is `EOF`, or `ERROR` with the reason."""
    lexer = _Lexer(text)
    try:
        yield from lexer.texts()
    except _Broken as error:
        yield Token(Kind.ERROR, lexer.start, str(error), lexer.line)


class _Lexer:
    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0
        self._parens = 0
        self.start = 0
        self.line = 1
        self._counted = 0

    def texts(self) -> Iterator[Token]:
        """Yield everything."""
        text = self._text
        while (found := text.find("{{", self._place)) >= 0:
            end = found
            if self._has_left_trim(found + 2):
                end = self._place + len(text[self._place : found].rstrip(_SPACES))
            if end > self._place:
                yield self._word(Kind.TEXT, end)
            self._skip_to(found)
            yield from self._braces()
        if self._place < len(text):
            yield self._word(Kind.TEXT, len(text))
        yield self._word(Kind.EOF, len(text))

    def _braces(self) -> Iterator[Token]:
        inside = self._place + 2
        if self._has_left_trim(inside):
            inside += _TRIM
        if self._text.startswith("/*", inside):
            self._skip_to(inside)
            self._comment()
            return
        yield self._word(Kind.LEFT_DELIM, self._place + 2)
        self._skip_to(inside)
        self._parens = 0
        while not (delim := self._at_right_delim()):
            yield self._inside()
        if self._parens:
            raise _Broken("unclosed left paren")
        if delim > len("}}"):
            self._skip_to(self._place + _TRIM)
        yield self._word(Kind.RIGHT_DELIM, self._place + 2)
        if delim > len("}}"):
            self._skip_spaces()

    def _comment(self) -> None:
        end = self._text.find("*/", self._place + 2)
        if end < 0:
            raise _Broken("unclosed comment")
        self._place = end + 2
        delim = self._at_right_delim()
        if not delim:
            raise _Broken("comment ends before closing delimiter")
        self._skip_to(self._place + delim)
        if delim > len("}}"):
            self._skip_spaces()

    def _at_right_delim(self) -> int:
        """Return the length of the closing braces here, with their trim marker; 0 for none."""
        if self._text.startswith("}}", self._place):
            return 2
        if self._text[self._place : self._place + 1] in tuple(_SPACES) and self._text.startswith(
            "-}}", self._place + 1
        ):
            return 4
        return 0

    def _has_left_trim(self, place: int) -> bool:
        after = self._text[place + 1 : place + 2]
        return self._text.startswith("-", place) and bool(after) and after in _SPACES

    def _word(self, kind: Kind, end: int) -> Token:
        start, line = self._place, self._line_at(self._place)
        self._skip_to(end)
        return Token(kind, start, self._text[start:end], line)

    def _line_at(self, place: int) -> int:
        self.line += self._text.count("\n", self._counted, place)
        self._counted = max(place, self._counted)
        return self.line

    def _skip_to(self, place: int) -> None:
        self._place = self.start = place
        self._line_at(place)

    def _skip_spaces(self) -> None:
        if match := _SPACE.match(self._text, self._place):
            self._skip_to(match.end())

    def _inside(self) -> Token:
        text, place = self._text, self._place
        letter = text[place : place + 1]
        if not letter:
            raise _Broken("unclosed action")
        if letter in _SPACES:
            return self._space()
        if letter in _SIGNS:
            return self._word(_SIGNS[letter], place + 1)
        if letter == ":":
            if text[place + 1 : place + 2] != "=":
                raise _Broken("expected :=")
            return self._word(Kind.DECLARE, place + 2)
        if letter in _QUOTED:
            match = _QUOTED[letter].match(text, place)
            if match is None:
                raise _Broken(_UNTERMINATED[letter])
            return self._word(_QUOTE_KINDS[letter], match.end())
        if letter in "()":
            return self._paren(letter)
        return self._name_or_number(letter)

    def _space(self) -> Token:
        match = _SPACE.match(self._text, self._place)
        end = match.end() if match else self._place
        if self._text.startswith("-}}", end) and end - self._place > 1:
            end -= 1
        return self._word(Kind.SPACE, end)

    def _paren(self, letter: str) -> Token:
        self._parens += 1 if letter == "(" else -1
        if self._parens < 0:
            raise _Broken("unexpected right paren")
        return self._word(Kind.LEFT_PAREN if letter == "(" else Kind.RIGHT_PAREN, self._place + 1)

    def _name_or_number(self, letter: str) -> Token:
        text, place = self._text, self._place
        after = text[place + 1 : place + 2]
        if letter == "$" or (letter == "." and not ("0" <= after <= "9")):
            return self._dotted(letter)
        if letter in "+-." or "0" <= letter <= "9":
            return self._number()
        if letter == "_" or letter.isalnum():
            match = _WORD.match(text, place)
            end = match.end() if match else place + 1
            self._check_end(end)
            return self._word(_KEYWORDS.get(text[place:end], Kind.IDENTIFIER), end)
        if letter.isascii() and letter.isprintable():
            return self._word(Kind.CHAR, place + 1)
        raise _Broken(f"unrecognized character in action: {shown_rune(letter)}")

    def _dotted(self, letter: str) -> Token:
        """Read a field or a variable; alone they are the dot and the root."""
        match = _WORD.match(self._text, self._place + 1)
        end = match.end() if match else self._place + 1
        self._check_end(end)
        if letter == "$":
            return self._word(Kind.VARIABLE, end)
        return self._word(Kind.FIELD if match else Kind.DOT, end)

    def _check_end(self, end: int) -> None:
        after = self._text[end : end + 1]
        if after and after not in " \t\r\n.,|:)(" and not self._text.startswith("}}", end):
            raise _Broken(f"bad character {shown_rune(after)}")

    def _number(self) -> Token:
        end = self._scan_number(self._place)
        kind = Kind.NUMBER
        if self._text[end : end + 1] in ("+", "-"):
            end = self._scan_number(end)
            if not self._text[self._place : end].endswith("i"):
                raise _Broken(f"bad number syntax: {quoted(self._text[self._place : end])}")
            kind = Kind.COMPLEX
        return self._word(kind, end)

    def _scan_number(self, place: int) -> int:
        match = _NUMBER.match(self._text, place)
        end = match.end() if match else place
        after = self._text[end : end + 1]
        if after == "_" or after.isalnum():
            raise _Broken(f"bad number syntax: {quoted(self._text[self._place : end + 1])}")
        return end


def shown_rune(letter: str) -> str:
    """Write a character as Go's `%#U` does: U+0041 'A'."""
    code = f"U+{ord(letter):04X}"
    return f"{code} '{letter}'" if letter.isprintable() else code
