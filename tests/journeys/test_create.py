"""Models that people make: `puna create`, blobs, and what Ollama's client does for it."""

import hashlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ollama
import pytest

from tests.builders import LLAMA, LLAMA_TENSORS, a_gguf
from tests.serving import Serving, rest_of, until
from tests.stores import leftovers, put

pytestmark = [pytest.mark.journey, pytest.mark.filterwarnings("ignore::ResourceWarning")]

HELLO = {"prompt": "hello", "stream": False}


def weights(name: str = "Tiny") -> bytes:
    return a_gguf({**LLAMA, "general.name": name}, LLAMA_TENSORS)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    put(tmp_path / "models", "tiny", weights())
    return tmp_path / "models"


@pytest.fixture
def serving(tmp_path: Path, store: Path) -> Iterator[Serving]:
    with Serving(tmp_path, PUNA_MODELS=str(store), PUNA_ENGINE="scripted") as one:
        yield one


@pytest.fixture
def client(serving: Serving) -> Iterator[ollama.Client]:
    with ollama.Client(serving.url) as one:
        yield one


def test_a_model_is_made_of_another_with_its_own_texts(client: ollama.Client) -> None:
    made = client.create(
        "brief",
        from_="tiny",
        system="Be brief.",
        template="{{ .System }} {{ .Prompt }}",
        parameters={"temperature": 0.5, "stop": ["END"]},
        license="MIT",
        messages=[{"role": "user", "content": "Hi"}],
    )
    card = client.show("brief")
    assert made.status == "success"
    assert "SYSTEM Be brief." in (card.modelfile or "")
    assert "PARAMETER stop END" in (card.modelfile or "")
    assert "MESSAGE user Hi" in (card.modelfile or "")
    assert card.license == "MIT"


def test_what_is_inherited_is_merged_and_replaced(client: ollama.Client) -> None:
    client.create("one", from_="tiny", system="A", parameters={"top_k": 1, "seed": 2}, license="L1")
    client.create("two", from_="one", system="B", parameters={"seed": 3}, license="L2")
    card = client.show("two")
    text = card.modelfile or ""
    assert "SYSTEM B" in text
    assert "SYSTEM A" not in text
    assert "PARAMETER top_k 1" in text
    assert "PARAMETER seed 3" in text
    assert card.license == "L1\nL2"


def test_steps_are_told_in_ollamas_words(client: ollama.Client) -> None:
    steps = [
        each.status or "" for each in client.create("x", from_="tiny", system="A", stream=True)
    ]
    kinds = {" ".join(step.split()[:3]) for step in steps}
    assert {"using existing layer", "creating new layer", "writing manifest"} <= kinds
    assert steps[-2:] == ["writing manifest", "success"]


def test_a_file_is_sent_once_and_becomes_a_model(client: ollama.Client, tmp_path: Path) -> None:
    file = tmp_path / "other.gguf"
    file.write_bytes(weights("Other"))
    digest = client.create_blob(file)
    assert client.create_blob(file) == digest
    client.create("other", files={"other.gguf": digest})
    assert client.generate("other", "hello").response == "echo: hello"


def test_new_weights_take_the_place_of_the_old(client: ollama.Client, tmp_path: Path) -> None:
    file = tmp_path / "other.gguf"
    file.write_bytes(weights("Other"))
    digest = client.create_blob(file)
    client.create("other", from_="tiny", files={"other.gguf": digest}, system="A")
    text = client.show("other").modelfile or ""
    (line,) = [line for line in text.splitlines() if line.startswith("FROM ")]
    assert digest.replace(":", "-") in line
    two = {"a.gguf": digest, "b.gguf": client.create_blob(_third(tmp_path))}
    with pytest.raises(ollama.ResponseError, match="several of the files are weights"):
        client.create("two", files=two)


def _third(folder: Path) -> Path:
    (folder / "third.gguf").write_bytes(weights("Third"))
    return folder / "third.gguf"


def a_blob(serving: Serving, digest: str, body: bytes, *, length: int | None = None) -> bytes:
    """Send a blob by hand, and return the reply."""
    host, _, port = serving.url.removeprefix("http://").partition(":")
    head = f"POST /api/blobs/{digest} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    head += f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    with socket.create_connection((host, int(port))) as client:
        client.sendall(head.encode() + body)
        if length is not None:
            client.shutdown(socket.SHUT_WR)
        return rest_of(client)


def test_a_blob_that_is_not_what_it_says_leaves_nothing(serving: Serving, store: Path) -> None:
    digest = "sha256:" + "0" * 64
    before = {path.name for path in (store / "blobs").iterdir()}
    assert b"digest mismatch, expected" in a_blob(serving, digest, b"other")
    a_blob(serving, digest, b"half", length=1000)
    assert {path.name for path in (store / "blobs").iterdir()} == before
    until(lambda: not leftovers(store))


@pytest.mark.parametrize("digest", ["sha256:../../x", "sha256:abc", "x", "sha256:" + "g" * 64])
def test_a_digest_that_is_none_is_refused(serving: Serving, digest: str) -> None:
    assert b" 400 " in a_blob(serving, digest, b"x").splitlines()[0]


