"""Lists, facts, copies and removals of models."""

import json
from pathlib import Path

import pytest

from tests.api.stage import Stage, a_model, staged
from tests.builders import a_digest
from tests.fakes.registry import a_registry


async def _names(stage: Stage) -> list[str]:
    models = (await stage.ask("GET", "/api/tags")).json["models"]
    assert isinstance(models, list)
    return [model["name"] for model in models if not model["name"].startswith("smollm2")]


async def test_tags_say_what_a_list_shows(stage: Stage) -> None:
    models = (await stage.ask("GET", "/api/tags")).json["models"]
    assert isinstance(models, list)
    entry = next(model for model in models if model["name"] == "tiny:latest")
    assert " ".join(entry) == "name model modified_at size digest details capabilities"
    assert len(entry["digest"]) == 64
    assert entry["size"] > len(a_model())
    assert entry["capabilities"] == ["completion"]
    assert entry["details"]["family"] == "llama"


async def test_a_damaged_model_does_not_spoil_the_list(stage: Stage, tmp_path: Path) -> None:
    stage.add_model("broken", b"GGUF" + b"\xff" * 100)
    stage.add_model("cut", a_model())
    manifests = tmp_path / "models/manifests/registry.ollama.ai/library"
    (manifests / "cut/latest").write_bytes(b"{")
    assert sorted(await _names(stage)) == ["broken:latest", "tiny:latest"]


async def test_show_tells_everything_in_ollama_s_order(stage: Stage) -> None:
    stage.add_model("full", a_model(), [
        ("license", b"Free."), ("license", b"Really."), ("system", b"Be kind."),
        ("params", b'{"temperature":0.5,"stop":["a","b"]}'),
        ("messages", b'[{"role":"user","content":"hi"}]'),
    ])  # fmt: skip
    reply = (await stage.ask("POST", "/api/show", {"model": "full"})).json
    assert " ".join(reply) == (
        "license modelfile parameters template system details messages model_info tensors "
        "capabilities modified_at"
    )
    assert reply["license"] == "Free.\nReally."
    assert reply["messages"] == [{"role": "user", "content": "hi"}]
    assert str(reply["parameters"]).splitlines()[1:] == [f'{"stop":<30} "a"', f'{"stop":<30} "b"']
    assert "LICENSE Free." in str(reply["modelfile"])


async def test_a_modelfile_has_the_go_template_not_the_file_s_own(stage: Stage) -> None:
    stage.add_model("full", a_model(), [("template", b"[INST] {{ .Prompt }}\n")])
    for name, line, used in (
        ("tiny", "TEMPLATE {{ .Prompt }}", "{%"),
        ("full", 'TEMPLATE "[INST] {{ .P', "[INST]"),
    ):
        reply = (await stage.ask("POST", "/api/show", {"model": name})).json
        assert line in str(reply["modelfile"])
        assert str(reply["template"]).startswith(used)


async def test_show_hides_vocabularies_unless_verbose(stage: Stage) -> None:
    words = ["a", "b", "c"]
    stage.add_model("worded", a_model(**{"tokenizer.ggml.tokens": words}))
    short = (await stage.ask("POST", "/api/show", {"model": "worded"})).json["model_info"]
    long = await stage.ask("POST", "/api/show", {"model": "worded", "verbose": True})
    info = long.json["model_info"]
    assert isinstance(short, dict)
    assert isinstance(info, dict)
    assert short["tokenizer.ggml.tokens"] is None
    assert info["tokenizer.ggml.tokens"] == words


async def test_show_writes_a_request_s_system_and_options_into_the_modelfile(stage: Stage) -> None:
    body = {"model": "tiny", "system": "Be a cow.", "options": {"top_k": 3}}
    reply = (await stage.ask("POST", "/api/show", body)).json
    assert reply["system"] == "Be a cow."
    assert "parameters" not in reply
    assert "PARAMETER top_k 3" in str(reply["modelfile"])
    assert "SYSTEM Be a cow." in str(reply["modelfile"])


async def test_ps_says_what_a_person_wants_to_know(stage: Stage) -> None:
    await stage.chat("hi")
    models = (await stage.ask("GET", "/api/ps")).json["models"]
    assert isinstance(models, list)
    assert " ".join(models[0]) == (
        "name model size digest details expires_at size_vram context_length processor slots"
    )
    assert models[0]["name"] == "tiny:latest"
    assert models[0]["processor"] == "CPU, 1 thread"


async def test_a_copy_is_the_same_model_under_a_second_name(stage: Stage) -> None:
    body = {"source": "tiny", "destination": "mine:v1"}
    reply = await stage.ask("POST", "/api/copy", body)
    assert (reply.status, reply.body) == (200, b"")
    assert sorted(await _names(stage)) == ["mine:v1", "tiny:latest"]
    assert (await stage.chat("hi", model="mine:v1")).text == "echo: hi"


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"source": "nope", "destination": "x"}, 404, 'model "nope" not found'),
        ({"source": "a b", "destination": "x"}, 400, 'source "a b" is invalid'),
        ({"source": "tiny", "destination": "../x"}, 400, 'destination "../x" is invalid'),
        ({"source": "tiny"}, 400, 'destination "" is invalid'),
    ],
)
async def test_a_copy_that_cannot_be_says_why(
    stage: Stage, body: dict[str, object], status: int, text: str
) -> None:
    reply = await stage.ask("POST", "/api/copy", body)
    assert (reply.status, reply.error) == (status, text)


