"""Read JSON that somebody else wrote, in one meaning only.

Python's reader takes the last of two equal keys, `NaN`, UTF-16, and any depth until the stack ends.
Two programs that read such a text differently are how checks get passed, so it is refused.
"""

import json
import re

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


class BadJson(ValueError):
    """The text is no JSON, or ambiguous; the message says why."""


def parse_json(raw: bytes, *, limit: int) -> JsonValue:
    """Return the value of a JSON text of at most `limit` bytes. Raises `BadJson`."""
    if len(raw) > limit:
        raise BadJson(f"it has {len(raw)} bytes; the most is {limit}")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadJson("it is not UTF-8") from error
    try:
        value: JsonValue = json.loads(
            text, object_pairs_hook=_single_keys, parse_constant=_refuse_constant
        )
    except BadJson:
        raise
    except ValueError as error:  # a syntax error, or a number of thousands of digits
        raise BadJson("it is not JSON") from error
    except RecursionError as error:
        raise BadJson("it is nested too deeply") from error
    if _MAY_BE_HALF.search(text) and not _is_writable(value):
        raise BadJson("it has half of a character")
    return value


# The escapes of UTF-16 pairs, of which each half alone is no character.
_MAY_BE_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def _is_writable(value: JsonValue) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _single_keys(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJson("it has a key twice in one object")
    return found


def _refuse_constant(word: str) -> None:
    raise BadJson(f"it has the number {word}, which JSON does not know")
