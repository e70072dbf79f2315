"""Sorting more rows than memory holds: the order is that of all rows at once."""

import random
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from puna.batch import sorting
from puna.batch.numbering import BAD_ROW, RowNumbers
from puna.batch.sorting import RowSorter

TEXT = st.text(st.sampled_from("ab é\U0001f600"), max_size=3)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few rows fill a block, so that small lists have many."""
    monkeypatch.setattr(sorting, "_BLOCK", 200)
    monkeypatch.setattr(sorting, "_SAMPLES", 64)


def through(
    folder: Path, texts: list[str], *, sorts: bool = True, step: int = 5
) -> list[tuple[int, str]]:
    """Give rows in chunks, and return them as they come back."""
    with RowSorter(folder / "rows", sorts=sorts) as sorter:
        for first in range(0, len(texts), step):
            some = texts[first : first + step]
            sorter.add(np.arange(first, first + len(some)), pa.array(some, pa.large_string()))
        found = [
            (row, text)
            for batch in sorter.in_order()
            for row, text in zip(*map(list, batch.to_pydict().values()), strict=True)
        ]
    assert list(folder.iterdir()) == []
    return found


@settings(max_examples=40)
@given(st.lists(TEXT, max_size=120))
def test_rows_come_back_in_the_order_of_their_bytes(texts: list[str]) -> None:
    with TemporaryDirectory() as folder:
        found = through(Path(folder), texts)
    assert [text for _, text in found] == sorted(texts, key=str.encode)
    assert sorted(row for row, _ in found) == list(range(len(texts)))
    assert all(texts[row] == text for row, text in found)


def test_a_text_that_most_rows_have_is_no_burden(tmp_path: Path) -> None:
    dice = random.Random(1)  # noqa: S311 - chance that repeats
    texts = [dice.choice(["b"] * 9 + ["a", "c", "bb"]) for _ in range(2000)]
    found = [text for _, text in through(tmp_path, texts)]
    assert found == sorted(texts)


def test_no_stretch_is_much_larger_than_a_block(tmp_path: Path) -> None:
    texts = [f"{n * 7919 % 3000:04}" for n in range(3000)]
    with RowSorter(tmp_path / "rows", sorts=True) as sorter:
        for first in range(0, 3000, 10):
            some = pa.array(texts[first : first + 10], pa.large_string())
            sorter.add(np.arange(first, first + 10), some)
        sizes = [len(batch) for batch in sorter.in_order()]
    assert sum(sizes) == 3000
    assert max(sizes) < 150


def test_stretches_stay_small_where_all_blocks_are_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sorting, "_BLOCK", 200 * (16 + 5))
    monkeypatch.setattr(sorting, "_GROWTH", 1)
    with RowSorter(tmp_path / "rows", sorts=True) as sorter:
        for block in range(100):
            some = pa.array([f"{n * 100 + block:05}" for n in range(200)], pa.large_string())
            sorter.add(np.arange(200), some)
        sizes = [len(batch) for batch in sorter.in_order()]
    assert (sum(sizes), max(sizes) < 300) == (20_000, True)


def test_rows_that_are_not_sorted_come_as_they_were(tmp_path: Path) -> None:
    texts = [f"{n * 7 % 50}" for n in range(50)]
    assert through(tmp_path, texts, sorts=False) == list(enumerate(texts))


def test_no_rows_are_none(tmp_path: Path) -> None:
    assert through(tmp_path, []) == []


def test_long_texts_have_blocks_of_their_own(tmp_path: Path) -> None:
    texts = ["c" * 5000, "a" * 9000, "", "b" * 300]
    assert [row for row, _ in through(tmp_path, texts, step=1)] == [2, 1, 3, 0]


@pytest.mark.parametrize("span", [3, 7, 1000])
def test_numbers_are_written_in_the_order_of_the_rows(
    tmp_path: Path, span: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("puna.batch.numbering._SPAN", span)
    dice = random.Random(span)  # noqa: S311 - chance that repeats
    rows = [row for row in range(50) if row % 6]
    dice.shuffle(rows)
    numbers = RowNumbers(tmp_path / "piles", 50)
    for first in range(0, len(rows), 8):
        some = np.array(rows[first : first + 8], np.int64)
        numbers.give(some, some * 10)
    found = np.concatenate(list(numbers.in_order()))
    numbers.close()
    assert found.tolist() == [row * 10 if row % 6 else BAD_ROW for row in range(50)]
    assert list(tmp_path.iterdir()) == []
