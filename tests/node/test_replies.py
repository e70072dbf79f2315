"""What a node answers is read leniently: missing and odd fields are empty, never a crash."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, strategies as st

from puna.node.asking import read_cut, read_timings
from puna.node.card import ModelCard
from puna.node.replies import Fields, ModelEntry, RunningModel

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
NAMES = ["name", "size", "modified_at", "details", "messages", "tensors", "capabilities", "license"]


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_no_reply_is_so_odd_that_it_cannot_be_read(value: dict[str, object]) -> None:
    reply = Fields(value)
    assert isinstance(ModelEntry.of(reply).size, int)
    assert isinstance(RunningModel.of(reply).context, int)
    assert isinstance(ModelCard.of(reply).capabilities, tuple)
    assert isinstance(read_timings(reply).total, int)
    assert read_cut(reply) is None


@pytest.mark.parametrize("value", [None, 3, "text", [1], True])
def test_what_is_no_object_reads_as_an_empty_one(value: object) -> None:
    assert Fields(value).text("name") == ""


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-08-01T09:00:00Z", datetime(2026, 8, 1, 9, tzinfo=UTC)),
        ("2026-08-01T09:00:00.123456789Z", datetime(2026, 8, 1, 9, 0, 0, 123456, tzinfo=UTC)),
        (
            "2026-08-01T09:00:00.1+02:00",
            datetime(2026, 8, 1, 9, 0, 0, 100000, tzinfo=timezone(timedelta(hours=2))),
        ),
        ("0001-01-01T00:00:00Z", None),
        ("2026-08-01T09:00:00", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times_of_go_are_read(text: str, moment: datetime | None) -> None:
    assert Fields({"t": text}).moment("t") == moment


def test_a_digest_is_read_with_and_without_its_kind() -> None:
    digests = [ModelEntry.of(Fields({"digest": text})).digest for text in ("ab", "sha256:ab")]
    assert digests == ["ab", "ab"]


def test_a_cut_is_read_from_the_final_object() -> None:
    cut = read_cut(Fields({"truncated": {"prompt_tokens": 9, "kept_tokens": 4}}))
    assert cut is not None
    assert (cut.prompt_tokens, cut.kept_tokens, cut.context, cut.dropped_messages) == (9, 4, 0, 0)
