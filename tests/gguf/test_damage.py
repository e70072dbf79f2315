"""A damaged, hostile or foreign file gives one clear line, at once and without taking memory."""

import os
import struct
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from puna.errors import Invalid
from puna.models.gguf import BadGguf, GgufArray, read_array, read_header
from puna.models.gguf_check import MAX_KEYS, MAX_STRINGS, MAX_TENSORS
from tests.builders import LLAMA, Typed, a_gguf, a_gguf_header


def fault_of(path: Path) -> str:
    with pytest.raises(BadGguf) as caught:
        read_header(path)
    message = caught.value.message
    assert isinstance(caught.value, Invalid)
    assert message.isprintable()
    assert len(message) < 450
    return message


def fault_in(folder: Path, content: bytes) -> str:
    path = folder / "model.gguf"
    path.write_bytes(content)
    message = fault_of(path)
    assert message.startswith('"model.gguf" is not a usable GGUF file: ')
    return message.partition(": ")[2]


# --- cut files ------------------------------------------------------------------------------------


def test_a_file_cut_at_any_byte_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    tensors = {"one": ("F32", (8, 4)), "two": ("Q4_0", (32, 2)), "three": ("F32", (8,))}
    path.write_bytes(a_gguf({**LLAMA, "list": ["a", "b"], "more": [1, 2, 3]}, tensors))

    for size in range(path.stat().st_size - 1, 0, -1):
        os.truncate(path, size)
        assert "it is cut short: " in fault_of(path)


def test_an_empty_file_is_empty(tmp_path: Path) -> None:
    assert fault_in(tmp_path, b"") == "it is empty"


def test_a_cut_says_how_much_is_missing(tmp_path: Path) -> None:
    assert fault_in(tmp_path, a_gguf()[:-1]) == (
        'it is cut short: tensor "output_norm.weight" ends at byte 7808, the file at 7807'
    )


# --- other files ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"lmgg\1\0\0\0", "it is a GGML file of the time before GGUF; get the model as GGUF"),
        (b"tjgg\3\0\0\0", "it is a GGML file of the time before GGUF; get the model as GGUF"),
        (b"PK\3\4 and more", "it is a zip archive, perhaps PyTorch weights; get the model as GGUF"),
        (b"<!DOCTYPE html><html>", "it is a web page, not the file behind the link"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00",
            "it is a Git LFS pointer; the file itself has yet to be fetched",
        ),
        (b'\x40\0\0\0\0\0\0\0{"a":{}}', "it is a safetensors file; get the model as GGUF"),
        (b"secret", "it is no GGUF file: it does not start with those four letters"),
        (b"gguf" + a_gguf()[4:], "it is no GGUF file: it does not start with those four letters"),
        (b"\0" * 4096, "it is no GGUF file: it does not start with those four letters"),
        (a_gguf(version=1), "it has version 1 of the format, which llama.cpp no longer reads"),
        (a_gguf(version=4), "it has version 4 of the format; known are 2 and 3"),
        (a_gguf(version=0), "it has version 0 of the format; known are 2 and 3"),
        (a_gguf(order=">"), "it is written for big-endian machines"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes, reason: str) -> None:
    assert fault_in(tmp_path, content) == reason


def test_a_directory_a_pipe_a_device_and_nothing_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("absent")

    assert "it is a directory" in fault_of(tmp_path)
    assert "it is a named pipe" in fault_of(tmp_path / "pipe")
    assert "it is a device" in fault_of(Path("/dev/zero"))
    assert "no such file" in fault_of(tmp_path / "absent")
    assert "no such file" in fault_of(tmp_path / "broken")
    assert "cannot be the name of a file" in fault_of(tmp_path / "nul\0")


def test_a_hostile_file_name_is_printed_harmlessly(tmp_path: Path) -> None:
    path = tmp_path / "\x1b[31mred\n\u202e.gguf"
    path.write_bytes(b"x")

    assert fault_of(path).startswith('"�[31mred �.gguf" is not a usable GGUF file: ')


