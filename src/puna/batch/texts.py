"""From a row to the text that the model is asked about.

A label task takes the text tidied: Unicode form NFC, every run of white space (of Unicode) made one
blank, none at either end; so rows that differ in nothing else are one. All other tasks take it as
it is. A template is filled with all columns of its row, in Jinja's sandbox: it cannot reach into
the program, and a column that does not exist is an error, not an empty place.
"""

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from puna.batch.records import ArrowChunk, BadRow, Chunk, Record, excerpt
from puna.batch.spec import LabelTask, Spec
from puna.batch.templates import LONGEST_TEXT, NoSuchColumn, RowTemplate

_USUAL = ("text", "keyword", "prompt", "query", "content", "input")
"""Names of columns that hold the text, in the order in which they are looked for."""

Text = str | BadRow


@dataclass(frozen=True, slots=True)
class Told:
    """The texts of some rows."""

    rows: "np.ndarray[tuple[int], np.dtype[np.int64]]"
    """Which rows have one, counted from 0."""
    texts: pa.LargeStringArray
    bad: tuple[BadRow, ...]


class Texts:
    """Turns the rows of one input into texts. Raises `NoSuchColumn`, `BadTemplate`."""

    def __init__(self, spec: Spec, columns: Sequence[str]) -> None:
        self._tidies = isinstance(spec.task, LabelTask)
        self.column = "" if spec.template else choose_column(spec.column, columns)
        self._template = RowTemplate(spec.template, columns) if spec.template else None
        self.needed = self._template.needed if self._template else (self.column,)

    def of(self, chunk: Chunk) -> Iterator[Text]:
        """Yield for each row its text, or why it has none."""
        bad = {each.row: each for each in chunk.bad}
        make = self._filled if self._template else self._plain
        for row, found in enumerate(make(chunk), chunk.first):
            if row in bad:
                yield bad[row]
                continue
            text, reason = found
            if self._tidies:
                text = tidy(text)
            reason = reason or _trouble(text)
            yield BadRow(row, reason, text=excerpt(text)) if reason else text

    def told(self, chunk: Chunk) -> Told:
        """Return the texts of all rows that have one, and the other rows."""
        if self._template is None and isinstance(chunk, ArrowChunk):
            column = chunk.batch.column(self.column)
            if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
                return self._told(chunk, column.cast(pa.large_string()).fill_null(""))
        return _sorted_out(chunk.first, list(self.of(chunk)))

    def _told(self, chunk: ArrowChunk, texts: pa.LargeStringArray) -> Told:
        """Look closely only at those texts that may not do as they are."""
        odd = odd_texts(texts, tidies=self._tidies)
        odd[[each.row - chunk.first for each in chunk.bad]] = True
        places = np.flatnonzero(odd)
        if not len(places):
            rows = np.arange(chunk.first - 1, chunk.first - 1 + len(texts))
            return Told(rows, texts, ())
        chosen = ArrowChunk(1, chunk.batch.take(pa.array(places)), chunk.to_python)
        known = {each.row: each for each in chunk.bad}
        numbers: list[int] = (places + chunk.first).tolist()
        found = [
            known.get(number) or _moved(text, number)
            for number, text in zip(numbers, self.of(chosen), strict=True)
        ]
        is_bad = np.zeros(len(texts), bool)
        is_bad[places] = [isinstance(each, BadRow) for each in found]
        mended = pa.array(["" if isinstance(each, BadRow) else each for each in found], texts.type)
        whole = pc.replace_with_mask(texts, pa.array(odd), mended).filter(pa.array(~is_bad))
        good = np.flatnonzero(~is_bad) + (chunk.first - 1)
        return Told(good, whole, tuple(each for each in found if isinstance(each, BadRow)))

    def _plain(self, chunk: Chunk) -> Iterator[tuple[str, str]]:
        return ((_as_text(value), "") for value in chunk.column(self.column))

    def _filled(self, chunk: Chunk) -> Iterator[tuple[str, str]]:
        assert self._template is not None  # noqa: S101 - the caller has just looked
        return (_filled(self._template, record) for record in chunk.records())


