"""What a pod's container is told to run.

Arguments are one text, as a shell reads it, or, as RunPod's clients write what a shell must not
take apart, JSON: `{"cmd": ["a b"], "entrypoint": ["/bin/sh", "-c"]}`.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_KNOWN = {"cmd", "entrypoint"}


@dataclass(frozen=True, slots=True)
class Command:
    """What is run: `args`, as a shell reads it, after `entrypoint`, or the image's own if empty."""

    entrypoint: tuple[str, ...]
    args: str


def command_of(entrypoint: Sequence[str], args: str) -> Command:
    """Return the command of a pod; what is in JSON goes before an entrypoint of its own."""
    written = _written(args)
    if written is None:
        return Command(tuple(entrypoint), args)
    return Command(
        tuple(written.get("entrypoint") or entrypoint), shlex.join(written.get("cmd") or ())
    )


def words_of(args: str) -> list[str]:
    """Return a command word by word; one that cannot be taken apart is one word."""
    try:
        return shlex.split(args)
    except ValueError:
        return [args]


def _written(args: str) -> dict[str, list[str]] | None:
    """Return what JSON says; None where the arguments are none, or not of this form."""
    if not args.lstrip().startswith("{"):
        return None
    try:
        said: Any = json.loads(args)
    except (ValueError, RecursionError):
        return None
    is_form = isinstance(said, dict) and said and set(said) <= _KNOWN
    if not is_form or not all(_is_words(each) for each in said.values()):
        return None
    return dict(said)


def _is_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)
