"""Numbers as templates write them."""

import re

from puna.chat.gotemplate.quoting import quoted, unquote_rune, whole_number

_FLOAT = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_HEX_FLOAT = re.compile(r"[+-]?0[xX][0-9a-fA-F]*\.?[0-9a-fA-F]*[pP][+-]?\d+")
_LEAST, _MOST = -(2**63), 2**64


def read_number(written: str) -> float | complex | None:
    """Return the value of a constant; None for one that no `int` holds. Raises `ValueError`."""
    if written[0] == "'":
        return unquote_rune(written)
    if written[-1] == "i":
        return _complex(written)
    whole = whole_number(written)
    if whole is not None and _LEAST <= whole < _MOST:
        return whole if whole < 2**63 else None
    number = _float(written)
    if number is None:
        raise ValueError(f"illegal number syntax: {quoted(written)}")
    if not any(letter in ".eEpP" for letter in written):
        raise ValueError(f"integer overflow: {quoted(written)}")
    return number


def _float(written: str) -> float | None:
    plain = re.sub(r"(?<=[0-9a-fA-FxX])_(?=[0-9a-fA-F])", "", written)
    if _HEX_FLOAT.fullmatch(plain):
        return float.fromhex(plain)
    if not _FLOAT.fullmatch(plain):
        return None
    number = float(plain)
    return None if number in {float("inf"), float("-inf")} else number


def _complex(written: str) -> complex:
    match = re.fullmatch(r"(?P<real>.*?)(?P<imaginary>[+-]?[^+-]*(?:[eE][+-]\d+)?)i", written)
    real = _float(match["real"]) if match and match["real"] else 0.0
    imaginary = _float(match["imaginary"]) if match else None
    if real is None or imaginary is None:
        raise ValueError(f"illegal number syntax: {quoted(written)}")
    if imaginary == 0:
        return int(real) if real.is_integer() else real
    return complex(real, imaginary)
