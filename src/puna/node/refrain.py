"""Notice a model that says the same piece over and over, as small ones do until they are stopped.

The rule is Ollama's: more than thirty times in a row, white space at the edges aside. It holds only
where nobody said how long the answer may be; who asks for a number of tokens gets them.
"""

_MOST = 30


class Refrain:
    """What was said last, and how often in a row."""

    def __init__(self) -> None:
        self._piece = ""
        self._times = 0

    def goes_on(self, piece: str) -> bool:
        """Hear the next piece; return whether it has come too often by now.

        A token that brings no text yet, such as a part of a character, is no piece.
        """
        if not piece:
            return False
        text = piece.strip()
        self._times = self._times + 1 if text == self._piece else 0
        self._piece = text
        return self._times > _MOST
