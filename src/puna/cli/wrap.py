"""Wrap a stream of text at words, as it arrives, without ever moving the cursor back.

A word is held until it is known to end, since only then is it known whether it fits the line.
That delays the screen by one token and spares it the erasing and rewriting that goes wrong with
wide characters.
"""

from puna.text import cell_width

_JOINER = "\u200d"
_EMOJI_STYLE = "\ufe0f"
_TAB = 8
_WIDE = 2


class Wrap:
    """Breaks lines at `width` cells. `feed` and `end` return what to write now."""

    def __init__(self, width: int) -> None:
        self._width = max(1, width)
        self._column = 0
        self._gap = ""
        self._word: list[str] = []  # the cells of the word so far, marks joined to what they mark
        self._cells = 0
        self._is_joined = False
        self._is_endless = False  # the word is longer than a line, and is written as it comes

    def feed(self, text: str) -> str:
        """Take more text and return the words that are complete."""
        return "".join(self._take(char) for char in text)

    def end(self) -> str:
        """Return what is still held: the last word and the blanks after it."""
        return self._place_word() + self._place_gap()

    def _take(self, char: str) -> str:
        if char in "\n \t":
            self._is_endless = False
        if char == "\n":
            placed = self.end()
            self._column = 0
            return placed + "\n"
        if char in " \t":
            placed = self._place_word()
            self._gap += char
            return placed
        return self._take_letter(char)

    def _take_letter(self, char: str) -> str:
        width = cell_width(char)
        if self._is_endless:
            return self._place_cell(char)
        if self._word and (self._is_joined or not width):
            self._word[-1] += char
            self._is_joined = char == _JOINER
            if char == _EMOJI_STYLE and cell_width(self._word[-1]) < _WIDE:
                self._cells += 1
            return ""
        placed = ""
        if self._word and (width == _WIDE or cell_width(self._word[-1]) >= _WIDE):
            placed = self._place_word()  # between wide characters a line may break anywhere
        self._word.append(char)
        self._cells += width
        if self._cells > self._width:
            placed += self._place_word()
            self._is_endless = True
        return placed

    def _place_word(self) -> str:
        if not self._word:
            return ""
        lead = self._place_gap() if self._fits_after_gap() else self._break_line()
        word, self._word = self._word, []
        if self._column + self._cells <= self._width:
            self._column += self._cells
            self._cells = 0
            return lead + "".join(word)
        self._cells = 0
        return lead + "".join(self._place_cell(cell) for cell in word)

    def _fits_after_gap(self) -> bool:
        if self._column == 0:
            return True  # indentation stays, and a word longer than a line is cut anyway
        return self._column + self._gap_width() + self._cells <= self._width

    def _place_cell(self, cell: str) -> str:
        """Place a part of a word that is longer than a line."""
        cells = min(_WIDE, cell_width(cell))
        lead = self._break_line() if self._column + cells > self._width else ""
        self._column += cells
        return lead + cell

    def _place_gap(self) -> str:
        gap, width = self._gap, self._gap_width()
        self._gap = ""
        self._column += width
        return gap

    def _break_line(self) -> str:
        self._gap = ""
        self._column = 0
        return "\n"

    def _gap_width(self) -> int:
        column = self._column
        for char in self._gap:
            column += _TAB - column % _TAB if char == "\t" else 1
        return column - self._column
