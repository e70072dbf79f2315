"""What kinds of values the columns of a text format hold."""

import pytest

from puna.batch.kinds import ColumnKind, Kinds
from puna.batch.records import RecordChunk


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a", "b"], ColumnKind.TEXT),
        ([1, 2], ColumnKind.WHOLE),
        ([1, 2.5], ColumnKind.NUMBER),
        ([True, False], ColumnKind.FLAG),
        ([1, True], ColumnKind.JSON),
        (["a", 1], ColumnKind.JSON),
        ([[1], [2]], ColumnKind.JSON),
        ([None, None], ColumnKind.NOTHING),
        ([None, 1, None], ColumnKind.WHOLE),
        ([2**63], ColumnKind.JSON),
        ([-(2**63)], ColumnKind.WHOLE),
    ],
    ids=str,
)
def test_a_column_has_the_kind_that_holds_all_its_values(
    values: list[object], kind: ColumnKind
) -> None:
    kinds = Kinds(())
    kinds.look_at(RecordChunk(1, tuple({"a": value} for value in values)))
    assert kinds.found() == {"a": kind.value}


def test_columns_stand_in_the_order_in_which_they_appeared() -> None:
    kinds = Kinds(("b",))
    kinds.look_at(RecordChunk(1, ({"a": 1}, {"c": 1, "b": 2})))
    assert kinds.columns == ("b", "a", "c")
