"""The `openai` package's files and batches, unmodified, against a server with a real model.

Answers that must be known beforehand come from a scripted one; so does the server that is killed.
"""

import io
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from openai.types import Batch

from tests.serving import Serving

pytestmark = [
    pytest.mark.journey,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # the client's own unclosed sockets
]

MODEL = "smollm2"
CHAT = "/v1/chat/completions"
OVER = {"completed", "failed", "expired", "cancelled"}


def client_of(server: Serving) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


@pytest.fixture
def client(server: Serving) -> Iterator[openai.OpenAI]:
    with client_of(server) as one:
        yield one


@pytest.fixture(scope="module")
def scripted(
    tmp_path_factory: pytest.TempPathFactory, no_settings_of_mine: Path
) -> Iterator[openai.OpenAI]:
    """A client of a server without weights."""
    assert no_settings_of_mine.exists()
    home = tmp_path_factory.mktemp("scripted")
    with Serving(home, PUNA_ENGINE="scripted") as server, client_of(server) as one:
        yield one


def a_row(number: int, text: str, **more: object) -> dict[str, object]:
    body = {"model": MODEL, "messages": [{"role": "user", "content": text}], **more}
    return {"custom_id": f"r{number}", "method": "POST", "url": CHAT, "body": body}


def made(client: openai.OpenAI, rows: list[dict[str, object]], endpoint: str = CHAT) -> Batch:
    content = io.BytesIO(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    content.name = "rows.jsonl"
    file = client.files.create(file=content, purpose="batch")
    return client.batches.create(
        input_file_id=file.id,
        endpoint=endpoint,  # type: ignore[arg-type]
        completion_window="24h",
        metadata={"job": "test"},
    )


def over(client: openai.OpenAI, batch: Batch) -> Batch:
    """Poll, as programs do, until a batch has ended."""
    while batch.status not in OVER:
        time.sleep(0.05)
        batch = client.batches.retrieve(batch.id)
    return batch


def lines(client: openai.OpenAI, file_id: str | None) -> list[dict[str, object]]:
    assert file_id is not None
    return [json.loads(line) for line in client.files.content(file_id).text.splitlines()]


@pytest.mark.model
def test_a_real_model_answers_a_batch(client: openai.OpenAI) -> None:
    asked = "What is a hamburger? One sentence."
    rows = [a_row(n, asked, max_completion_tokens=12, temperature=0) for n in range(3)]
    batch = over(client, made(client, rows))
    texts = [str(line["response"]) for line in lines(client, batch.output_file_id)]
    assert (batch.status, len(texts)) == ("completed", 3)
    assert all("hamburger" in text.lower() for text in texts)
    assert batch.usage is not None
    assert batch.usage.output_tokens == 36


def test_a_batch_is_made_polled_and_read(scripted: openai.OpenAI) -> None:
    batch = over(scripted, made(scripted, [a_row(n, f"say: {n}") for n in range(30)]))
    told = lines(scripted, batch.output_file_id)
    assert [each["custom_id"] for each in told] == [f"r{n}" for n in range(30)]
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.metadata) == (30, {"job": "test"})
    assert batch.id in [each.id for each in scripted.batches.list(limit=1)]


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/responses", {"model": MODEL, "input": "say: yes"}),
        ("/v1/completions", {"model": MODEL, "prompt": "say: yes"}),
        ("/v1/embeddings", {"model": MODEL, "input": ["one", "two"]}),
    ],
)
def test_other_endpoints_are_answered(
    scripted: openai.OpenAI, endpoint: str, body: dict[str, object]
) -> None:
    row = {**a_row(0, ""), "custom_id": "a", "url": endpoint, "body": body}
    batch = over(scripted, made(scripted, [row], endpoint))
    told = lines(scripted, batch.output_file_id or batch.error_file_id)
    assert told[0]["custom_id"] == "a"


def test_mistakes_in_a_file_are_listed(scripted: openai.OpenAI) -> None:
    batch = over(scripted, made(scripted, [a_row(1, "a"), a_row(1, "b")]))
    assert batch.status == "failed"
    assert batch.errors is not None
    assert [(each.code, each.line) for each in batch.errors.data or ()] == [
        ("duplicate_custom_id", 2)
    ]


def test_a_batch_is_cancelled(scripted: openai.OpenAI) -> None:
    batch = made(scripted, [a_row(n, "count to 500") for n in range(500)])
    told = scripted.batches.cancel(batch.id)
    assert told.status == "cancelling"
    assert over(scripted, told).status == "cancelled"
    with pytest.raises(openai.ConflictError, match="Cannot cancel a batch with status"):
        scripted.batches.cancel(batch.id)


def test_files_are_listed_read_and_removed(scripted: openai.OpenAI) -> None:
    sent = scripted.files.create(
        file=("notes.txt", b"hello"),
        purpose="user_data",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert scripted.files.retrieve(sent.id) == sent
    assert scripted.files.content(sent.id).read() == b"hello"
    assert [each.id for each in scripted.files.list(purpose="user_data")] == [sent.id]
    assert scripted.files.delete(sent.id).deleted
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        scripted.files.retrieve(sent.id)


def test_files_are_turned_page_by_page(scripted: openai.OpenAI) -> None:
    ids = [scripted.files.create(file=b"x", purpose="vision").id for _ in range(5)]
    found = [each.id for each in scripted.files.list(purpose="vision", limit=2, order="asc")]
    assert found == ids


def test_a_killed_server_goes_on_with_its_batch(tmp_path: Path) -> None:
    """No row is lost, none is there twice, and none that was done is computed again."""
    with Serving(tmp_path, PUNA_ENGINE="scripted") as server, client_of(server) as first:
        batch = made(first, [a_row(n, f"count to {200 + n}") for n in range(60)])
        while not (counts := first.batches.retrieve(batch.id).request_counts) or (
            counts.completed < 5
        ):
            time.sleep(0.01)
        server.end(signal.SIGKILL)
        journal = tmp_path / "batches" / f"{batch.id}.journal"
        done = journal.read_bytes()
    with Serving(tmp_path, PUNA_ENGINE="scripted") as server, client_of(server) as second:
        ended = over(second, batch)
        told = second.files.content(ended.output_file_id or "").content
    kept = [line.split(b" ", 6)[6] for line in done.splitlines(keepends=True) if line[-1:] == b"\n"]
    assert ended.request_counts is not None
    assert (ended.status, ended.request_counts.completed) == ("completed", 60)
    assert [json.loads(line)["custom_id"] for line in told.splitlines()] == [
        f"r{n}" for n in range(60)
    ]
    assert 5 <= len(kept) < 60
    assert set(kept) <= set(told.splitlines(keepends=True))