@pytest.mark.parametrize("field", ["model", "name"])
async def test_a_deleted_model_is_gone(stage: Stage, field: str) -> None:
    reply = await stage.ask("DELETE", "/api/delete", {field: "tiny"})
    assert (reply.status, reply.body) == (200, b"")
    assert await _names(stage) == []


async def test_deleting_a_loaded_model_frees_its_memory(stage: Stage) -> None:
    await stage.chat("hi")
    await stage.ask("DELETE", "/api/delete", {"model": "tiny"})
    assert stage.node.running() == ()


async def test_deleting_one_of_two_names_leaves_the_other_loaded(stage: Stage) -> None:
    await stage.ask("POST", "/api/copy", {"source": "tiny", "destination": "mine"})
    await stage.chat("hi", model="mine")
    await stage.ask("DELETE", "/api/delete", {"model": "tiny"})
    assert len(stage.node.running()) == 1


@pytest.mark.parametrize(
    ("body", "status", "text"),
    [
        ({"model": "nope"}, 404, "model 'nope' not found"),
        ({"model": "a b"}, 400, 'name "a b" is invalid'),
        ({}, 400, "model is required"),
    ],
)
async def test_a_deletion_that_cannot_be_says_why(
    stage: Stage, body: dict[str, object], status: int, text: str
) -> None:
    reply = await stage.ask("DELETE", "/api/delete", body)
    assert (reply.status, reply.error) == (status, text)


async def test_pulling_what_is_here_succeeds_line_by_line(stage: Stage) -> None:
    reply = await stage.ask("POST", "/api/pull", {"model": "tiny"})
    first, last = reply.lines[0], reply.lines[-1]
    assert (first, last) == ({"status": "pulling manifest"}, {"status": "success"})
    layer = next(line for line in reply.lines if "digest" in line)
    assert layer["digest"] == a_digest(a_model())
    assert layer["total"] == layer["completed"] == len(a_model())


async def test_an_unstreamed_pull_is_its_last_line(stage: Stage) -> None:
    reply = await stage.ask("POST", "/api/pull", {"name": "tiny", "stream": False})
    assert reply.body == b'{"status":"success"}'


async def test_pulling_what_nobody_has_is_an_error_in_ollama_s_words(stage: Stage) -> None:
    with a_registry() as registry:
        body = {"model": f"http://{registry.name}/a/nope", "insecure": True}
        reply = await stage.ask("POST", "/api/pull", body)
        whole = await stage.ask("POST", "/api/pull", {**body, "stream": False})
    words = "pull model manifest: file does not exist"
    hint = "check the name and its tag"
    assert reply.lines == [{"status": "pulling manifest"}, {"error": words, "hint": hint}]
    assert (whole.status, whole.error) == (404, words)


async def test_a_model_goes_to_a_registry_and_comes_back(stage: Stage) -> None:
    with a_registry() as registry:
        name = f"{registry.name}/me/tiny"
        await stage.ask("POST", "/api/copy", {"source": "tiny", "destination": name})
        body = {"model": name, "insecure": True}
        pushed = await stage.ask("POST", "/api/push", body)
        await stage.ask("DELETE", "/api/delete", {"model": name})
        pulled = await stage.ask("POST", "/api/pull", body)
    assert pushed.lines[0] == {"status": "retrieving manifest"}
    assert pushed.lines[-2:] == [{"status": "pushing manifest"}, {"status": "success"}]
    assert pulled.lines[-1] == {"status": "success"}
    assert f"{name}:latest" in await _names(stage)


async def test_plain_http_needs_the_flag(stage: Stage) -> None:
    for path in ("/api/pull", "/api/push"):
        reply = await stage.ask("POST", path, {"model": "http://127.0.0.1:1/a/tiny"})
        assert reply.status in {400, 404}


async def test_two_nodes_share_one_store(tmp_path: Path) -> None:
    async with staged(tmp_path) as one, staged(tmp_path) as two:
        one.add_model("extra", a_model(**{"general.name": "Extra"}))
        assert sorted(await _names(two)) == ["extra:latest", "tiny:latest"]
        await two.ask("DELETE", "/api/delete", {"model": "extra"})
        assert await _names(one) == ["tiny:latest"]


async def test_every_reply_is_compact_json(stage: Stage) -> None:
    for path in ("/api/tags", "/api/ps", "/api/version"):
        body = (await stage.ask("GET", path)).body
        assert (
            body == json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False).encode()
        )
