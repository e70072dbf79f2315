"""What a node answers, read from JSON into values, for programs that call it.

The node may be puna, an older puna or Ollama itself, so a missing field reads as empty instead of
failing. Nothing here imports pydantic, which would cost every command a tenth of a second; and
since each dataclass costs a millisecond at every start, these rows are named tuples, and what only
some commands need has its own file.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from puna.units import Size


class Fields:
    """A JSON object that reads a missing or oddly typed field as empty."""

    def __init__(self, value: object) -> None:
        self.values: Mapping[str, object] = value if isinstance(value, dict) else {}

    def text(self, name: str) -> str:
        """Return a text, empty if it is none."""
        value = self.values.get(name)
        return value if isinstance(value, str) else ""

    def whole(self, name: str) -> int:
        """Return a whole number, 0 if it is none."""
        value = self.values.get(name)
        return int(value) if isinstance(value, int | float) and value == value else 0  # noqa: PLR0124 - not NaN

    def flag(self, name: str) -> bool:
        """Return whether the field is true."""
        return self.values.get(name) is True

    def moment(self, name: str) -> datetime | None:
        """Return a time of day; Go's zero time, and what is no time, is none."""
        try:
            moment = datetime.fromisoformat(self.text(name))
        except ValueError:
            return None
        return moment if moment.year > 1 and moment.tzinfo is not None else None

    def fields(self, name: str) -> "Fields":
        """Return the object in a field, an empty one if there is none."""
        return Fields(self.values.get(name))

    def each(self, name: str) -> Iterator["Fields"]:
        """Yield the objects of a list."""
        value = self.values.get(name)
        return (Fields(item) for item in (value if isinstance(value, list) else ()))

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the texts of a list."""
        value = self.values.get(name)
        return tuple(
            item for item in (value if isinstance(value, list) else ()) if isinstance(item, str)
        )

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return the numbers of a list, empty if it is none."""
        value = self.values.get(name)
        return tuple(value) if isinstance(value, list) else ()

    def rows(self, name: str) -> tuple[tuple[float, ...], ...]:
        """Return the lists of numbers in a list."""
        value = self.values.get(name)
        rows = value if isinstance(value, list) else []
        return tuple(tuple(row) for row in rows if isinstance(row, list))


class NodeVersion(NamedTuple):
    """Which program answers: `puna` is its own version, empty if it is Ollama."""

    version: str
    puna: str


class ModelEntry(NamedTuple):
    """One line of `puna list`."""

    name: str
    digest: str
    size: Size
    modified_at: datetime | None
    is_remote: bool = False

    @classmethod
    def of(cls, entry: Fields) -> "ModelEntry":
        """Read one entry of `/api/tags`."""
        return cls(
            name=entry.text("name") or entry.text("model"),
            digest=entry.text("digest").removeprefix("sha256:"),
            size=Size(entry.whole("size")),
            modified_at=entry.moment("modified_at"),
            is_remote=bool(entry.text("remote_model")),
        )


class RunningModel(NamedTuple):
    """One line of `puna ps`. `processor` and `slots` are puna's own and empty from Ollama."""

    name: str
    digest: str
    size: Size
    on_cards: Size
    expires_at: datetime | None
    context: int
    processor: str = ""
    slots: int = 0

    @classmethod
    def of(cls, entry: Fields) -> "RunningModel":
        """Read one entry of `/api/ps`."""
        return cls(
            name=entry.text("name") or entry.text("model"),
            digest=entry.text("digest").removeprefix("sha256:"),
            size=Size(entry.whole("size")),
            on_cards=Size(entry.whole("size_vram")),
            expires_at=entry.moment("expires_at"),
            context=entry.whole("context_length"),
            processor=entry.text("processor"),
            slots=entry.whole("slots"),
        )
