"""What a stored model brings: system text, messages, options, abilities; and models that fail."""

import json
from pathlib import Path

import pytest

from puna.node.engine.scripted import Script
from puna.settings import Address
from tests.api.stage import Stage, a_model, staged
from tests.builders import LLAMA, a_gguf


@pytest.fixture
def llama(stage: Stage) -> Stage:
    """A node with a model that has layers of its own."""
    history = [{"role": "user", "content": "who?"}, {"role": "assistant", "content": "a llama"}]
    stage.add_model(
        "llama",
        a_model(),
        [
            ("system", b"You are a llama."),
            ("params", json.dumps({"num_predict": 2, "stop": ["x"], "num_ctx": 512}).encode()),
            ("messages", json.dumps(history).encode()),
        ],
    )
    return stage


async def _rendered(stage: Stage, path: str, **body: object) -> object:
    sent = {"model": "llama", "_debug_render_only": True, **body}
    info = (await stage.ask("POST", path, sent)).json["_debug_info"]
    assert isinstance(info, dict)
    return info["rendered_template"]


FULL_NAME = "registry.ollama.ai/library/tiny:latest"
THINK_VALUES = '"high", "medium", "low", "max", true, or false)'
HISTORY = "<|user|>\nwho?\n<|assistant|>\na llama\n"
SYSTEM = "<|system|>\nYou are a llama.\n"
END = "<|assistant|>\n"


async def test_chat_begins_with_the_model_s_system_and_messages(llama: Stage) -> None:
    messages = [{"role": "user", "content": "hi"}]
    rendered = await _rendered(llama, "/api/chat", messages=messages)
    assert rendered == f"{SYSTEM}{HISTORY}<|user|>\nhi\n{END}"


async def test_a_system_message_of_the_request_replaces_the_model_s(llama: Stage) -> None:
    messages = [{"role": "system", "content": "Be a cow."}, {"role": "user", "content": "hi"}]
    rendered = await _rendered(llama, "/api/chat", messages=messages)
    assert rendered == f"{HISTORY}<|system|>\nBe a cow.\n<|user|>\nhi\n{END}"


async def test_generate_begins_with_them_too(llama: Stage) -> None:
    rendered = await _rendered(llama, "/api/generate", prompt="hi")
    assert rendered == f"{SYSTEM}{HISTORY}<|user|>\nhi\n{END}"


async def test_a_system_text_of_the_request_replaces_it_in_generate(llama: Stage) -> None:
    rendered = await _rendered(llama, "/api/generate", prompt="hi", system="Be a cow.")
    assert rendered == f"<|system|>\nBe a cow.\n{HISTORY}<|user|>\nhi\n{END}"


async def test_a_context_takes_the_place_of_the_messages(llama: Stage) -> None:
    rendered = await _rendered(llama, "/api/generate", prompt="hi", context=[1])
    assert rendered == f"<s>{SYSTEM}<|user|>\nhi\n{END}"


async def test_the_model_s_options_hold_and_the_request_s_win(llama: Stage) -> None:
    own = await llama.generate("count to 9", model="llama")
    asked = await llama.generate("count to 9", model="llama", options={"num_predict": 4})
    assert (own.text, asked.text) == ("1 2", "1 2 3 4")


async def test_the_model_s_context_is_loaded(llama: Stage) -> None:
    await llama.generate("hi", model="llama")
    running = (await llama.ask("GET", "/api/ps")).json["models"]
    assert isinstance(running, list)
    assert running[0]["context_length"] == 512


async def test_a_go_template_alone_writes_the_prompt_and_raw_does_without(stage: Stage) -> None:
    bare = {key: value for key, value in LLAMA.items() if key != "tokenizer.chat_template"}
    stage.add_model("old", a_gguf(bare), [("template", b"[INST] {{ .Prompt }} [/INST]")])
    shown = await stage.chat("hi", model="old", _debug_render_only=True)
    raw = await stage.generate("hi", model="old", raw=True)
    assert shown.json["_debug_info"] == {"rendered_template": "[INST] hi [/INST]"}
    assert raw.text == "echo: hi"


@pytest.mark.parametrize("kind", ["renderer", "parser"])
async def test_a_family_that_nobody_knows_is_refused_by_name(stage: Stage, kind: str) -> None:
    stage.add_model("new", a_model(), (), **{kind: "qwen9"})
    asked = await stage.chat("hi", model="new")
    raw = await stage.generate("hi", model="new", raw=True)
    assert (asked.status, asked.error) == (400, f'unknown {kind} "qwen9"')
    assert raw.text == "echo: hi"


async def test_a_renderer_does_not_stand_in_for_a_template(stage: Stage) -> None:
    bare = {key: value for key, value in LLAMA.items() if key != "tokenizer.chat_template"}
    stage.add_model("bare", a_gguf(bare), renderer="qwen3-coder")
    stage.add_model("own", a_model(), renderer="qwen3-coder", parser="qwen3-coder")
    assert 'renderer "qwen3-coder"' in str((await stage.chat("hi", model="bare")).error)
    given = await stage.generate("hi", model="bare", template="{{ .Prompt }}")
    assert given.json["response"] == "echo: hi"
    assert (await stage.chat("hi", model="own")).text == "echo: hi"


async def test_a_damaged_adapter_is_refused_not_left_out(stage: Stage) -> None:
    stage.add_model("tuned", a_model(), [("adapter", b"GGUF")])
    reply = await stage.chat("hi", model="tuned")
    assert (reply.status, reply.headers["Puna-Error-Code"]) == (400, "bad_gguf")


