"""Blobs that arrive in parts: what is on disk, and what a next process makes of it."""

import json
import os
from pathlib import Path

import pytest

from puna.library.blobs import Blobs, DigestMismatch
from puna.library.partial import Partial, arrived, try_open
from puna.models.digest import digest_of
from puna.models.manifest import Layer, MediaType
from puna.units import Size
from tests.stores import blob_name, blob_names

CONTENT = os.urandom(5000)
LAYER = Layer(MediaType.MODEL, digest_of(CONTENT), Size(len(CONTENT)))
PART = 2000


@pytest.fixture
def blobs(tmp_path: Path) -> Blobs:
    return Blobs(tmp_path / "blobs")


def opened(blobs: Blobs) -> Partial:
    partial = try_open(blobs, LAYER)
    assert partial is not None
    partial.plan(PART)
    return partial


def fill(partial: Partial, *numbers: int) -> None:
    for part in partial.parts:
        if part.number in numbers:
            partial.write(part, [CONTENT[part.next : part.end]])


def state_of(blobs: Blobs, number: int) -> dict[str, int]:
    text = (blobs.folder / f"{blob_name(CONTENT)}-partial-{number}").read_text()
    state: dict[str, int] = json.loads(text)
    return state


def write_state(blobs: Blobs, number: int, offset: int, size: int, completed: int) -> None:
    """Write the state of a part as Ollama does."""
    state = {"N": number, "Offset": offset, "Size": size, "Completed": completed}
    path = blobs.folder / f"{blob_name(CONTENT)}-partial-{number}"
    path.write_text(json.dumps(state, separators=(",", ":")) + "\n")


def test_parts_cover_the_blob(blobs: Blobs) -> None:
    partial = opened(blobs)
    assert [(part.begin, part.end) for part in partial.parts] == [
        (0, 2000),
        (2000, 4000),
        (4000, 5000),
    ]
    partial.close()


def test_parts_in_any_order_make_the_blob(blobs: Blobs) -> None:
    partial = opened(blobs)
    for number in (2, 0, 1):
        fill(partial, number)
        partial.hash_arrived()
    partial.commit()
    partial.close()
    assert blob_names(blobs.folder.parent) == {blob_name(CONTENT)}
    assert blobs.path(LAYER.digest).read_bytes() == CONTENT
    assert blobs.path(LAYER.digest).stat().st_mode & 0o777 == 0o644


def test_the_next_process_goes_on_where_the_last_was(blobs: Blobs) -> None:
    partial = opened(blobs)
    fill(partial, 1)
    partial.write(partial.parts[0], [CONTENT[:700]])
    partial.close()
    again = opened(blobs)
    assert [part.completed for part in again.parts] == [700, 2000, 0]
    assert again.completed == arrived(blobs, LAYER) == 2700
    fill(again, 0, 2)
    again.commit()
    again.close()
    assert blobs.path(LAYER.digest).read_bytes() == CONTENT


def test_a_state_is_written_as_ollama_writes_it(blobs: Blobs) -> None:
    partial = opened(blobs)
    partial.write(partial.parts[1], [CONTENT[2000:2500]])
    assert state_of(blobs, 1) == {"N": 1, "Offset": 2000, "Size": 2000, "Completed": 500}
    partial.close()


def test_what_ollama_began_is_taken_up(blobs: Blobs) -> None:
    blobs.folder.mkdir()
    (blobs.folder / f"{blob_name(CONTENT)}-partial").write_bytes(CONTENT)
    write_state(blobs, 0, 0, 3000, 3000)
    write_state(blobs, 1, 3000, 2000, 100)
    partial = opened(blobs)
    assert [(part.begin, part.next, part.end) for part in partial.parts] == [
        (0, 3000, 3000),
        (3000, 3100, 5000),
    ]
    partial.close()


@pytest.mark.parametrize(
    "states",
    [
        [(0, 0, 3000, 3000), (1, 2000, 3000, 10)],
        [(0, 0, 3000, 4000)],
        [(0, 0, 9000, 100)],
        [(0, 0, 0, 0)],
        [(0, 4999, 2, 0)],
    ],
    ids=["overlap", "too much", "too long", "empty", "beyond the end"],
)
def test_states_that_make_no_sense_are_not_believed(
    blobs: Blobs, states: list[tuple[int, int, int, int]]
) -> None:
    blobs.folder.mkdir()
    (blobs.folder / f"{blob_name(CONTENT)}-partial").write_bytes(CONTENT)
    for state in states:
        write_state(blobs, *state)
    partial = opened(blobs)
    assert partial.completed == 0
    assert not partial.was_begun
    partial.close()


def test_a_missing_state_costs_its_own_part_only(blobs: Blobs) -> None:
    partial = opened(blobs)
    fill(partial, 0, 1, 2)
    partial.close()
    (blobs.folder / f"{blob_name(CONTENT)}-partial-1").write_text("{")
    again = opened(blobs)
    assert sorted(part.completed for part in again.parts) == [0, 1000, 2000]
    again.close()


def test_a_file_of_another_length_starts_anew(blobs: Blobs) -> None:
    partial = opened(blobs)
    fill(partial, 0)
    partial.close()
    os.truncate(blobs.folder / f"{blob_name(CONTENT)}-partial", 100)
    again = opened(blobs)
    assert again.completed == 0
    again.close()


def test_other_content_leaves_nothing(blobs: Blobs) -> None:
    partial = opened(blobs)
    for part in partial.parts:
        partial.write(part, [bytes(part.size)])
    with pytest.raises(DigestMismatch):
        partial.commit()
    partial.close()
    assert blob_names(blobs.folder.parent) == set()


def test_of_two_who_fetch_one_blob_one_does(blobs: Blobs) -> None:
    partial = opened(blobs)
    assert try_open(blobs, LAYER) is None
    partial.close()
    again = try_open(blobs, LAYER)
    assert again is not None
    again.close()


def test_more_than_the_part_is_not_written(blobs: Blobs) -> None:
    partial = opened(blobs)
    partial.write(partial.parts[0], [bytes(1500), bytes(1500)])
    assert partial.parts[0].is_whole
    assert os.pread(partial._fd, 10, 2000) == bytes(10)
    assert partial.completed == 2000
    partial.close()


def test_an_empty_blob_is_a_blob(blobs: Blobs) -> None:
    layer = Layer(MediaType.LICENSE, digest_of(b""), Size(0))
    partial = try_open(blobs, layer)
    assert partial is not None
    partial.plan(PART)
    partial.commit()
    partial.close()
    assert blobs.size(layer.digest) == 0
