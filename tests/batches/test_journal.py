"""The journal of a batch: every row once, whatever a crash leaves of the last line."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings, strategies as st

from puna.node.batches.batch import Tokens
from puna.node.batches.journal import Entry, Journal


def an_entry(row: int, *, is_good: bool = True) -> Entry:
    return Entry(row, is_good=is_good, tokens=Tokens(1, 2, 3, 4), line=b'{"row": %d}' % row)


def copied(journal: Journal, *, good: bool) -> bytes:
    pieces: list[bytes] = []
    journal.copy(pieces.append, good=good)
    return b"".join(pieces)


@given(rows=st.permutations(range(8)), cut=st.integers(0, 300))
@settings(max_examples=40)
def test_after_a_crash_whole_lines_count_and_the_rest_is_done_again(
    rows: list[int], cut: int
) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "journal")
        first = Journal(path, 8)
        for row in rows:
            first.add(an_entry(row))
        first.close()
        whole = path.read_bytes()
        path.write_bytes(whole[:cut])
        again = Journal(path, 8)
        kept = [row for row in rows if again.is_done(row)]
        assert len(kept) == whole[:cut].count(b"\n") == again.tally.done
        for row in rows:
            again.add(an_entry(row))
        assert copied(again, good=True) == b"".join(b'{"row": %d}\n' % row for row in range(8))
        again.close()


def test_good_and_bad_rows_go_apart(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", 3)
    for row in (2, 0, 1):
        journal.add(an_entry(row, is_good=row != 1))
    told = copied(journal, good=True), copied(journal, good=False)
    journal.close()
    assert told == (b'{"row": 0}\n{"row": 2}\n', b'{"row": 1}\n')
    assert (journal.tally.completed, journal.tally.failed) == (2, 1)
    assert journal.tally.tokens == Tokens(3, 6, 9, 12)


def test_what_is_done_stays_as_it_is(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", 1)
    journal.add(an_entry(0))
    journal.add(Entry(0, is_good=False, tokens=Tokens(), line=b"other"))
    told = copied(journal, good=True), copied(journal, good=False)
    journal.close()
    assert told == (b'{"row": 0}\n', b"")