# --- claims ---------------------------------------------------------------------------------------


def head(tensors: int, keys: int, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, keys) + rest


def text(raw: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(raw) if length is None else length) + raw


def array(kind: int, count: int, rest: bytes = b"") -> bytes:
    return head(0, 1, text(b"key") + struct.pack("<IIQ", 9, kind, count) + rest)


def tensor(
    shape: Sequence[int], *, kind: int = 0, offset: int = 0, name: bytes = b"t", data: int = 4096
) -> bytes:
    record = text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return head(1, 0, record + struct.pack("<IQ", kind, offset) + bytes(data))


HUGE = 2**64 - 1
ABSURD: Mapping[str, tuple[bytes, str]] = {
    "keys": (head(0, HUGE), f"metadata entries; the most is {MAX_KEYS}"),
    "keys that cannot fit": (head(0, 60_000), "claims 60000 metadata entries and has 0 bytes"),
    "tensors": (head(HUGE, 0), f"tensors; the most is {MAX_TENSORS}"),
    "tensors that cannot fit": (head(60_000, 0, bytes(99)), "60000 tensors and has 99 bytes"),
    "sign bit": (head(2**63, 2**63), "the most is"),
    "key length": (head(0, 1, text(b"key", HUGE) + bytes(99)), "more bytes should follow"),
    "key length as -8": (head(0, 1, text(b"key", 2**64 - 8) + bytes(99)), "should follow"),
    "text length": (
        head(0, 1, text(b"key") + struct.pack("<I", 8) + text(b"", HUGE) + bytes(99)),
        "more bytes should follow",
    ),
    "array count": (array(4, HUGE, bytes(99)), 'items in "key"'),
    "array count just too high": (array(4, 25, bytes(99)), "it is cut short"),
    "array count that wraps to 4": (array(10, 2**61 + 1, bytes(99)), "it is cut short"),
    "text array count": (array(8, HUGE, bytes(99)), 'items in "key"'),
    "text in array": (array(8, 2, text(b"a") + text(b"", HUGE) + bytes(99)), "should follow"),
    "text in array that wraps": (
        array(8, 2, text(b"a") + text(b"", 2**64 - 9) + bytes(99)),
        "should follow",
    ),
    "dimension": (tensor([HUGE]), 'tensor "t" has an impossible shape'),
    "dimensions that wrap to 0": (tensor([2**32, 2**32]), "impossible shape"),
    "dimensions that wrap to 4": (tensor([2**62 + 1, 4]), "impossible shape"),
    "four of them": (tensor([2**16] * 4), "impossible shape"),
    "bytes that wrap": (tensor([2**62]), "impossible shape"),
    "offset": (tensor([4], offset=2**64 - 32), "it is cut short"),
    "offset that wraps": (tensor([8], offset=2**64 - 4096), "it is cut short"),
}


@pytest.mark.parametrize(("content", "reason"), ABSURD.values(), ids=ABSURD.keys())
def test_an_absurd_claim_takes_no_memory(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "model.gguf").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(BadGguf) as caught:
            read_header(tmp_path / "model.gguf")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert reason in caught.value.message
    assert peak < 200_000


