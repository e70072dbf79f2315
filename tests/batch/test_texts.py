"""From a row to the text that the model is asked about."""

import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from puna.batch.parquet_rows import to_python
from puna.batch.records import ArrowChunk, BadRow, RecordChunk
from puna.batch.spec import EmbedTask, PromptTask
from puna.batch.templates import LONGEST_TEXT, BadTemplate, NoSuchColumn
from puna.batch.texts import Texts, choose_column, tidy
from tests.batch.stage import a_spec

TEXT = st.text(st.sampled_from("ab  \t\n\x1f\x7fé\u0301\u00a0"), max_size=5)


def texts_of(*records: dict[str, object], **spec: object) -> list[object]:
    columns = tuple(dict.fromkeys(name for record in records for name in record))
    found = Texts(a_spec(**spec), columns).of(RecordChunk(1, records))
    return [each.reason if isinstance(each, BadRow) else each for each in found]


@pytest.mark.parametrize(
    ("text", "tidied"),
    [
        ("  red\t shoes \n", "red shoes"),
        ("cafe\u0301", "caf\u00e9"),
        ("a\u00a0b\u3000c", "a b c"),
        ("Straße", "Straße"),
        ("\u212b", "\u00c5"),
        ("", ""),
    ],
    ids=ascii,
)
def test_texts_of_labels_are_tidied(text: str, tidied: str) -> None:
    assert tidy(text) == tidied
    assert tidy(tidied) == tidied


def test_other_tasks_take_a_text_as_it_is() -> None:
    assert texts_of({"text": " a  b\n"}, task=EmbedTask()) == [" a  b\n"]


def test_a_text_can_be_no_text() -> None:
    assert texts_of({"text": 5}, {"text": True}, {"text": ["a"]}) == ["5", "true", '["a"]']


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "it is empty"),
        (None, "it is empty"),
        (" \t\u00a0", "it is empty"),
        ("x" * (LONGEST_TEXT + 1), "it has 1000001 characters, at most 1000000 are taken"),
        ("\ud800", "it has half of a surrogate pair, which is no character"),
    ],
    ids=["empty", "none", "blank", "huge", "surrogate"],
)
@pytest.mark.parametrize("task", [None, EmbedTask()], ids=["labels", "embed"])
def test_rows_that_say_nothing_are_bad(value: object, reason: str, task: EmbedTask | None) -> None:
    spec = {"task": task} if task else {}
    assert texts_of({"text": value}, {"text": "good"}, **spec) == [reason, "good"]


def test_a_template_is_filled_with_the_columns() -> None:
    found = texts_of(
        {"name": "Ada", "my age": 36},
        task=PromptTask(),
        template="{{ name|upper }} is {{ row['my age'] }}\n",
    )
    assert found == ["ADA is 36\n"]


@pytest.mark.parametrize("template", ["Say {{ a }}{{ b }}", "Say {{ row['a'] }}"])
def test_a_row_that_is_empty_where_the_template_looks_is_bad(template: str) -> None:
    rows: list[dict[str, object]] = [
        {"a": " ", "b": None},
        {"a": "x", "b": ""},
        {"a": 0, "b": ""},
    ]
    found = texts_of(*rows, task=PromptTask(), template=template)
    assert found[0] == "it is empty"
    assert [str(each).startswith("Say") for each in found[1:]] == [True, True]


def test_a_template_that_fails_for_a_row_makes_that_row_bad() -> None:
    found = texts_of({"n": 2}, {"n": 0}, task=PromptTask(), template="{{ 1 / n }}")
    assert found == ["0.5", "the template cannot be filled: division by zero"]


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ name.__init__.__globals__ }}",
        "{{ row.update({'a': 1}) }}",
        "{{ row['nope'] }}",
    ],
)
def test_a_template_cannot_leave_its_row(template: str) -> None:
    (found,) = texts_of({"name": "x"}, task=PromptTask(), template=template)
    assert str(found).startswith("the template cannot be filled") or found == "it is empty"


@pytest.mark.parametrize(
    ("template", "error", "words"),
    [
        ("{{ nope }}", NoSuchColumn, 'names "nope"'),
        ("{{ range(10) }}", NoSuchColumn, 'names "range"'),
        ("{{ open", BadTemplate, "cannot be read"),
        ("{% for %}", BadTemplate, "cannot be read"),
    ],
)
def test_a_template_that_cannot_be_right_is_refused_at_once(
    template: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        texts_of({"name": "x"}, task=PromptTask(), template=template)


@pytest.mark.parametrize(
    ("wanted", "columns", "found"),
    [
        ("b", ("a", "b"), "b"),
        ("", ("a",), "a"),
        ("", ("id", "keyword"), "keyword"),
        ("", ("prompt", "text"), "text"),
    ],
)
def test_the_column_is_the_one_that_can_be_meant(
    wanted: str, columns: tuple[str, ...], found: str
) -> None:
    assert choose_column(wanted, columns) == found


@pytest.mark.parametrize(("wanted", "columns"), [("c", ("a", "b")), ("", ("a", "b"))])
def test_a_column_that_cannot_be_known_is_asked_for(wanted: str, columns: tuple[str, ...]) -> None:
    with pytest.raises(NoSuchColumn) as caught:
        choose_column(wanted, columns)
    assert "its columns: a, b" in caught.value.hint


def test_only_the_columns_that_are_needed_are_asked_for() -> None:
    columns = ("a", "b", "c")
    assert Texts(a_spec(column="b"), columns).needed == ("b",)
    assert Texts(a_spec(template="{{ a }} {{ c }}"), columns).needed == ("a", "c")
    assert Texts(a_spec(template="{{ row.a }}"), columns).needed is None


@settings(max_examples=60)
@given(st.lists(st.one_of(st.none(), TEXT), max_size=8), st.booleans(), st.integers(0, 3))
def test_a_chunk_of_arrow_says_what_its_rows_say(
    texts: list[str | None], tidies: bool, skipped: int
) -> None:
    spec = a_spec() if tidies else a_spec(task=EmbedTask())
    batch = pa.record_batch({"text": pa.array(texts, pa.string())}).slice(skipped)
    bad = tuple(BadRow(row, "it is odd") for row in range(7, 7 + len(batch), 3))
    told = Texts(spec, ("text",)).told(ArrowChunk(7, batch, to_python, bad))
    records = tuple({"text": each} for each in texts[skipped:])
    found = list(Texts(spec, ("text",)).of(RecordChunk(7, records, bad)))
    good = [(row, each) for row, each in enumerate(found, 6) if isinstance(each, str)]
    assert list(zip(told.rows.tolist(), told.texts.to_pylist(), strict=True)) == good
    assert list(told.bad) == [each for each in found if isinstance(each, BadRow)]
