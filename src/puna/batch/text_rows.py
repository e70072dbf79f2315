"""Rows of text formats: CSV, TSV, JSON Lines and plain lines, one bad row never costing another.

Python's own parsers read them line by line, since those of pyarrow take a whole block to be wrong
where one line is: a quote that nobody closes must cost its own line and not the rest of the file.
Blocks in which nothing is odd are parsed at once: see `blocks`.
"""

import csv
import io
import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NoReturn

import pyarrow as pa

from puna.batch.blocks import LONGEST_LINE, Blocks, lines_of, table_of
from puna.batch.formats import Format
from puna.batch.records import CHUNK_ROWS, BadRow, Record, excerpt
from puna.errors import Invalid

_SKIP = 2**20
_MARK = b"\xef\xbb\xbf"
TEXT_COLUMN = "text"
_DELIMITERS = ";\t|"


class BadHeader(Invalid):
    """The first line of a file does not name its columns."""

    code = "bad_header"


@dataclass(frozen=True, slots=True)
class Found:
    """A row as it was read; `reason` says what is wrong with it, if anything is."""

    record: Record
    line: int
    reason: str = ""
    text: str = ""

    def to_bad(self, row: int, file: str) -> BadRow:
        """Return the row for the side file."""
        return BadRow(row, self.reason, file, self.line, excerpt(self.text))


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a text file is written."""

    format: Format
    delimiter: str = ","
    has_header: bool = True


@dataclass(slots=True)
class _Line:
    number: int
    text: str
    reason: str = ""


class _Lines:
    """The lines of a stream, which can be given back."""

    def __init__(self, blocks: Blocks) -> None:
        self._stream = blocks
        self._number = 0
        self._back: deque[_Line] = deque()
        self.taken: list[_Line] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else self._read()
        self.taken.append(line)
        return line.text

    @property
    def is_between(self) -> bool:
        """Whether no line waits to be read again."""
        return not self._back

    def skip(self, block: bytes) -> None:
        """Count the lines of a block that somebody else has read."""
        self._number += block.count(b"\n")

    def give_back(self) -> _Line:
        """Return the first line taken; the others are to be read again."""
        first, *others = self.taken
        self._back.extendleft(reversed(others))
        self.taken = []
        return first

    def _read(self) -> _Line:
        raw = self._stream.readline(LONGEST_LINE)
        if not raw:
            raise StopIteration
        self._number += 1
        reason = ""
        if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
            self._skip_line()
            reason, raw = f"it is longer than {LONGEST_LINE // 2**20} MB", raw[:_SKIP]
        if self._number == 1:
            raw = raw.removeprefix(_MARK)
        try:
            return _Line(self._number, raw.decode(), reason)
        except UnicodeDecodeError as error:
            where = f"byte {raw[error.start]:#04x} at place {error.start + 1} of the line"
            text = raw.decode("utf-8", "replace")
            return _Line(self._number, text, reason or f"it is not UTF-8: {where}")

    def _skip_line(self) -> None:
        while (raw := self._stream.readline(_SKIP)) and not raw.endswith(b"\n"):
            pass


class TextRows:
    """The rows of one stream. `columns` are known from the start, except those of JSON Lines."""

    def __init__(self, stream: io.BufferedIOBase, dialect: Dialect, name: str) -> None:
        self._blocks = Blocks(stream)
        self._lines = _Lines(self._blocks)
        self._dialect = dialect
        self._name = name
        self.columns: tuple[str, ...] = ()
        self._first: list[str] | None = None
        if dialect.format is Format.LINES:
            self.columns = (TEXT_COLUMN,)
        elif dialect.format is not Format.JSONL:
            self._open_table()

    def __iter__(self) -> Iterator[Found]:
        if self._dialect.format is Format.LINES:
            return self._each_line()
        return self._each_object() if self._dialect.format is Format.JSONL else self._each_record()

    def pieces(self) -> Iterator[pa.Table | list[Found]]:
        """Yield all rows: as tables of texts where nothing is odd, else as they are found."""
        rows = iter(self)
        if self._first is not None:
            yield [next(rows)]
        while self.columns and (block := self._blocks.take()):
            table = self._table(block)
            if table is not None:
                self._lines.skip(block)
                self._blocks.keep_on()
                yield table
            elif not self._blocks.give_back(block):
                yield self._until(rows, self._blocks.place + len(block))
        while some := list(islice(rows, CHUNK_ROWS)):
            yield some

    def _table(self, block: bytes) -> pa.Table | None:
        if block.startswith(_MARK):
            return None
        if self._dialect.format is Format.LINES:
            return lines_of(block, TEXT_COLUMN)
        return table_of(block, self.columns, self._dialect.delimiter)

    def _until(self, rows: Iterator[Found], place: int) -> list[Found]:
        """Read rows one by one up to a place, and to the end of the row there."""
        some = []
        while self._blocks.place < place or not self._lines.is_between:
            found = next(rows, None)
            if found is None:
                break
            some.append(found)
        return some

    def _each_line(self) -> Iterator[Found]:
        for text in self._lines:
            line = self._lines.give_back()
            yield Found({TEXT_COLUMN: text.rstrip("\r\n")}, line.number, line.reason, text)

    def _each_object(self) -> Iterator[Found]:
        for text in self._lines:
            line = self._lines.give_back()
            if not text.strip():
                continue
            if line.reason:
                yield Found({}, line.number, line.reason, text)
                continue
            if line.number == 1 and text.lstrip().startswith("["):
                raise BadHeader(
                    f'"{self._name}" is one JSON list, not an object on each line',
                    hint="turn it into lines: jq -c '.[]'",
                )
            yield _parsed(text, line.number)

    def _open_table(self) -> None:
        csv.field_size_limit(LONGEST_LINE)
        self._reader = csv.reader(self._lines, delimiter=self._dialect.delimiter, strict=True)
        try:
            first = next(self._reader, None)
        except csv.Error as error:
            self._bad_header(f"its first line cannot be read: {_csv_reason(error)}")
        if first is None:
            return
        line = self._lines.taken[0]
        if line.reason:
            self._bad_header(f"its first line cannot be read: {line.reason}")
        if "\0" in line.text:
            self._bad_header("it is no text in UTF-8; UTF-16 is turned into it by iconv")
        if self._dialect.delimiter == "," and len(first) == 1:
            self._check_delimiter(first[0])
        self._lines.taken = []
        if self._dialect.has_header:
            self.columns = _unique(first)
            return
        self.columns = tuple(f"column{number}" for number in range(1, len(first) + 1))
        self._first = first

    def _check_delimiter(self, header: str) -> None:
        found = next((each for each in _DELIMITERS if each in header), "")
        if found:
            raise BadHeader(
                f'the columns of "{self._name}" seem to be separated by "{found}", not by commas',
                hint=f"say --delimiter '{found}', or --delimiter , if there is only one column",
            )

    def _bad_header(self, reason: str) -> NoReturn:
        raise BadHeader(f'"{self._name}" cannot be used: {reason}')

    def _each_record(self) -> Iterator[Found]:
        if self._first is not None:
            yield Found(dict(zip(self.columns, self._first, strict=True)), 1)
        columns, width, lines = self.columns, len(self.columns), self._lines
        while columns:
            try:
                values = next(self._reader, None)
            except csv.Error as error:
                line = lines.give_back()
                yield Found({}, line.number, line.reason or _csv_reason(error), line.text)
                continue
            if values is None:
                return
            taken, lines.taken = lines.taken, []
            if not values:
                if width > 1:
                    continue
                values = [""]
            reason = next((line.reason for line in taken if line.reason), "")
            if len(values) != width:
                reason = reason or f"it has {len(values)} fields, the header {width}"
                yield Found({}, taken[0].number, reason, taken[0].text)
                continue
            record = dict(zip(columns, values, strict=True))
            if not reason:
                yield Found(record, taken[0].number)
                continue
            yield Found(record, taken[0].number, reason, taken[0].text)


def _csv_reason(error: csv.Error) -> str:
    words = str(error)
    if "unexpected end" in words or "field larger" in words:
        return "a quote is not closed"
    if "new-line character" in words:
        return "it has a carriage return without a line feed behind it"
    return f"it is not well-formed CSV: {words}"


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Return names that differ: a second `a` is `a_2`, one without a name `column3`."""
    found: list[str] = []
    for number, name in enumerate(names, 1):
        plain = name.strip() or f"column{number}"
        endings = ("", *(f"_{count}" for count in range(2, len(names) + 2)))
        found.append(next(plain + each for each in endings if plain + each not in found))
    return tuple(found)


def _parsed(text: str, number: int) -> Found:
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        return Found({}, number, "it is nested too deeply", text)
    except ValueError as error:
        return Found({}, number, f"it is no JSON: {error}", text)
    if not isinstance(value, dict):
        return Found({}, number, "it is no JSON object", text)
    return Found(value, number)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")