async def test_a_base_model_goes_on_from_the_bare_text(tmp_path: Path) -> None:
    async with staged(tmp_path, Script(has_chat_template=False)) as stage:
        reply = await stage.generate("Once upon", _debug_render_only=True)
    assert reply.json["_debug_info"] == {"rendered_template": "Once upon"}


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/api/generate", {"model": "nope", "prompt": "hi"}, 404, "model 'nope' not found"),
        ("/api/generate", {"prompt": "hi"}, 404, "model '' not found"),
        ("/api/generate", {"model": "a b", "prompt": "hi"}, 400, "invalid model name"),
        ("/api/generate", {"model": "../../etc"}, 400, "invalid model name"),
        ("/api/chat", {"model": "nope", "messages": []}, 404, "model 'nope' not found"),
        ("/api/chat", {"messages": []}, 400, "model is required"),
        ("/api/chat", {"model": "a b"}, 400, "invalid model name"),
        ("/api/show", {"model": "nope:1b"}, 404, "model 'nope:1b' not found"),
        ("/api/show", {"name": "nope"}, 404, "model 'nope' not found"),
        ("/api/show", {}, 400, "model is required"),
    ],
)
async def test_a_missing_model_is_told_in_ollama_s_words(
    stage: Stage, path: str, body: dict[str, object], status: int, text: str
) -> None:
    reply = await stage.ask("POST", path, body)
    assert (reply.status, reply.error) == (status, text)


@pytest.mark.parametrize(
    ("path", "fields", "text"),
    [
        ("/api/chat", {"think": True}, '"tiny" does not support thinking'),
        ("/api/generate", {"think": "high"}, '"tiny" does not support thinking'),
        ("/api/chat", {"tools": [{}]}, f"{FULL_NAME} does not support tools"),
        ("/api/generate", {"images": ["aGk="]}, f"{FULL_NAME} does not support vision"),
        ("/api/generate", {"suffix": "x"}, f"{FULL_NAME} does not support insert"),
        ("/api/chat", {"think": "hard"}, f'invalid think value: "hard" (must be {THINK_VALUES}'),
        ("/api/chat", {"think": 1}, f"think must be a boolean or string ({THINK_VALUES}"),
    ],
)
async def test_what_a_model_cannot_do_is_400(
    stage: Stage, path: str, fields: dict[str, object], text: str
) -> None:
    messages = [{"role": "user", "content": "hi"}]
    body = {"model": "tiny", "prompt": "hi", "messages": messages, **fields}
    reply = await stage.ask("POST", path, body)
    assert (reply.status, reply.error) == (400, text)


@pytest.mark.parametrize(
    "nothing", [{"think": False}, {"tools": []}, {"images": []}, {"suffix": ""}]
)
async def test_what_is_not_asked_for_needs_no_ability(
    stage: Stage, nothing: dict[str, object]
) -> None:
    reply = await stage.chat("hi", **nothing)
    assert (reply.status, reply.text) == (200, "echo: hi")


@pytest.mark.parametrize(("path", "verb"), [("/api/chat", "chat"), ("/api/generate", "generate")])
async def test_a_model_for_embeddings_does_not_chat(stage: Stage, path: str, verb: str) -> None:
    metadata = {"general.architecture": "bert", "bert.pooling_type": 1, "bert.context_length": 512}
    stage.add_model("embedder", a_model(**metadata))
    body = {"model": "embedder", "prompt": "hi", "messages": [{"role": "user", "content": "hi"}]}
    reply = await stage.ask("POST", path, body)
    assert (reply.status, reply.error) == (400, f'"embedder" does not support {verb}')


async def test_a_damaged_file_is_a_clear_error_and_harms_no_other_model(stage: Stage) -> None:
    stage.add_model("broken", b"GGUF" + b"\xff" * 100)
    broken, good = await stage.chat("hi", model="broken"), await stage.chat("hi")
    assert 400 <= broken.status <= 500
    assert len(str(broken.error).splitlines()) == 1
    assert good.text == "echo: hi"


async def test_a_failed_load_is_500_with_the_engine_s_last_words(tmp_path: Path) -> None:
    async with staged(tmp_path, Script(load_failure="tensor 5 is missing")) as stage:
        reply = await stage.chat("hi")
    assert reply.status == 500
    assert "tensor 5 is missing" in str(reply.error)


async def test_a_model_that_is_too_big_is_refused_with_the_bytes(tmp_path: Path) -> None:
    async with staged(tmp_path, memory_limit=1_000_000) as stage:
        reply = await stage.chat("hi")
    assert reply.status == 500
    assert "bytes too few" in str(reply.error)
    assert reply.headers["Puna-Hint"]


async def test_a_file_can_be_used_by_its_path(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "loose.gguf"
    file.write_bytes(a_model())
    assert (await stage.chat("hi", model=str(file))).text == "echo: hi"


async def test_a_node_that_others_reach_opens_no_files(tmp_path: Path) -> None:
    file = tmp_path / "loose.gguf"
    file.write_bytes(a_model())
    async with staged(tmp_path, host=Address(host="10.0.0.1"), api_key="k") as stage:
        body = {"model": str(file), "messages": []}
        reply = await stage.ask("POST", "/api/chat", body, Authorization="Bearer k")
    assert (reply.status, reply.headers["Puna-Error-Code"]) == (403, "files_are_local")


@pytest.mark.parametrize("path", ["/api/generate", "/api/show", "/api/embed"])
async def test_a_path_that_no_system_has_is_no_model(stage: Stage, path: str) -> None:
    reply = await stage.ask("POST", path, {"model": "/srv/a\0b", "input": "x"})
    assert (reply.status, reply.error) == (400, "invalid model name")
