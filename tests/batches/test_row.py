"""What becomes of a row's answer: kept, or asked for again."""

import json

import pytest

from puna.node.batches.batch import Batch, BatchState, Tokens
from puna.node.batches.lines import Row
from puna.node.batches.row import RowReply, entry_of, tokens_in, wait_before
from tests.worlds import NOON


@pytest.mark.parametrize(
    ("status", "code", "tries", "wait_s"),
    [
        (200, "", 0, None),
        (400, "invalid", 0, None),
        (503, "queue_full", 0, 1),
        (503, "stopping", 50, 60),
        (429, "too_often", 3, 8),
        (500, "engine_died", 1, 2),
        (500, "engine_died", 2, None),
        (500, "failed", 0, None),
    ],
)
def test_what_may_pass_is_asked_again(
    status: int, code: str, tries: int, wait_s: int | None
) -> None:
    wait = wait_before(RowReply(status=status, body=b"{}", code=code), tries)
    assert (None if wait is None else wait.seconds) == wait_s


def test_a_line_is_one_line_of_json() -> None:
    row = Row(7, 'a"b', {})
    entry = entry_of(row, RowReply(status=200, body=b'{"a":\n1}', request_id="q"), "m")
    assert json.loads(entry.line) == {
        "id": "batch_req_m",
        "custom_id": 'a"b',
        "response": {"status_code": 200, "request_id": "q", "body": {"a": 1}},
        "error": None,
    }
    assert b"\n" not in entry.line


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 2}, Tokens(5, 0, 2)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 3}}, Tokens(5, 3)),
        (
            {
                "input_tokens": 1,
                "output_tokens": 2,
                "output_tokens_details": {"reasoning_tokens": 1},
            },
            Tokens(1, 0, 2, 1),
        ),
        (None, Tokens()),
    ],
)
def test_tokens_are_read_in_either_way(usage: object, tokens: Tokens) -> None:
    assert tokens_in(json.dumps({"usage": usage}).encode()) == tokens


def test_a_record_comes_back_as_it_was() -> None:
    batch = Batch(id="b", owner="o", endpoint="e", input_file="f", created=NOON, expires=NOON)
    moved = batch.moved(BatchState.IN_PROGRESS, NOON).moved(BatchState.CANCELLING, NOON)
    assert Batch.from_json(moved.to_json()) == moved


def test_a_batch_that_is_over_moves_no_more() -> None:
    batch = Batch(id="b", owner="o", endpoint="e", input_file="f", created=NOON, expires=NOON)
    failed = batch.moved(BatchState.FAILED, NOON)
    assert failed.is_over
    with pytest.raises(ValueError, match="cannot go from failed"):
        failed.moved(BatchState.IN_PROGRESS, NOON)
