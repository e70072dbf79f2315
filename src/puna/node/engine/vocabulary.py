"""A model's tokens, by llama.cpp's own tokenizer. Used only in the child process."""

import ctypes as c

from puna.node.engine.row_tree import Tokens

_YES = True
_BORDER = 24
"""Characters before an answer that decide how it falls into tokens."""
SAMPLES = ("", "a", "Red 7 shoes", "x-ray, 'so'", "Ω łódź", "(1) A", '"q" \\ /', "the", "S:")
"""Texts of many kinds, to try out what a text does to the words around it."""
_FURTHEST = 160


class Vocabulary:
    """The tokens of one loaded model."""

    def __init__(self, library: c.CDLL, model: int) -> None:
        self._lib = library
        self._vocab = library.llama_model_get_vocab(model)
        self.size = int(library.llama_vocab_n_tokens(self._vocab))

    def tokens(self, text: str, *, special: bool = False) -> Tokens:
        """Return the tokens of a text; `special` adds what the model wants at its beginning."""
        raw = text.encode(errors="replace")
        room = len(raw) + 16
        found = (c.c_int32 * room)()
        count = self._lib.llama_tokenize(self._vocab, raw, len(raw), found, room, special, _YES)
        return tuple(found[:count])

    def answer(self, prompt: str, answer: str) -> Tokens:
        """Return the tokens of an answer as they are after its prompt."""
        border = prompt[-_BORDER:]
        before, whole = self.tokens(border), self.tokens(border + answer)
        if whole[: len(before)] == before:
            return whole[len(before) :]
        return self.tokens(answer)

    def ends(self) -> Tokens:
        """Return the tokens by which an answer can be over: all that say so, and a new line."""
        is_end = self._lib.llama_vocab_is_eog
        over = [token for token in range(self.size) if is_end(self._vocab, token)]
        return (*over, *self.tokens("\n")[-1:])

    def cut(self, prefix: str, suffix: str) -> int:
        """Return where to cut a prefix so that its first part's tokens never change.

        Behind the cut a text decides how the rest falls into tokens. It is tried out with texts of
        all kinds; where no place does, it is the beginning, and every prompt is read whole.
        """
        places = [
            place
            for place in range(len(prefix) - 1, max(0, len(prefix) - _FURTHEST), -1)
            if prefix[place].isspace() and not prefix[place - 1].isspace()
        ]
        for place in places:
            head = self.tokens(prefix[:place], special=True)
            rests = [prefix[place:] + sample + suffix for sample in SAMPLES]
            if all(
                self.tokens(prefix[:place] + rest, special=True) == head + self.tokens(rest)
                for rest in rests
            ):
                return place
        return 0
