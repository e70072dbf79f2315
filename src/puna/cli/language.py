"""The language in which puna speaks with a person: English, unless a catalogue is loaded.

Apart from `catalogue`, so that nobody who reads English waits for one.
"""


class Language:
    """English: everything is said as it is written."""

    code = "en"

    def of(self, text: str) -> str:
        """Return a message in this language."""
        return text


ENGLISH = Language()
