"""Ids in paths, and lists that are read in pages and given whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from pydantic import TypeAdapter

from puna.market.http.ids import Id, NoSuchThing
from puna.market.http.pages import every

READER: TypeAdapter[str] = TypeAdapter(Id)


@pytest.mark.parametrize("text", ["k3v9q1zt7m2abc", "a", "A-b_c.d:1", "x" * 128])
def test_what_may_be_an_id_is_looked_up(text: str) -> None:
    assert READER.validate_python(text) == text


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "a/b", "a\0", "é", "x" * 129, "'; drop table pods", "a\nb", "\ud800"]
)
def test_what_cannot_be_an_id_is_not_there(text: str) -> None:
    with pytest.raises((NoSuchThing, ValueError)) as refused:
        READER.validate_python(text)
    assert "\n" not in str(refused.value).partition("[")[0].rstrip("\n")[:64]


@dataclass(frozen=True)
class Row:
    """A row of a list."""

    id: str


@dataclass
class Shelf:
    """A list in a database, which notes how it was asked."""

    rows: int
    asked: list[str] = field(default_factory=list)

    async def page(self, after: str, limit: int) -> Sequence[Row]:
        self.asked.append(after)
        first = int(after) + 1 if after else 0
        return [Row(f"{each:05}") for each in range(first, min(self.rows, first + limit))]


@pytest.mark.parametrize(
    ("rows", "pages"), [(0, 1), (1, 1), (199, 1), (200, 2), (201, 2), (650, 4)]
)
async def test_a_list_is_read_to_its_end_in_pages(rows: int, pages: int) -> None:
    shelf = Shelf(rows)
    found = await every(shelf.page)
    assert [int(each.id) for each in found] == list(range(rows))
    assert len(shelf.asked) == pages


async def test_each_page_begins_after_the_last_row_of_the_one_before() -> None:
    shelf = Shelf(450)
    await every(shelf.page)
    assert shelf.asked == ["", "00199", "00399"]
