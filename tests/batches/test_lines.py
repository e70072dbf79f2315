"""The lines of a batch's file: limits, blank lines, and rows read again."""

import json
from pathlib import Path

import pytest

from puna.node.batches import lines
from puna.node.batches.lines import rows, scan

CHAT = "/v1/chat/completions"


def a_line(custom_id: str, text: str = "") -> bytes:
    body = {"model": "m", "messages": [{"role": "user", "content": text}]}
    row = {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body}
    return json.dumps(row).encode() + b"\n"


def a_file(folder: Path, content: bytes) -> Path:
    path = folder / "input"
    path.write_bytes(content)
    return path


def test_blank_lines_are_no_rows_and_marks_no_mistake(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + a_line("a") + b"\r\n \n" + a_line("b").rstrip(b"\n")
    found = scan(a_file(tmp_path, content), CHAT)
    assert (found.total, found.model, found.errors) == (2, "m", [])


def test_rows_that_are_done_are_not_read_again(tmp_path: Path) -> None:
    path = a_file(tmp_path, b"".join(a_line(f"r{n}") for n in range(5)))
    with path.open("rb") as file:
        left = [(row.number, row.custom_id) for row in rows(file, lambda number: number < 3)]
    assert left == [(3, "r3"), (4, "r4")]


def test_too_many_rows_are_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MOST_ROWS", 2)
    found = scan(a_file(tmp_path, b"".join(a_line(f"r{n}") for n in range(5))), CHAT)
    assert [(each.code, each.line) for each in found.errors] == [("too_many_requests", 3)]


def test_a_line_without_end_is_refused_and_the_next_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LONGEST_LINE", 200)
    content = a_line("a") + a_line("b", "x" * 1000) + a_line("c")
    found = scan(a_file(tmp_path, content), CHAT)
    assert [(each.code, each.line) for each in found.errors] == [("line_too_long", 2)]
    assert found.total == 3


def test_only_so_many_mistakes_are_listed(tmp_path: Path) -> None:
    found = scan(a_file(tmp_path, b"{\n" * 5000), CHAT)
    assert len(found.errors) == 100
