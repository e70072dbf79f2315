"""The program's first lines: `puna`, and `python -m puna`, which is the same."""

import sys

_INTERRUPTED = 130
"""What shells expect of a program that Ctrl-C ended."""


def main() -> None:
    """Load the program and run it; who presses Ctrl-C before it is loaded sees no traceback."""
    try:
        from puna.cli.main import main as begin  # noqa: PLC0415 - may be interrupted

        begin()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
