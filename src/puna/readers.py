"""Readers of a setting's text, for every table of settings."""

from pathlib import Path

from puna.errors import Invalid

TRUE = frozenset({"1", "t", "true", "yes", "on"})
FALSE = frozenset({"0", "f", "false", "no", "off"})


def read_text(text: str) -> str:
    """Return the text as it is."""
    return text


def read_flag(text: str) -> bool:
    """Read yes or no: any text but a no is a yes, as in Ollama."""
    return text.lower() not in FALSE


def read_maybe(text: str) -> bool | None:
    """Read yes, no, or nothing said."""
    return read_flag(text) if text else None


def read_whole(text: str) -> int:
    """Read a whole number from zero. Raises `Invalid`."""
    try:
        number = int(text)
    except ValueError as error:
        raise Invalid(f'"{text}" is not a whole number') from error
    if number < 0:
        raise Invalid(f"{number} is below zero")
    return number


def read_folder(text: str) -> Path | None:
    """Read a folder; None for an empty text."""
    return Path(text).expanduser().absolute() if text else None


def read_list(text: str) -> tuple[str, ...]:
    """Read parts between commas."""
    return tuple(part.strip() for part in text.split(",") if part.strip())
