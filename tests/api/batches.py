"""What tests of files and batches share: a form with a file, rows, and the way to their end."""

import asyncio
import json
from collections.abc import Mapping, Sequence

from tests.api.stage import Reply, Stage

BOUNDARY = "-----a-boundary"
OVER = {"completed", "failed", "expired", "cancelled"}


def a_form(
    content: bytes = b"",
    *,
    name: str = "rows.jsonl",
    purpose: str | None = "batch",
    more: Mapping[str, str] | None = None,
) -> bytes:
    """Return the bytes of a form with a file."""
    fields = {**({"purpose": purpose} if purpose is not None else {}), **(more or {})}
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    return b"".join([*parts, head, content, f"\r\n--{BOUNDARY}--\r\n".encode()])


async def upload(stage: Stage, form: bytes, **headers: str) -> Reply:
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return await stage.ask("POST", "/v1/files", form, Content_Type=kind, **headers)


async def a_file(
    stage: Stage,
    content: bytes = b"x",
    *,
    purpose: str = "batch",
    more: Mapping[str, str] | None = None,
) -> str:
    """Upload a file and return its id."""
    return str((await upload(stage, a_form(content, purpose=purpose, more=more))).json["id"])


def a_row(
    custom_id: str | None = "r0", said: str = "hello", **changes: object
) -> dict[str, object]:
    row: dict[str, object] = {
        "custom_id": custom_id,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "tiny", "messages": [{"role": "user", "content": said}]},
    }
    return row | changes


def in_lines(rows: Sequence[object]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


async def a_batch(stage: Stage, content: bytes, **changes: object) -> dict[str, object]:
    """Upload rows and make a batch of them."""
    asked = {
        "input_file_id": await a_file(stage, content),
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        **changes,
    }
    return (await stage.ask("POST", "/v1/batches", asked)).json


async def over(stage: Stage, batch: Mapping[str, object]) -> dict[str, object]:
    """Return a batch once it has ended."""
    while True:
        found = (await stage.ask("GET", f"/v1/batches/{batch['id']}")).json
        if found["status"] in OVER:
            return found
        await asyncio.sleep(0.002)


async def lines_of(stage: Stage, file_id: object) -> list[dict[str, object]]:
    return (await stage.ask("GET", f"/v1/files/{file_id}/content")).lines
