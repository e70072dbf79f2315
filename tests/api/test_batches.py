"""`/v1/batches`: rows in, answers out, in the order of the input, and honest about what failed."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from puna.node.engine.scripted import Script
from puna.node.keys import KeyRing
from puna.settings import Address
from puna.units import Span
from tests.api.batches import a_batch, a_file, a_row, in_lines, lines_of, over
from tests.api.stage import Stage, staged
from tests.api.test_keys import a_key

THREE = in_lines([a_row(f"r{n}", f"say: {n}") for n in range(3)])


def said(line: dict[str, object]) -> object:
    return line["response"]["body"]["choices"][0]["message"]["content"]  # type: ignore[index]


async def test_answers_come_in_the_order_of_the_input(stage: Stage) -> None:
    rows = [a_row(f"r{n}", f"say: {n}") for n in range(40)]
    batch = await over(stage, await a_batch(stage, in_lines(rows)))
    lines = await lines_of(stage, batch["output_file_id"])
    assert [each["custom_id"] for each in lines] == [f"r{n}" for n in range(40)]
    assert [said(each) for each in lines] == [str(n) for n in range(40)]
    assert batch["request_counts"] == {"total": 40, "completed": 40, "failed": 0}
    assert (batch["status"], batch["error_file_id"]) == ("completed", None)


async def test_a_batch_tells_its_moments_and_tokens(stage: Stage) -> None:
    asked = await a_batch(stage, THREE, metadata={"job": "1"})
    batch = await over(stage, asked)
    assert (asked["status"], asked["object"], batch["metadata"]) == (
        "validating",
        "batch",
        {"job": "1"},
    )
    assert all(
        batch[f"{name}_at"] for name in ("created", "in_progress", "finalizing", "completed")
    )
    assert int(str(batch["expires_at"])) - int(str(batch["created_at"])) == 24 * 3600
    assert batch["usage"]["output_tokens"] == 3  # type: ignore[index]
    assert batch["model"] == "tiny"


async def test_a_row_that_fails_is_in_the_error_file(stage: Stage) -> None:
    rows = [a_row("good"), a_row("bad", body={"model": "tiny", "messages": []})]
    batch = await over(stage, await a_batch(stage, in_lines(rows)))
    (error,) = await lines_of(stage, batch["error_file_id"])
    assert (error["custom_id"], error["response"]["status_code"]) == ("bad", 400)  # type: ignore[index]
    assert error["response"]["body"]["error"]["message"] == "[] is too short - 'messages'"  # type: ignore[index]
    assert batch["request_counts"] == {"total": 2, "completed": 1, "failed": 1}


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/completions", {"model": "tiny", "prompt": "say: yes"}),
        ("/v1/responses", {"model": "tiny", "input": "say: yes"}),
        ("/v1/chat/completions", {"model": "tiny", "messages": [{"role": "user", "content": "a"}]}),
    ],
)
async def test_each_endpoint_answers(stage: Stage, endpoint: str, body: dict[str, object]) -> None:
    rows = in_lines([a_row(url=endpoint, body=body)])
    batch = await over(stage, await a_batch(stage, rows, endpoint=endpoint))
    (line,) = await lines_of(stage, batch["output_file_id"])
    assert line["response"]["status_code"] == 200  # type: ignore[index]


@pytest.mark.parametrize(
    ("line", "code", "param"),
    [
        (b"{", "invalid_json_line", None),
        (b"[1]", "invalid_json_line", None),
        (b"\xff\xfe", "invalid_json_line", None),
        (a_row(custom_id=None), "missing_required_parameter", "custom_id"),
        (a_row(custom_id="first"), "duplicate_custom_id", "custom_id"),
        (a_row(method="GET"), "invalid_method", "method"),
        (a_row(url="/v1/embeddings"), "mismatched_url", "url"),
        (a_row(url="http://127.0.0.1/v1/chat/completions"), "mismatched_url", "url"),
        (a_row(body="x"), "invalid_body", "body"),
        (a_row(body=None), "missing_required_parameter", "body"),
        (a_row(body={"messages": []}), "missing_required_parameter", "body.model"),
        (a_row(body={"model": "other"}), "mismatched_model", "body.model"),
        (a_row(body={"model": "tiny", "stream": True}), "invalid_parameter", "body.stream"),
    ],
)
async def test_a_wrong_line_fails_the_batch(
    stage: Stage, line: object, code: str, param: str | None
) -> None:
    wrong = line if isinstance(line, bytes) else json.dumps(line).encode()
    content = in_lines([a_row("first")]) + b"\n" + wrong + b"\n"
    batch = await over(stage, await a_batch(stage, content))
    (error,) = batch["errors"]["data"]  # type: ignore[index]
    assert (batch["status"], bool(batch["failed_at"])) == ("failed", True)
    assert (error["code"], error["line"], error["param"]) == (code, 3, param)
    assert batch["request_counts"] == {"total": 0, "completed": 0, "failed": 0}


async def test_an_empty_file_and_an_unknown_model_fail(stage: Stage) -> None:
    unknown = in_lines([a_row(body={"model": "none", "messages": []})])
    batches = [await over(stage, await a_batch(stage, each)) for each in (b"\n\n", unknown)]
    codes = [each["errors"]["data"][0]["code"] for each in batches]  # type: ignore[index]
    assert codes == ["empty_file", "model_not_found"]


@pytest.mark.parametrize(
    ("changes", "status", "message"),
    [
        ({"completion_window": "1h"}, 400, "Invalid value: '1h'. Supported values are: '24h'."),
        ({"completion_window": None}, 400, "Missing required parameter: 'completion_window'."),
        ({"endpoint": "/v1/models"}, 400, "Invalid value: '/v1/models'. Supported values are:"),
        ({"input_file_id": "file-x"}, 404, "No such File object: file-x"),
        ({"input_file_id": "../keys.json"}, 404, "No such File object: ../keys.json"),
        ({"metadata": {str(n): "" for n in range(17)}}, 400, "metadata has 17 pairs"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, 400, "a file expires"),
    ],
)
async def test_a_wrong_wish_is_refused(
    stage: Stage, changes: dict[str, object], status: int, message: str
) -> None:
    file_id = await a_file(stage, THREE)
    asked = {"input_file_id": file_id, "endpoint": "/v1/chat/completions"}
    reply = await stage.ask("POST", "/v1/batches", asked | {"completion_window": "24h"} | changes)
    assert reply.status == status
    assert str(reply.error["message"]).startswith(message)  # type: ignore[index]


async def test_a_file_of_another_purpose_is_refused(stage: Stage) -> None:
    file_id = await a_file(stage, THREE, purpose="user_data")
    refused = await a_batch(stage, THREE, input_file_id=file_id)
    assert "has the purpose 'user_data'" in str(refused["error"])


async def test_batches_are_listed_in_pages_newest_first(stage: Stage) -> None:
    ids = [(await a_batch(stage, THREE))["id"] for _ in range(3)]
    page = (await stage.ask("GET", f"/v1/batches?limit=1&after={ids[2]}")).json
    assert [each["id"] for each in page["data"]] == [ids[1]]  # type: ignore[attr-defined]
    assert page["has_more"] is True
    assert (await stage.ask("GET", "/v1/batches?limit=101")).status == 400


async def test_the_input_may_be_removed_while_the_batch_lives(tmp_path: Path) -> None:
    async with staged(tmp_path, Script(token_span=Span.of(seconds=1))) as stage:
        batch = await a_batch(stage, THREE)
        await stage.until_waiting(2)
        gone = await stage.ask("DELETE", f"/v1/files/{batch['input_file_id']}")
        await stage.world.advance(Span.of(seconds=30))
        done = await over(stage, batch)
    assert (gone.status, done["status"]) == (200, "completed")


async def test_what_is_cancelled_keeps_what_is_done(tmp_path: Path) -> None:
    async with staged(tmp_path, Script(token_span=Span.of(seconds=1)), num_parallel=1) as stage:
        batch = await a_batch(stage, THREE)
        await stage.until_waiting(2)
        await stage.world.advance(Span.of(seconds=1))
        told = (await stage.ask("POST", f"/v1/batches/{batch['id']}/cancel")).json
        done = await over(stage, batch)
        output = await lines_of(stage, done["output_file_id"])
        errors = await lines_of(stage, done["error_file_id"])
        again = await stage.ask("POST", f"/v1/batches/{batch['id']}/cancel")
    assert (told["status"], done["status"]) == ("cancelling", "cancelled")
    assert [each["custom_id"] for each in (*output, *errors)] == ["r0", "r1", "r2"]
    assert errors[0]["error"]["code"] == "batch_cancelled"  # type: ignore[index]
    assert (again.status, bool(done["cancelled_at"])) == (409, True)


async def test_a_batch_expires_with_what_is_done(tmp_path: Path) -> None:
    async with staged(tmp_path, Script(token_span=Span.of(seconds=1)), num_parallel=1) as stage:
        batch = await a_batch(stage, THREE)
        await stage.until_waiting(2)
        await stage.world.advance(Span.of(seconds=1))
        stage.world.jump(timedelta(hours=24))
        await stage.world.advance(Span.of(seconds=1))
        done = await over(stage, batch)
        errors = await lines_of(stage, done["error_file_id"])
    assert (done["status"], bool(done["expired_at"])) == ("expired", True)
    assert {each["error"]["code"] for each in errors} == {"batch_expired"}  # type: ignore[index]


async def test_who_waits_is_served_before_the_rest_of_a_batch(tmp_path: Path) -> None:
    async with staged(tmp_path, Script(token_span=Span.of(seconds=10)), num_parallel=1) as stage:
        rows = in_lines([a_row(f"r{n}", "count to 50") for n in range(4)])
        batch = await a_batch(stage, rows)
        await stage.until_waiting(2)
        asked = stage.later(stage.generate("say: hi"))
        await stage.until(lambda: stage.node.waiting == 1)
        await stage.world.advance(Span.of(seconds=25))
        assert (await asked).text == "hi"
        found = (await stage.ask("GET", f"/v1/batches/{batch['id']}")).json
        assert found["request_counts"]["completed"] == 0  # type: ignore[index]
        await stage.ask("POST", f"/v1/batches/{batch['id']}/cancel")
        await over(stage, batch)


async def test_a_batch_belongs_to_its_key_and_ends_with_it(tmp_path: Path) -> None:
    script = Script(token_span=Span.of(seconds=1))
    async with staged(tmp_path, script, num_parallel=1, host=Address(host="0.0.0.0")) as stage:
        mine, other = (f"Bearer {a_key(stage, each)}" for each in ("use", "manage"))  # type: ignore[arg-type]
        stage.session.headers["Authorization"] = mine
        batch = await a_batch(stage, THREE)
        path = f"/v1/batches/{batch['id']}"
        seen = [(await stage.ask("GET", path, Authorization=each)).status for each in (mine, other)]
        assert seen == [200, 404]
        await stage.until_waiting(2)
        KeyRing(tmp_path, stage.world).revoke("k-use")
        await stage.world.advance(Span.of(seconds=2))
        found = await stage.desk.batches.find(str(batch["id"]), _owner(tmp_path, stage))
        await stage.until(lambda: not (tmp_path / "batches" / f"{batch['id']}.journal").exists())
    assert (found.state in {"cancelling", "cancelled"}, found.errors[0].code) == (
        True,
        "key_revoked",
    )


def _owner(home: Path, stage: Stage) -> str:
    return KeyRing(home, stage.world).all_keys()[0].digest[:32]


async def test_a_restart_goes_on_and_computes_nothing_twice(tmp_path: Path) -> None:
    rows = in_lines([a_row(f"r{n}", f"say: {n}") for n in range(6)])
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return prompt.strip()[-1]

    script = Script(answer, token_span=Span.of(seconds=1))
    async with staged(tmp_path, script, num_parallel=1) as stage:
        batch = await a_batch(stage, rows)
        await stage.until_waiting(2)
        await stage.world.advance(Span.of(seconds=2))
        before = (await stage.ask("GET", f"/v1/batches/{batch['id']}")).json
    async with staged(tmp_path, Script(answer), num_parallel=1) as stage:
        await stage.desk.batches.resume()
        done = await over(stage, batch)
        lines = await lines_of(stage, done["output_file_id"])
    assert (before["status"], done["status"]) == ("in_progress", "completed")
    assert [each["custom_id"] for each in lines] == [f"r{n}" for n in range(6)]
    assert len(asked) <= 6 + 1


async def test_two_nodes_of_one_home_do_not_compute_the_same_batch(tmp_path: Path) -> None:
    async with staged(tmp_path) as first, staged(tmp_path) as second:
        await a_batch(first, THREE)
        reply = await second.ask("GET", "/v1/batches")
    assert reply.status == 503
    assert "another puna with the same home folder" in str(reply.error)