WRONG: Mapping[str, tuple[bytes, str]] = {
    "type 13": (head(0, 1, text(b"key") + struct.pack("<IQ", 13, 0)), "the unknown type 13"),
    "type -1": (head(0, 1, text(b"key") + struct.pack("<iQ", -1, 0)), "unknown type 4294967295"),
    "array type 13": (array(13, 1, bytes(99)), 'key "key" has the unknown type 13'),
    "array of arrays": (array(9, 1, bytes(99)), 'key "key" holds an array of arrays'),
    "empty key": (head(0, 1, text(b"") + struct.pack("<II", 4, 0)), "a key at byte 24 is empty"),
    "key no UTF-8": (head(0, 1, text(b"\xff") + struct.pack("<II", 4, 0)), "is not UTF-8"),
    "key too long": (head(0, 1, text(b"k" * 65_536) + bytes(9)), "which is too long"),
    "key with escapes": (array(13, 1).replace(b"key", b"\x1b[m"), 'key "�[m" has'),
    "alignment 0": (a_gguf({"general.alignment": 0}, {}), "its alignment is 0"),
    "alignment 48": (a_gguf({"general.alignment": 48}, {}), "48, not a power of two"),
    "alignment a text": (a_gguf({"general.alignment": "32"}, {}), "type STRING, not UINT32"),
    "alignment signed": (a_gguf({"general.alignment": Typed("i", -32)}, {}), "INT32, not UINT32"),
    "alignment a list": (a_gguf({"general.alignment": [32]}, {}), "type ARRAY, not UINT32"),
    "five dimensions": (tensor([1] * 5), 'tensor "t" has 5 dimensions; the most is 4'),
    "4 billion dimensions": (tensor([1]).replace(b"t\1\0\0\0", b"t\xff\xff\xff\xff"), "4294967295"),
    "dimension 0": (tensor([0, 4]), 'tensor "t" has an empty dimension: [0, 4]'),
    "type unknown": (tensor([32], kind=99), 'tensor "t" has the unknown type 99'),
    "type removed": (tensor([32], kind=31), 'tensor "t" has the removed type Q4_0_4_4'),
    "half a block": (tensor([48], kind=2), "rows of 48 numbers, no multiple of 32"),
    "rows of half blocks": (tensor([16, 2], kind=2), "rows of 16 numbers"),
    "not aligned": (tensor([4], offset=16), 'tensor "t" is not aligned to 32 bytes'),
    "beyond the end": (tensor([2000]), "it is cut short: tensor"),
    "empty name": (tensor([4], name=b""), "a tensor name at byte 24 is empty"),
    "name no UTF-8": (tensor([4], name=b"\xff"), "a tensor name at byte 24 is not UTF-8"),
    "name too long": (tensor([4], name=b"n" * 1025), "which is too long"),
}


