"""Many strings on disk, read by number."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings, strategies as st

from puna.batch.strings import Strings, StringsWriter, pack_strings


def written(path: Path, *groups: list[bytes]) -> Strings:
    writer = StringsWriter(path)
    for group in groups:
        writer.extend(pack_strings(group))
    writer.finish()
    return Strings(path)


@settings(max_examples=30)
@given(st.lists(st.lists(st.binary(max_size=9), max_size=5), max_size=5), st.data())
def test_every_string_comes_back_by_its_number(
    groups: list[list[bytes]], data: st.DataObject
) -> None:
    whole = [each for group in groups for each in group]
    first = data.draw(st.integers(0, len(whole)))
    count = data.draw(st.integers(0, len(whole) + 2))
    numbers = data.draw(st.lists(st.integers(0, max(0, len(whole) - 1)), max_size=6))
    with TemporaryDirectory() as folder, written(Path(folder, "s"), *groups) as strings:
        assert len(strings) == len(whole)
        assert strings.stretch(first, count) == whole[first : first + count]
        if whole:
            found = strings.gather(np.array(numbers, np.int64))
            assert list(found) == [whole[number] for number in numbers]
            assert found.lengths.tolist() == [len(whole[number]) for number in numbers]


def test_a_negative_number_is_no_string(tmp_path: Path) -> None:
    with written(tmp_path / "s", [b"a", b"b"]) as strings:
        assert list(strings.gather(np.array([-1, 1, -1]))) == [b"", b"b", b""]
