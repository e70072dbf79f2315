"""Lists in pages, as OpenAI's clients turn them: so many after one that they know."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from fastapi import Request

from puna.errors import Invalid
from puna.text import one_line

Item = TypeVar("Item")
_ASCENDING, _DESCENDING = "asc", "desc"


@dataclass(frozen=True, slots=True)
class PageWish:
    """Which part of a list is asked for."""

    limit: int
    after: str = ""
    is_ascending: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list."""

    items: Sequence[Item]
    has_more: bool


def read_page(request: Request, *, usual: int, most: int) -> PageWish:
    """Read `limit`, `after` and `order` of a query. Raises `Invalid`."""
    query = request.query_params
    text = query.get("limit", str(usual))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < len(str(most)) + 1 else 0
    if not 1 <= limit <= most:
        raise Invalid(f"limit must be a whole number from 1 to {most}, not {one_line(text, 20)}")
    order = query.get("order", _DESCENDING)
    if order not in {_ASCENDING, _DESCENDING}:
        raise Invalid(f"order must be asc or desc, not {one_line(order, 20)}")
    return PageWish(limit, query.get("after", ""), order == _ASCENDING)


def page_of(
    oldest_first: Sequence[Item], wish: PageWish, id_of: Callable[[Item], str]
) -> Page[Item]:
    """Return the part that is asked for. Raises `Invalid` if nothing has the id `after`."""
    items = list(oldest_first if wish.is_ascending else reversed(oldest_first))
    if wish.after:
        place = next((n for n, each in enumerate(items) if id_of(each) == wish.after), None)
        if place is None:
            raise Invalid(f"after names nothing in this list: {one_line(wish.after, 80)}")
        items = items[place + 1 :]
    return Page(items[: wish.limit], len(items) > wish.limit)
