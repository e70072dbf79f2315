"""Shards of a model become one file that reads as the whole."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from puna.library.gguf_merge import merged, merged_size
from puna.models.gguf import BadGguf, metadata_entries, read_header
from tests.builders import LLAMA, Typed, a_gguf_header

Tensors = Mapping[str, tuple[str, Sequence[int]]]
FIRST: Tensors = {"token_embd.weight": ("F32", (3, 3)), "output.weight": ("F32", (5,))}
SECOND: Tensors = {"blk.0.attn_q.weight": ("F32", (7,))}


def a_shard(number: int, tensors: Tensors, *, of: int = 2, promised: int = 3) -> bytes:
    """A shard whose numbers count up from ten times its own."""
    split = {
        "split.no": Typed("H", number),
        "split.count": Typed("H", of),
        "split.tensors.count": Typed("i", promised),
    }
    metadata = {**(LLAMA if number == 0 else {}), **split}
    content = b""
    for at, (_, shape) in enumerate(tensors.values()):
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        numbers = struct.pack(f"<{count}f", *[10 * number + at] * count)
        content += numbers + bytes(-len(numbers) % 32)
    return a_gguf_header(metadata, tensors) + content


def put(folder: Path, *shards: bytes) -> list[Path]:
    paths = [folder / f"shard-{number}" for number in range(len(shards))]
    for path, content in zip(paths, shards, strict=True):
        path.write_bytes(content)
    return paths


def test_the_whole_has_all_tensors_with_their_numbers(tmp_path: Path) -> None:
    paths = put(tmp_path, a_shard(0, FIRST), a_shard(1, SECOND))
    whole = tmp_path / "whole.gguf"
    whole.write_bytes(b"".join(merged(paths)))
    header = read_header(whole)
    assert [tensor.name for tensor in header.tensors] == [*FIRST, *SECOND]
    raw = whole.read_bytes()
    found = [
        struct.unpack_from("<f", raw, header.data_offset + tensor.offset)[0]
        for tensor in header.tensors
    ]
    assert found == [0, 1, 10]
    assert whole.stat().st_size <= merged_size(paths)


def test_the_metadata_is_the_first_shard_s_without_the_split(tmp_path: Path) -> None:
    paths = put(tmp_path, a_shard(0, FIRST), a_shard(1, SECOND))
    whole = tmp_path / "whole.gguf"
    whole.write_bytes(b"".join(merged(paths)))
    first = metadata_entries(paths[0])
    kept = {key: raw for key, raw in first.items() if not key.startswith("split.")}
    assert metadata_entries(whole) == kept
    assert set(kept) == set(LLAMA)


@pytest.mark.parametrize(
    "shards",
    [
        (a_shard(1, SECOND), a_shard(0, FIRST)),
        (a_shard(0, FIRST),),
        (a_shard(0, FIRST), a_shard(1, FIRST)),
        (a_shard(0, FIRST, promised=4), a_shard(1, SECOND)),
        (a_shard(0, FIRST), a_shard(1, SECOND, of=3)),
        (a_shard(0, FIRST), b"GGUF"),
    ],
    ids=["order", "missing", "twice", "too few", "another count", "cut short"],
)
def test_what_is_no_whole_is_refused(tmp_path: Path, shards: tuple[bytes, ...]) -> None:
    with pytest.raises(BadGguf):
        list(merged(put(tmp_path, *shards)))
