"""Reads a key or a token without showing it: from a person, or from what is piped in.

So none stands in the list of processes, where everybody on the machine can read it.
"""

import getpass
import sys

from puna.cli.terminal import Terminal
from puna.errors import Invalid


def read_secret(terminal: Terminal, question: str, *, wrong: str, hint: str) -> str:
    """Return the one word that is typed or piped in. Raises `Invalid` if there is none."""
    if not terminal.reads_keys:
        return only_word(terminal.read_all(), wrong=wrong, hint=hint)
    asked = terminal.language.of(question)
    if terminal.keys is sys.stdin:
        return only_word(getpass.getpass(asked, stream=terminal.err), wrong=wrong, hint=hint)
    terminal.err.write(asked)
    return only_word(terminal.keys.readline(), wrong=wrong, hint=hint)


def only_word(text: str, *, wrong: str, hint: str) -> str:
    """Return the one word of a text. Raises `Invalid` for none, and for more."""
    words = text.split()
    if len(words) != 1 or not text.isascii():
        raise Invalid(wrong, hint=hint)
    return words[0]
