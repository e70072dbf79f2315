"""Floating-point numbers as Go's `strconv` writes them."""

import math

_WORDS = {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}
_EXPONENT_FROM = 6
_LEAST_EXPONENT = -4


def shown_float(number: float, verb: str, precision: int | None) -> str:
    """Return a number by a verb of `fmt`; the shortest that reads back equal without precision."""
    if not math.isfinite(number):
        return _WORDS[str(number)]
    if verb in "xX":
        text = _hexadecimal(number)
        return text.upper() if verb == "X" else text
    if verb == "b":
        mantissa, exponent = math.frexp(number)
        return f"{int(mantissa * 2**53)}p{exponent - 53:+d}"
    if verb in "eE":
        return _exponent(number, 6 if precision is None else precision, verb)
    if verb in "fF":
        return f"{number:.{6 if precision is None else precision}f}"
    return _general(number, verb, precision)


def _general(number: float, verb: str, precision: int | None) -> str:
    letter = "E" if verb == "G" else "e"
    if precision is not None:
        return f"{number:.{max(1, precision)}{'G' if verb == 'G' else 'g'}}"
    if number == 0:
        return "-0" if math.copysign(1, number) < 0 else "0"
    sign = "-" if number < 0 else ""
    digits, exponent = _shortest(abs(number))
    if exponent < _LEAST_EXPONENT or exponent >= _EXPONENT_FROM:
        rest = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}{letter}{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    whole = digits[: exponent + 1].ljust(exponent + 1, "0")
    rest = digits[exponent + 1 :]
    return f"{sign}{whole}{f'.{rest}' if rest else ''}"


def _shortest(number: float) -> tuple[str, int]:
    """Return the fewest digits that mean the number, and the power of ten of the first."""
    mantissa, _, power = f"{number!r}".partition("e")
    whole, _, rest = mantissa.partition(".")
    digits = whole + rest
    exponent = len(whole) - 1 + int(power or 0)
    leading = len(digits) - len(digits.lstrip("0"))
    return digits.strip("0") or "0", exponent - leading


def _exponent(number: float, precision: int, letter: str) -> str:
    return f"{number:.{precision}{letter}}"


def _hexadecimal(number: float) -> str:
    mantissa, _, exponent = number.hex().partition("p")
    whole, _, rest = mantissa.partition(".")
    rest = rest.rstrip("0")
    power = int(exponent)
    return f"{whole}{f'.{rest}' if rest else ''}p{'-' if power < 0 else '+'}{abs(power):02d}"
