"""JSON from elsewhere has one meaning or is refused."""

import json
from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from puna.models.strict_json import BadJson, JsonValue, parse_json

REFUSED = {
    "empty": (b"", "it is not JSON"),
    "half an object": (b'{"a":', "it is not JSON"),
    "two values": (b"{} {}", "it is not JSON"),
    "single quotes": (b"{'a':1}", "it is not JSON"),
    "not UTF-8": (b'"\xff"', "it is not UTF-8"),
    "UTF-16": ("{}".encode("utf-16"), "it is not UTF-8"),
    "byte order mark": (b"\xef\xbb\xbf{}", "it is not JSON"),
    "nul": (b"\0", "it is not JSON"),
    "deep lists": (b"[" * 1_000_000, "it is nested too deeply"),
    "deep objects": (b'{"a":' * 100_000, "it is nested too deeply"),
    "key twice": (b'{"a":1,"a":2}', "it has a key twice in one object"),
    "key twice inside": (b'[{"a":{"b":1,"b":1}}]', "it has a key twice in one object"),
    "escaped key twice": (b'{"a":1,"\\u0061":2}', "it has a key twice in one object"),
    "NaN": (b"[NaN]", "it has the number NaN, which JSON does not know"),
    "infinity": (b"-Infinity", "it has the number -Infinity, which JSON does not know"),
    "long number": (b"1" * 10_000, "it is not JSON"),
    "half a pair": (b'["\\ud800"]', "it has half of a character"),
    "too long": (b" " * 2_000_001, "it has 2000001 bytes; the most is 2000000"),
}


@pytest.mark.parametrize(("raw", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_ambiguous_or_broken_json_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(BadJson) as caught:
        parse_json(raw, limit=2_000_000)

    assert str(caught.value) == reason


NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_plain_json_reads_as_python_reads_it(value: JsonValue) -> None:
    assert parse_json(json.dumps(value).encode(), limit=10**6) == value


@given(st.binary(max_size=60))
def test_any_bytes_give_a_value_or_bad_json(raw: bytes) -> None:
    with suppress(BadJson):
        value = parse_json(raw, limit=100)
        assert json.loads(raw) == value