def test_a_blob_may_be_larger_than_any_other_body(serving: Serving) -> None:
    body = bytes(70 * 2**20)
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    assert b" 201 " in a_blob(serving, digest, body).splitlines()[0]
    assert b" 200 " in a_blob(serving, digest, b"").splitlines()[0]


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({}, 400, "neither 'from' or 'files' was specified"),
        ({"files": {"../a": "sha256:" + "0" * 64}}, 400, "file path must be relative"),
        ({"files": {"a": "sha256:" + "0" * 64}}, 404, "is not in the store"),
        ({"from": "tiny", "parameters": {"colour": 1}}, 400, "unknown parameter 'colour'"),
        ({"from": "tiny", "parameters": {"top_k": "x"}}, 500, "must be of type integer"),
        ({"from": "tiny", "messages": [{"role": "x", "content": ""}]}, 400, "message role must"),
        ({"from": "/etc/passwd"}, 400, "from is the name of a model"),
        ({"from": "tiny", "template": "{{ if }"}, 400, "template"),
        ({"from": "tiny", "requires": "banana"}, 400, "semver"),
        ({"from": "tiny", "remote_host": "https://x"}, 400, "remote_host"),
        ({"from": "tiny", "model": "a b"}, 400, "invalid model name"),
        ({"from": "tiny", "quantize": "q9_x"}, 400, "unsupported quantization type Q9_X - supp"),
        ({"from": "tiny", "quantize": "q4_k_m"}, 400, "only supported for F16, BF16 and F32"),
        ({"from": "tiny", "draft_quantize": "q8_0"}, 400, "requires a DRAFT model"),
    ],
)
def test_what_cannot_be_made_is_said(
    serving: Serving, fields: dict[str, object], status: int, text: str
) -> None:
    answer = serving.ask("/api/create", {"model": "new", "stream": False, **fields})
    assert (answer.status >= 400, text in str(answer.last["error"])) == (True, True), answer.last
    assert status // 100 == answer.status // 100
    assert serving.ask("/api/show", {"model": "new"}).status == 404


def test_the_command_makes_a_model_of_a_modelfile(serving: Serving, tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "other.gguf").write_bytes(weights("Other"))
    (tmp_path / "w" / "Modelfile").write_text(
        'FROM ./other.gguf\nSYSTEM """Be\nbrief."""\nPARAMETER top_k 7\n'
    )
    done = serving.run("create", "mine", "-f", str(tmp_path / "w" / "Modelfile"))
    assert done.returncode == 0, done.stderr
    shown = serving.run("show", "mine", "--modelfile").stdout
    (tmp_path / "w" / "Again").write_text(shown)
    assert serving.run("create", "again", "-f", str(tmp_path / "w" / "Again")).returncode == 0
    rows = [line.split() for line in serving.run("list").stdout.splitlines()]
    id_by_name = {row[0]: row[1] for row in rows}
    assert id_by_name["again:latest"] == id_by_name["mine:latest"]
    assert serving.ask("/api/generate", HELLO | {"model": "again"}).status == 200


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SYSTEM x", "no FROM line"),
        ("FROM tiny\nWRONG x", "(line 2): command must be one of"),
        ("FROM tiny\nADAPTER ./none.gguf", "no such file: ./none.gguf"),
    ],
)
def test_a_modelfile_that_is_wrong_makes_nothing(
    serving: Serving, tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "Modelfile").write_text(text)
    done = serving.run("create", "mine", "-f", str(tmp_path / "Modelfile"))
    assert (done.returncode, complaint in done.stderr) == (1, True), done.stderr


def test_a_renderer_is_said_to_have_no_effect_and_an_unknown_one_refused(serving: Serving) -> None:
    body = {"model": "coder", "from": "tiny", "renderer": "qwen3-coder"}
    made = serving.ask("/api/create", body)
    refused = serving.ask("/api/create", {**body, "model": "other", "parser": "qwen9"})
    assert b"renderer qwen3-coder has no effect" in made.body
    assert made.last["status"] == "success"
    assert refused.last["error"] == 'unknown parser "qwen9"'


CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' }}"
    "{{ m['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def test_the_template_of_new_weights_is_detected_with_its_stop_words(
    client: ollama.Client, tmp_path: Path
) -> None:
    file = tmp_path / "chat.gguf"
    file.write_bytes(a_gguf({**LLAMA, "tokenizer.chat_template": CHATML}, LLAMA_TENSORS))
    digest = client.create_blob(file)
    files, mine = {"chat.gguf": digest}, {"temperature": 0.5}
    steps = [step.status for step in client.create("c", files=files, parameters=mine, stream=True)]
    assert "using autodetected template chatml" in steps
    card = client.show("c")
    assert "<|im_start|>{{ .Role }}" in (card.template or "")
    assert 'stop                           "<|im_end|>"' in str(card.parameters)
    assert "temperature" in str(card.parameters)
    client.create("bare", files=files, template="{{ .Prompt }}")
    assert client.show("bare").template == CHATML


def test_models_made_and_removed_by_everybody_at_once_leave_a_whole_store(
    serving: Serving, store: Path
) -> None:
    def make(number: int) -> int:
        text = f"text {number % 3}"
        body = {"model": f"m{number % 2}", "from": "tiny", "system": text, "stream": False}
        return serving.ask("/api/create", body).status

    def remove(number: int) -> int:
        body = {"model": f"m{number % 2}"}
        return serving.ask("/api/delete", body, method="DELETE").status

    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(make, number) for number in range(24)]
        removed = [pool.submit(remove, number) for number in range(24)]
    assert {each.result() for each in made} == {200}
    assert {each.result() for each in removed} <= {200, 404}
    for name in ("m0", "m1"):
        serving.ask("/api/create", {"model": name, "from": "tiny", "stream": False})
        assert serving.ask("/api/generate", HELLO | {"model": name}).status == 200
    assert len(list((store / "blobs").iterdir())) == 2
    assert leftovers(store) == set()
