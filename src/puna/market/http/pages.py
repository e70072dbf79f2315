"""Lists that a dialect gives whole: read from the database a page after another."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

_PAGE = 200


class Numbered(Protocol):
    """A row of a list that goes by id."""

    @property
    def id(self) -> str:
        """What the next page comes after."""
        ...


Row = TypeVar("Row", bound=Numbered)


async def every(page: Callable[[str, int], Awaitable[Sequence[Row]]]) -> list[Row]:
    """Return all rows; `page` takes what they come after and how many at most."""
    found: list[Row] = []
    while True:
        rows = await page(found[-1].id if found else "", _PAGE)
        found += rows
        if len(rows) < _PAGE:
            return found
