"""Texts that are sent to be kept: every database takes them."""

from pydantic import BaseModel, model_validator

_SURROGATES = frozenset(map(chr, range(0xD800, 0xE000)))


def storable(text: str) -> str:
    """Return a text that every database keeps. Raises `ValueError`."""
    if "\0" in text:
        raise ValueError("a zero byte is no text")
    if not _SURROGATES.isdisjoint(text):
        raise ValueError("half a character is no text")
    return text


class Stored(BaseModel):
    """A body that has none but such texts among its fields."""

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, sent: object) -> object:
        if isinstance(sent, dict):
            for each in sent.values():
                if isinstance(each, str):
                    storable(each)
        return sent
