"""Keys pressed between two prompts: unseen, kept for the next prompt, Ctrl-C excepted.

Left alone, the terminal would write them into the middle of the answer, and turn Enter into the
line end that the prompt takes for Ctrl-J. It holds from the load to the last message: switched for
each answer, it would miss what is pressed just before a prompt begins to read.
"""

import termios
from collections.abc import Iterator
from contextlib import contextmanager

from puna.cli.terminal import Terminal

_INPUT, _LOCAL = 0, 3  # places in the list that termios gives


@contextmanager
def quiet_keys(terminal: Terminal) -> Iterator[None]:
    """Keep keys for the next prompt while the block runs; a prompt reads in its own way within."""
    if not (terminal.moves_out and terminal.reads_keys):
        yield
        return
    descriptor = terminal.keys.fileno()
    before = termios.tcgetattr(descriptor)
    quiet = list(before)
    quiet[_INPUT] = before[_INPUT] & ~termios.ICRNL
    quiet[_LOCAL] = before[_LOCAL] & ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(descriptor, termios.TCSANOW, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSANOW, before)
