"""The lines of a batch's file: read one at a time, and checked before any is computed.

The codes of what can be wrong are those that OpenAI's service gives, so that a program which knows
them finds them here too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

from pydantic_core import from_json

from puna.node.batches.batch import LineError
from puna.text import one_line
from puna.units import Size

MOST_ROWS = 50_000
MOST_BYTES = Size(200 * 2**20)
LONGEST_LINE = 2**24
ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
_MOST_ERRORS = 100
_LONGEST_ID = 512
_METHOD = "POST"
_REQUIRED = ("custom_id", "method", "url", "body")


@dataclass(frozen=True, slots=True)
class Row:
    """One request of a batch. Rows count from 0, blank lines are none."""

    number: int
    custom_id: str
    body: dict[str, object]


@dataclass(slots=True)
class Scan:
    """What a look through a whole file found."""

    total: int = 0
    model: str = ""
    errors: list[LineError] = field(default_factory=list)
    seen: set[bytes] = field(default_factory=set)


def scan(path: Path, endpoint: str) -> Scan:
    """Check every line of a batch's file. Blocks; takes memory for ids alone."""
    found = Scan()
    if path.stat().st_size > MOST_BYTES:
        said = f"The batch file is larger than {MOST_BYTES}. Send its requests in several batches."
        found.errors.append(LineError("file_too_large", said))
        return found
    with path.open("rb") as file:
        for line, text in _lines(file):
            error = _problem(found, text, line, endpoint)
            if error is not None:
                found.errors.append(error)
                if len(found.errors) >= _MOST_ERRORS:
                    return found
    if not found.total and not found.errors:
        found.errors.append(LineError("empty_file", "The batch file has no requests."))
    return found


def rows(file: BinaryIO, is_done: Callable[[int], bool]) -> Iterator[Row]:
    """Yield the rows of a file that was checked, without those that are done."""
    for number, (_, text) in enumerate(_lines(file)):
        if not is_done(number):
            value = from_json(text)
            yield Row(number, value["custom_id"], value["body"])


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not blank, with their numbers; one too long comes as it begins."""
    number = 0
    while text := file.readline(LONGEST_LINE + 1):
        number += 1
        whole = text
        while len(whole) > LONGEST_LINE and not whole.endswith(b"\n"):
            if not (whole := file.readline(LONGEST_LINE + 1)):
                break
        if number == 1:
            text = text.removeprefix(b"\xef\xbb\xbf")
        if text.strip():
            yield number, text


def _problem(found: Scan, text: bytes, line: int, endpoint: str) -> LineError | None:
    """Take a line into the scan, and return what is wrong with it."""
    found.total += 1
    if found.total > MOST_ROWS:
        if found.total > MOST_ROWS + 1:
            return None
        said = f"The batch file has more than {MOST_ROWS} requests. Send them in several batches."
        return LineError("too_many_requests", said, line)
    if len(text) > LONGEST_LINE:
        return LineError("line_too_long", f"This line is longer than {Size(LONGEST_LINE)}.", line)
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        return LineError("invalid_json_line", "This line is not parseable as valid JSON.", line)
    if not isinstance(value, dict):
        return LineError("invalid_json_line", "This line is not a JSON object.", line)
    return _wrong_field(value, line, endpoint) or _wrong_among_others(found, value, line)


def _wrong_field(value: dict[str, object], line: int, endpoint: str) -> LineError | None:
    for name in _REQUIRED:
        if value.get(name) is None or value[name] == "":
            said = f"Missing required parameter: '{name}'."
            return LineError("missing_required_parameter", said, line, name)
    custom_id, body = value["custom_id"], value["body"]
    if not isinstance(custom_id, str) or len(custom_id) > _LONGEST_ID:
        said = f"custom_id must be a text of up to {_LONGEST_ID} characters."
        return LineError("invalid_custom_id", said, line, "custom_id")
    if value["method"] != _METHOD:
        return LineError("invalid_method", "The method must be POST.", line, "method")
    if value["url"] != endpoint:
        said = (
            "The URL provided for this request does not match the batch endpoint"
            f" {endpoint}: {one_line(str(value['url']), 80)}"
        )
        return LineError("mismatched_url", said, line, "url")
    if not isinstance(body, dict):
        return LineError("invalid_body", "The body must be a JSON object.", line, "body")
    return _wrong_body(body, line)


def _wrong_body(body: dict[str, object], line: int) -> LineError | None:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        said = "Missing required parameter: 'body.model'."
        return LineError("missing_required_parameter", said, line, "body.model")
    if body.get("stream"):
        said = "Answers of a batch cannot be streamed: leave out 'stream'."
        return LineError("invalid_parameter", said, line, "body.stream")
    return None


def _wrong_among_others(found: Scan, value: dict[str, object], line: int) -> LineError | None:
    body = value["body"]
    model = str(body.get("model")) if isinstance(body, dict) else ""
    found.model = found.model or model
    if model != found.model:
        said = (
            f"The model '{one_line(model, 80)}' is not that of the lines before,"
            f" '{one_line(found.model, 80)}'. All requests of a batch have one model."
        )
        return LineError("mismatched_model", said, line, "body.model")
    digest = blake2b(str(value["custom_id"]).encode(errors="replace"), digest_size=16).digest()
    if digest in found.seen:
        said = (
            "The custom_id for this request is a duplicate of another request."
            " The custom_id parameter must be unique for each request in a batch."
        )
        return LineError("duplicate_custom_id", said, line, "custom_id")
    found.seen.add(digest)
    return None
