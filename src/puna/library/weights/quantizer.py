"""The child process that quantizes: reads tensors, writes them in new formats, in order.

Tensors are cut into bands of rows, which do not depend on each other: each thread has one in work,
and so much memory is used, however large a tensor is. Bands are written in order.
"""

import json
import math
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from puna.errors import Failed
from puna.library.weights.child import work_as_child
from puna.library.weights.native import Formats
from puna.text import one_line

_NUMBERS = 1 << 20
"""Numbers in a band: four megabytes as floats."""


@dataclass(frozen=True, slots=True)
class Band:
    """Some rows of a tensor: where they lie, and what becomes of them."""

    name: str
    offset: int
    size: int
    width: int
    old: int
    new: int
    padding: int = 0
    """How many zeros follow it."""


def bands(tensors: Iterable[dict[str, int | str]], formats: Formats, alignment: int) -> list[Band]:
    """Cut tensors into bands, in order; what a tensor needs to be aligned follows its last."""
    made = []
    for each in tensors:
        name, old, new = str(each["name"]), int(each["old"]), int(each["new"])
        width, rows, offset = int(each["width"]), int(each["rows"]), int(each["offset"])
        if width > _NUMBERS:  # blocks are powers of two: a part of a row is as good as a row
            part = math.gcd(width, _NUMBERS)
            width, rows = part, rows * (width // part)
        row_size = formats.row_size(old, width)
        some = max(1, _NUMBERS // width)
        written = rows * formats.row_size(new, width)
        padding = -written % alignment
        for first in range(0, rows, some):
            count = min(some, rows - first)
            is_last = first + count == rows
            start = offset + first * row_size
            size = count * row_size
            made.append(Band(name, start, size, width, old, new, padding if is_last else 0))
    return made


def converted(band: Band, file: int, formats: Formats) -> bytes:
    """Return a band in its new format. Raises `Failed` with the tensor's name."""
    rows = bytearray(band.size)
    if os.preadv(file, [rows], band.offset) != band.size:
        raise Failed(f"the file has become shorter: {one_line(band.name, 100)} is cut")
    if band.old == band.new:
        return bytes(rows) + bytes(band.padding)
    try:
        made = formats.convert(rows, band.old, band.new, band.width)
    except Failed as error:
        raise Failed(
            f"tensor {one_line(band.name, 100)} cannot be converted: {error.message}"
        ) from error
    return made + bytes(band.padding)


def in_order(
    some: Iterable[Band], file: int, formats: Formats, pool: ThreadPoolExecutor, ahead: int
) -> Iterator[bytes]:
    """Yield what becomes of each band, at most `ahead` of them begun and not yet taken."""
    begun: deque[Future[bytes]] = deque()
    for band in some:
        begun.append(pool.submit(converted, band, file, formats))
        if len(begun) > ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()


def main(output: BinaryIO) -> None:
    """Do the job that standard input holds."""
    job = json.loads(sys.stdin.buffer.read())
    formats = Formats()
    some = bands(job["tensors"], formats, job["alignment"])
    threads = int(job["threads"])
    with Path(job["path"]).open("rb") as file, ThreadPoolExecutor(threads) as pool:
        output.writelines(in_order(some, file.fileno(), formats, pool, threads + 1))
    output.flush()


if __name__ == "__main__":
    # Or llama.cpp starts a debugger to print its stack when an assertion fails.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")  # noqa: TID251 - for native code, not for puna
    work_as_child(main)
