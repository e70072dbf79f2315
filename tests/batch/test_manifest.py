"""The manifest: it comes back as it was written, and tells what has changed."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from puna.batch.formats import Format
from puna.batch.intake import Intake
from puna.batch.manifest import (
    ChangedJob,
    DamagedJob,
    Manifest,
    Order,
    changes,
    identity_changes,
    plain_order,
    read_manifest,
    read_order,
    refuse_changes,
)
from puna.batch.reading import Reading
from puna.batch.spec import EmbedTask, Label, LabelTask, PromptTask, SchemaTask, Spec
from tests.batch.stage import ANIMAL_OR_PLANT, IDENTITY, a_spec

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
TASKS = st.one_of(
    st.builds(
        LabelTask,
        labels=st.lists(st.builds(Label, NAMES, NAMES), min_size=2, max_size=4).map(tuple),
        multi=st.booleans(),
        abstain_below=st.floats(0, 1),
        instruction=NAMES,
    ),
    st.builds(PromptTask, system=NAMES, temperature=st.floats(0, 2), max_tokens=st.integers(1)),
    st.builds(SchemaTask, schema=NAMES, system=NAMES),
    st.builds(EmbedTask, dimensions=st.none() | st.integers(1)),
)
READINGS = st.builds(
    Reading,
    format=st.none() | st.sampled_from(Format),
    delimiter=NAMES,
    has_header=st.booleans(),
    limit=st.none() | st.integers(1),
)
SPECS = st.builds(
    Spec, model=NAMES, task=TASKS, column=NAMES, seed=st.integers(), context=st.none()
)
ORDERS = st.builds(
    Order, inputs=st.lists(NAMES).map(tuple), output=NAMES, spec=SPECS, reading=READINGS
)


def a_manifest(order: Order | None = None, **values: object) -> Manifest:
    found = Manifest(
        order=order or Order(inputs=("/in.csv",), output="/out.csv", spec=a_spec()),
        files=("/in.csv",),
        input_digest="0" * 64,
        intake=Intake(100, 60, 3, ("id", "text"), {"id": "text", "text": "text"}),
        identity=IDENTITY,
        shard_rows=16,
        batch_rows=8,
        puna="0.1",
        begun="2026-08-01T12:00:00+00:00",
    )
    return replace(found, **values)  # type: ignore[arg-type]


@given(ORDERS)
def test_an_order_comes_back(order: Order) -> None:
    assert read_order(plain_order(order)) == order


@given(ORDERS)
def test_a_manifest_comes_back(order: Order) -> None:
    manifest = a_manifest(order)
    found = read_manifest(manifest.to_json(), Path("manifest.json"))
    assert found == manifest
    assert found.digest == manifest.digest


@pytest.mark.parametrize(("distinct", "shards"), [(0, 0), (1, 1), (16, 1), (17, 2), (60, 4)])
def test_shards_cover_all_rows(distinct: int, shards: int) -> None:
    intake = Intake(100, distinct, 0, ())
    assert a_manifest(intake=intake).shards == shards


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"version": 1}', b'{"version": 1, "x": 1}']
)
def test_a_damaged_manifest_is_said(content: bytes) -> None:
    with pytest.raises(DamagedJob, match=r"manifest.json is damaged") as caught:
        read_manifest(content, Path("manifest.json"))
    assert "--anew" in caught.value.hint


def test_a_manifest_of_another_version_is_said() -> None:
    with pytest.raises(DamagedJob, match="another version of puna"):
        read_manifest(b'{"version": 99}', Path("manifest.json"))


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (ANIMAL_OR_PLANT, ()),
        (replace(ANIMAL_OR_PLANT, multi=True), ("multi (was False, is True)",)),
        (replace(ANIMAL_OR_PLANT, labels=(Label("a"), Label("b"))), ("the labels",)),
        (replace(ANIMAL_OR_PLANT, abstain_below=0.5), ("abstain below (was 0.0, is 0.5)",)),
        (replace(ANIMAL_OR_PLANT, instruction="x" * 99), ("the instruction",)),
        (EmbedTask(), ("task (was labels, is embed)",)),
    ],
    ids=str,
)
def test_changes_of_the_task_are_named(task: object, words: tuple[str, ...]) -> None:
    manifest = a_manifest()
    order = replace(manifest.order, spec=replace(manifest.order.spec, task=task))  # type: ignore[arg-type]
    assert changes(manifest, order, manifest.input_digest) == words


def test_several_changes_are_named_together() -> None:
    manifest = a_manifest()
    spec = replace(manifest.order.spec, model="other", template="{{ text }}")
    order = replace(manifest.order, spec=spec)
    found = changes(manifest, order, "1" * 64)
    assert found == (
        "the input",
        "model (was m, is other)",
        "template (was not set, is {{ text }})",
    )
    with pytest.raises(ChangedJob, match="the input; model"):
        refuse_changes(found, "/out.csv")


def test_other_words_around_a_row_are_a_change() -> None:
    manifest = a_manifest(wording=0)
    found = changes(manifest, manifest.order, manifest.input_digest)
    assert found == ("puna's words around a row",)


def test_why_a_way_of_computing_was_chosen_is_no_change() -> None:
    assert identity_changes(IDENTITY, replace(IDENTITY, reason="it is another day")) == ()