@pytest.mark.parametrize(("content", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_header_says_what_is_wrong(tmp_path: Path, content: bytes, reason: str) -> None:
    assert reason in fault_in(tmp_path, content)


def test_a_key_or_a_tensor_that_comes_twice_is_refused(tmp_path: Path) -> None:
    keys = a_gguf({"one": 1, "two": 2}, {}).replace(b"two", b"one")
    tensors = a_gguf({}, {"one": ("F32", (4,)), "two": ("F32", (4,))}).replace(b"two", b"one")

    assert fault_in(tmp_path, keys) == 'it has the key "one" twice'
    assert fault_in(tmp_path, tensors) == 'it has the tensor "one" twice'


def test_tensors_that_overlap_are_refused(tmp_path: Path) -> None:
    header = a_gguf_header({}, {"one": ("F32", (16,)), "two": ("F32", (16,))})
    moved = header.replace(struct.pack("<IQ", 0, 64), struct.pack("<IQ", 0, 32))

    assert fault_in(tmp_path, moved + bytes(999)) == 'tensor "two" overlaps the one before it'


# --- large sparse files ---------------------------------------------------------------------------


def sparse(folder: Path, content: bytes, size: int = 2**36) -> Path:
    path = folder / "model.gguf"
    path.write_bytes(content)
    os.truncate(path, size)
    return path


def test_a_text_of_gigabytes_is_refused(tmp_path: Path) -> None:
    content = head(0, 1, text(b"key") + struct.pack("<I", 8) + text(b"", 2**35))

    assert "a text of 34359738368 bytes" in fault_of(sparse(tmp_path, content))


def test_texts_that_are_gigabytes_together_are_refused(tmp_path: Path) -> None:
    entry = struct.pack("<I", 8) + text(b"", 2**26)
    path = sparse(tmp_path, head(0, 9))
    with path.open("r+b") as file:
        file.seek(24)
        for number in range(9):
            file.write(text(b"key%d" % number) + entry)
            file.seek(2**26, os.SEEK_CUR)

    assert "which is too long" in fault_of(path)


def test_more_texts_than_any_vocabulary_are_refused_at_once(tmp_path: Path) -> None:
    path = sparse(tmp_path, array(8, 2**32))

    assert f"more than {MAX_STRINGS} strings" in fault_of(path)


def test_a_long_array_is_passed_over_but_not_read_into_memory(tmp_path: Path) -> None:
    header = read_header(sparse(tmp_path, array(10, 2**32)))
    (values,) = header.metadata.values()

    assert isinstance(values, GgufArray)
    assert len(values) == 2**32
    with pytest.raises(BadGguf, match="an array of 34359738368 bytes is too big to hold"):
        read_array(header.path, values)


def test_a_thousand_short_arrays_do_not_add_up_in_memory(tmp_path: Path) -> None:
    entry = struct.pack("<IIQ", 9, 10, 1024) + bytes(1024 * 8)
    keys = b"".join(text(b"key%d" % number) + entry for number in range(2000))
    (tmp_path / "model.gguf").write_bytes(head(0, 2000, keys))
    tracemalloc.start()
    try:
        header = read_header(tmp_path / "model.gguf")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert header.array("key0") == (0,) * 1024
    assert header.array("key1999") is None
    assert peak < 10_000_000


def test_a_file_that_shrinks_after_its_header_was_read_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(a_gguf({"list": ["token"] * 5000}, {}))
    values = read_header(path).metadata["list"]
    assert isinstance(values, GgufArray)

    os.truncate(path, 1000)
    with pytest.raises(BadGguf, match="it is cut short"):
        read_array(path, values)
    path.unlink()
    with pytest.raises(BadGguf, match="no such file"):
        read_array(path, values)


# --- chance ---------------------------------------------------------------------------------------

SEED = a_gguf({**LLAMA, "list": ["a", "b"], "ints": [1, 2, 3], "general.alignment": 32})
HEADER_SIZE = 900
PLACES = st.integers(0, HEADER_SIZE)
PATCHES = st.one_of(
    st.binary(min_size=1, max_size=4),
    st.sampled_from([struct.pack("<Q", n) for n in (0, 1, 2**31, 2**32, 2**63, 2**64 - 1)]),
    st.integers(0, 2**64 - 1).map(lambda number: struct.pack("<Q", number)),
)


def check(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        header = read_header(path)
    except BadGguf as error:
        problem = error.message
    else:
        problem = ""
        ends = [header.data_offset + tensor.offset + tensor.size for tensor in header.tensors]
        assert max(ends, default=0) <= len(content)
    assert not set(problem) & set(map(chr, range(32)))
    assert problem.encode().decode() == problem


@given(patches=st.lists(st.tuples(PLACES, PATCHES), min_size=1, max_size=3))
def test_a_mutated_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, patches: list[tuple[int, bytes]]
) -> None:
    content = bytearray(SEED)
    for place, patch in patches:
        content[place : place + len(patch)] = patch

    check(tmp_path_factory.getbasetemp() / "mutated.gguf", bytes(content))


@given(start=PLACES, end=PLACES, insert=st.binary(max_size=9))
def test_a_file_with_bytes_lost_or_gained_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, start: int, end: int, insert: bytes
) -> None:
    content = SEED[:start] + insert + SEED[end:]

    check(tmp_path_factory.getbasetemp() / "shifted.gguf", content)


@given(st.binary(max_size=200))
def test_any_bytes_behind_the_magic_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, rest: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "random.gguf"

    check(path, b"GGUF\3\0\0\0" + rest)
