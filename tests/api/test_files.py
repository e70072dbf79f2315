"""`/v1/files`: files come in, are listed, read and removed, and belong to whoever sent them."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from puna.node.shelf import MOST_BYTES
from puna.settings import Address
from tests.api.batches import BOUNDARY, a_file, a_form, upload
from tests.api.stage import Stage, staged
from tests.api.test_keys import a_key


def left_in(home: Path) -> list[str]:
    """Return what lies in the folder of files."""
    folder = home / "files"
    return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


async def test_a_file_comes_back_as_it_went(stage: Stage) -> None:
    content = bytes(range(256)) * 5000 + b"\r\n--" + BOUNDARY[:5].encode()
    reply = await upload(stage, a_form(content))
    file_id = reply.json["id"]
    assert (reply.status, reply.json["bytes"], reply.json["object"]) == (200, len(content), "file")
    assert (reply.json["filename"], reply.json["purpose"]) == ("rows.jsonl", "batch")
    assert (await stage.ask("GET", f"/v1/files/{file_id}/content")).body == content
    assert (await stage.ask("GET", f"/v1/files/{file_id}")).json == reply.json


async def test_a_removed_file_is_gone_from_the_disk(stage: Stage, tmp_path: Path) -> None:
    file_id = await a_file(stage)
    reply = await stage.ask("DELETE", f"/v1/files/{file_id}")
    assert reply.json == {"id": file_id, "object": "file", "deleted": True}
    assert (await stage.ask("GET", f"/v1/files/{file_id}")).status == 404
    assert left_in(tmp_path) == []


async def test_files_are_listed_in_pages_newest_first(stage: Stage) -> None:
    ids = []
    for _ in range(3):
        ids.append(await a_file(stage))
        stage.world.jump(timedelta(minutes=1))
    first = (await stage.ask("GET", "/v1/files?limit=2")).json
    listed = [each["id"] for each in first["data"]]  # type: ignore[attr-defined]
    assert (listed, first["has_more"]) == (ids[:0:-1], True)
    second = (await stage.ask("GET", f"/v1/files?limit=2&after={first['last_id']}")).json
    assert [each["id"] for each in second["data"]] == ids[:1]  # type: ignore[attr-defined]
    assert second["has_more"] is False


async def test_a_list_is_narrowed_by_purpose(stage: Stage) -> None:
    await a_file(stage)
    other = await a_file(stage, purpose="user_data")
    found = (await stage.ask("GET", "/v1/files?purpose=user_data")).json["data"]
    assert [each["id"] for each in found] == [other]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("form", "message"),
    [
        (a_form(purpose=None), "Missing required parameter: 'purpose'."),
        (a_form(purpose="x"), "Invalid value: 'x'. Supported values are: 'assistants', 'batch',"),
        (a_form()[:-20], "the form ends too early"),
        (b"no form", "the form is damaged"),
        (a_form() .replace(b'name="file"', b'name="fail"'), "the form has no field 'file'"),
        (a_form(more={"file": "x"}), "the form has more than one file"),
        (a_form(more={"expires_after[anchor]": "created_at"}), "a file expires after 3600 to"),
        (a_form(more={f"f{n}": "" for n in range(70)}), "the form has more than 64 parts"),
        (a_form(more={"long": "x" * 5000}), "a field of the form is too long"),
    ],
)  # fmt: skip
async def test_a_wrong_form_is_refused_and_leaves_nothing(
    stage: Stage, tmp_path: Path, form: bytes, message: str
) -> None:
    reply = await upload(stage, form)
    assert reply.status == 400
    assert str(reply.error["message"]).startswith(message)  # type: ignore[index]
    assert left_in(tmp_path) == []


async def test_what_is_no_form_is_refused(stage: Stage) -> None:
    reply = await stage.ask("POST", "/v1/files", {"purpose": "batch"})
    assert (reply.status, reply.error["message"]) == (400, "the request is no form with a file")  # type: ignore[index]


async def test_a_file_too_large_is_refused_before_it_comes(stage: Stage, tmp_path: Path) -> None:
    head = (
        "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {MOST_BYTES * 2}\r\n\r\n"
    )
    reply = await stage.raw(head.encode())
    assert reply.startswith(b"HTTP/1.1 413")
    assert left_in(tmp_path) == []


async def test_a_client_that_leaves_leaves_nothing(stage: Stage, tmp_path: Path) -> None:
    form = a_form(b"x" * 5000)
    head = (
        "POST /v1/files HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(form)}\r\n\r\n"
    )
    await upload(stage, form)
    _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    writer.write(head.encode() + form[:2000])
    await writer.drain()
    await stage.until(lambda: len(left_in(tmp_path)) == 3)
    writer.close()
    await stage.until(lambda: len(left_in(tmp_path)) == 2)


@pytest.mark.parametrize("file_id", ["file-x", "..", "file-" + "0" * 24, "%2e%2e%2fkeys", "a%00b"])
async def test_an_id_never_becomes_another_path(stage: Stage, file_id: str) -> None:
    for path in (f"/v1/files/{file_id}", f"/v1/files/{file_id}/content"):
        assert (await stage.ask("GET", path)).status == 404
    assert (await stage.ask("DELETE", f"/v1/files/{file_id}")).status == 404


@pytest.mark.parametrize("query", ["limit=0", "limit=10001", "limit=x", "order=up", "after=file-x"])
async def test_a_wrong_page_is_refused(stage: Stage, query: str) -> None:
    await a_file(stage)
    assert (await stage.ask("GET", f"/v1/files?{query}")).status == 400


async def test_a_file_expires(stage: Stage) -> None:
    expiry = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    file_id = await a_file(stage, more=expiry)
    found = (await stage.ask("GET", f"/v1/files/{file_id}")).json
    assert int(str(found["expires_at"])) - int(str(found["created_at"])) == 3600
    stage.world.jump(timedelta(hours=1))
    assert (await stage.ask("GET", f"/v1/files/{file_id}")).status == 404


async def test_a_file_belongs_to_the_key_that_sent_it(tmp_path: Path) -> None:
    async with staged(tmp_path, host=Address(host="0.0.0.0")) as stage:
        mine, other = (f"Bearer {a_key(stage, scope)}" for scope in ("use", "admin"))  # type: ignore[arg-type]
        file_id = (await upload(stage, a_form(b"secret"), Authorization=mine)).json["id"]
        path = f"/v1/files/{file_id}"
        asked = [("GET", path), ("GET", f"{path}/content"), ("DELETE", path)]
        statuses = [(await stage.ask(*each, Authorization=other)).status for each in asked]
        listed = (await stage.ask("GET", "/v1/files", Authorization=other)).json["data"]
        own = await stage.ask("GET", f"{path}/content", Authorization=mine)
    assert (statuses, listed, own.body) == ([404, 404, 404], [], b"secret")