def _filled(template: RowTemplate, record: Record) -> tuple[str, str]:
    """Return the filled template, or why there is none.

    A row that is empty where the template looks at it is empty, whatever stands around.
    """
    names = tuple(record) if template.needed is None else template.needed
    if names and not any(_as_text(record.get(name)).strip() for name in names):
        return "", "it is empty"
    return template.fill(record)


def _moved(text: Text, row: int) -> Text:
    return replace(text, row=row) if isinstance(text, BadRow) else text


def _sorted_out(first: int, found: Sequence[Text]) -> Told:
    rows = [row for row, text in enumerate(found, first - 1) if isinstance(text, str)]
    good = [text for text in found if isinstance(text, str)]
    bad = tuple(text for text in found if isinstance(text, BadRow))
    return Told(np.array(rows, np.int64), pa.array(good, pa.large_string()), bad)


def odd_texts(
    texts: pa.LargeStringArray, *, tidies: bool
) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Tell which texts are to be looked at: those that are empty, long, blank or not tidy.

    It may take more than it must, such as all with letters beyond ASCII, and never less.
    """
    if not len(texts):
        return np.zeros(0, bool)
    places = np.frombuffer(texts.buffers()[1], np.int64)[texts.offset :][: len(texts) + 1]
    content = np.frombuffer(texts.buffers()[2] or b"", np.uint8)[places[0] : places[-1]]
    begins, ends = places[:-1] - places[0], places[1:] - places[0]
    lengths = ends - begins
    odd: np.ndarray[tuple[int], np.dtype[np.bool_]] = (lengths == 0) | (lengths > LONGEST_TEXT)
    if not len(content):
        return odd
    last = len(content) - 1
    blanks = _BLANK if tidies else _MAYBE_BLANK
    odd |= blanks[content[np.minimum(begins, last)]]
    if tidies:
        odd |= blanks[content[np.maximum(ends - 1, 0)]]
        is_odd = _UNTIDY[content]
        is_blank = content == _SPACE
        is_odd[1:] |= is_blank[1:] & is_blank[:-1]
        odd[np.searchsorted(ends, np.flatnonzero(is_odd), side="right")] = True
    return odd


def _among(characters: Iterable[int]) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    found = np.zeros(256, bool)
    found[list(characters)] = True
    return found


_SPACE = ord(" ")
_BLANK = _among(each for each in range(128) if chr(each).isspace())
_BEYOND = _among(range(128, 256))
_MAYBE_BLANK = _BLANK | _BEYOND
_UNTIDY = _among(each for each in range(128) if chr(each).isspace() and each != _SPACE) | _BEYOND


def choose_column(wanted: str, columns: Sequence[str]) -> str:
    """Return the column that holds the text. Raises `NoSuchColumn`."""
    if wanted:
        if wanted in columns:
            return wanted
        raise NoSuchColumn(
            f'the input has no column "{wanted}"', hint=f"its columns: {', '.join(columns)}"
        )
    if len(columns) == 1:
        return columns[0]
    found = next((each for each in _USUAL if each in columns), "")
    if not found:
        raise NoSuchColumn(
            f"which of {len(columns)} columns holds the text is not known",
            hint=f"say it with --column; its columns: {', '.join(columns)}",
        )
    return found


def tidy(text: str) -> str:
    """Return the text in form NFC, with single blanks between words and none around."""
    text = " ".join(text.split())
    return text if text.isascii() else " ".join(unicodedata.normalize("NFC", text).split())


def _trouble(text: str) -> str:
    if not text or text.isspace():
        return "it is empty"
    if len(text) > LONGEST_TEXT:
        return f"it has {len(text)} characters, at most {LONGEST_TEXT} are taken"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "it has half of a surrogate pair, which is no character"
    return ""


def _as_text(value: object) -> str:
    match value:
        case str():
            return value
        case None:
            return ""
    return json.dumps(value, ensure_ascii=False)
