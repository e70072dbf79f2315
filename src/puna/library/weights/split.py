"""Split models: which parts belong together, and the one file that they become in the store.

A part says in its metadata which of how many it is. llama.cpp loads parts only side by side under
names of their own (`model-00002-of-00003.gguf`), which blobs do not have; so they are put together.
"""

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass

from puna.errors import Invalid
from puna.library.draft import Draft
from puna.library.gguf_merge import merged, merged_size
from puna.library.weights.made import NO_DIGEST, Made
from puna.models.gguf import GgufHeader
from puna.models.gguf_check import BadGguf
from puna.progress import Progress, Transfer
from puna.text import one_line
from puna.units import Size

_NAME = re.compile(r"(?P<start>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


class PartMissing(Invalid):
    """A split model is not whole."""

    code = "part_missing"


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a split model."""

    name: str
    header: GgufHeader

    @property
    def number(self) -> int:
        """Which part it is, from 0. Raises `BadGguf`."""
        number = self.header.integer("split.no")
        if number is None or not 0 <= number < self.count:
            raise BadGguf(f"{one_line(self.name, 100)} does not say which part of a model it is")
        return number

    @property
    def count(self) -> int:
        """How many parts the model has."""
        return self.header.integer("split.count") or 1


def is_part(header: GgufHeader) -> bool:
    """Tell whether a file is one of several that make a model."""
    return (header.integer("split.count") or 1) > 1


def names_beside(name: str) -> tuple[str, ...]:
    """Return the names of all parts of the split model that a file name belongs to, if any."""
    found = _NAME.fullmatch(name)
    if found is None:
        return ()
    start, count = found["start"], int(found["count"])
    return tuple(f"{start}-{number:05}-of-{count:05}.gguf" for number in range(1, count + 1))


def models_of(parts: Sequence[Part]) -> Iterator[tuple[Part, ...]]:
    """Yield the parts of each model, in order. Raises `PartMissing`, and `BadGguf` for a double."""
    groups: dict[tuple[str, int], dict[int, Part]] = {}
    for part in parts:
        found = _NAME.fullmatch(part.name)
        group = groups.setdefault((found["start"] if found else "", part.count), {})
        if part.number in group:
            raise BadGguf(f"{one_line(part.name, 100)} is part {part.number + 1}, which is there")
        group[part.number] = part
    for (_, count), group in groups.items():
        _check_whole(group, count)
        yield tuple(group[number] for number in range(count))


def _check_whole(group: Mapping[int, Part], count: int) -> None:
    missing = next((number for number in range(count) if number not in group), None)
    if missing is None:
        return
    some = next(iter(group.values())).name
    names = names_beside(some)
    is_named = len(names) == count
    what = names[missing] if is_named else f"part {missing + 1} of {count} beside {some}"
    raise PartMissing(
        f"{one_line(what, 120)} is missing: a split model needs all its {count} parts",
        hint="put all of them into one folder, and name the folder or the first part in FROM",
    )


def put_together(parts: Sequence[Part], draft: Draft) -> Generator[Progress, None, Made]:
    """Make one blob of the parts, and return it. Blocks. Raises `BadGguf`, `StoreFull`."""
    paths = [part.header.path for part in parts]
    total, done = merged_size(paths), 0
    draft.ensure_room(total)
    with draft.build() as incoming:
        for chunk in merged(paths):
            incoming.write(chunk)
            done += len(chunk)
            told = Size(min(done, total))
            yield Transfer(f"putting {len(parts)} parts together", NO_DIGEST, total, told)
    return Made(incoming.digest, incoming.size)
