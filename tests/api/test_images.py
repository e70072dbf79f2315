"""Images in Ollama's requests: what the engine sees, and what is refused before it."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from tests.api.stage import Reply, Stage, a_model, staged
from tests.builders import a_gguf
from tests.pictures import a_picture, as_text, as_url

SENSE = {"general.architecture": "clip", "clip.has_vision_encoder": True}
EYES = a_gguf({**SENSE, "clip.projector_type": "mlp"}, {})
RED, BLUE = as_text(a_picture("red", (64, 48))), as_text(a_picture("blue", (20, 10), "jpeg"))
SEEN_RED, SEEN_BLUE = "<png 64x48>", "<jpeg 20x10>"
GO = "{{ range .Messages }}<{{ .Role }}>{{ .Content }}{{ end }}<answer>"


@pytest_asyncio.fixture
async def eyes(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as stage:
        stage.add_model("eyes", a_model(), [("projector", EYES)])
        stage.add_model("go", a_model(), [("projector", EYES), ("template", GO.encode())])
        yield stage


async def chat(stage: Stage, *turns: Mapping[str, object], **fields: object) -> Reply:
    messages = [{"role": "user", "content": "what?", **turn} for turn in turns]
    body = {"model": "eyes", "messages": messages, "stream": False, **fields}
    return await stage.ask("POST", "/api/chat", body)


@pytest.mark.parametrize(
    ("text", "images", "seen"),
    [
        ("what?", [RED], f"{SEEN_RED}what?"),
        ("what?", [RED, BLUE], f"{SEEN_RED}{SEEN_BLUE}what?"),
        ("first [img] then [img] end", [RED, BLUE], f"first {SEEN_RED} then {SEEN_BLUE} end"),
        ("only [img] end", [RED, BLUE], f"{SEEN_BLUE}only {SEEN_RED} end"),
        ("one [img] and [img]", [RED], f"one {SEEN_RED} and [img]"),
        ("what?", [as_url(a_picture("red", (64, 48)))], f"{SEEN_RED}what?"),
    ],
)
async def test_a_chat_sees_images_where_they_stand(
    eyes: Stage, text: str, images: list[str], seen: str
) -> None:
    reply = await chat(eyes, {"content": text, "images": images})
    assert reply.text == f"echo: {seen}"


async def test_a_prompt_sees_images(eyes: Stage) -> None:
    reply = await eyes.generate("what?", model="eyes", images=[RED, BLUE])
    assert reply.text == f"echo: {SEEN_RED}{SEEN_BLUE}what?"
    assert "context" not in reply.json


async def test_an_image_alone_is_a_question(eyes: Stage) -> None:
    assert (await eyes.generate("", model="eyes", images=[RED])).text == f"echo: {SEEN_RED}"
    assert (await chat(eyes, {"content": "", "images": [RED]})).text == f"echo: {SEEN_RED}"


async def test_a_raw_prompt_has_its_own_marks(eyes: Stage) -> None:
    prompt = "a [img-1] b [img-0] c"
    reply = await eyes.generate(prompt, model="eyes", images=[RED, BLUE], raw=True)
    assert reply.text == f"echo: a {SEEN_BLUE} b {SEEN_RED} c"


async def test_images_count_as_tokens_of_the_prompt(eyes: Stage) -> None:
    small = (await chat(eyes, {"images": [BLUE]})).json["prompt_eval_count"]
    large = (await chat(eyes, {"images": [BLUE, as_text(a_picture("red", (320, 320)))]})).json
    assert (small, large["prompt_eval_count"]) == (18, 118)


@pytest.mark.parametrize("model", ["eyes", "go"])
async def test_the_prompt_is_shown_with_marks(eyes: Stage, model: str) -> None:
    shown = await chat(
        eyes, {"content": "a"}, {"images": [RED, BLUE]}, model=model, _debug_render_only=True
    )
    told = shown.json["_debug_info"]
    assert isinstance(told, dict)
    assert told["image_count"] == 2
    assert "[img-0][img-1]what?" in told["rendered_template"]


async def test_a_go_template_keeps_images_in_their_turns(eyes: Stage) -> None:
    turns = ({"images": [RED]}, {"role": "assistant", "content": "red"}, {"images": [BLUE]})
    reply = await chat(eyes, *turns, model="go")
    seen = f"<user>{SEEN_RED}what?<assistant>red<user>{SEEN_BLUE}what?<answer>"
    assert reply.text == f"echo: {seen}"


async def test_a_model_without_a_projector_sees_nothing(eyes: Stage) -> None:
    words = "registry.ollama.ai/library/tiny:latest does not support vision"
    for reply in (
        await chat(eyes, {"images": [RED]}, model="tiny"),
        await eyes.generate(model="tiny", images=[RED]),
    ):
        assert (reply.status, reply.error) == (400, words)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("!", "messages[0].images[0]: invalid image input: not base64"),
        (as_text(b"hello"), "messages[0].images[0]: invalid image input: this is no image"),
        (as_text(b"RIFF0000WAVEfmt "), "this is audio (wav), and models here hear nothing"),
    ],
)
async def test_what_is_no_image_is_one_clear_line(eyes: Stage, image: str, words: str) -> None:
    reply = await chat(eyes, {"images": [image]})
    assert reply.status == 400
    assert words in str(reply.error)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"suffix": "end"}, "suffix and images do not go together"),
        ({"context": [1]}, "context and images do not go together"),
        ({"raw": True, "prompt": "[img-3] x"}, "invalid image index: 3"),
        ({"raw": True, "prompt": "see [img-0]"}, "the prompt ends with an image"),
    ],
)
async def test_what_does_not_go_with_images_is_said(
    eyes: Stage, fields: dict[str, object], words: str
) -> None:
    body = {"model": "eyes", "prompt": "what?", "images": [RED], "stream": False, **fields}
    reply = await eyes.ask("POST", "/api/generate", body)
    assert reply.status == 400
    assert words in str(reply.error)


async def test_old_images_go_with_their_turns_and_none_is_cut_in_half(eyes: Stage) -> None:
    huge = as_text(a_picture("red", (640, 640)))
    turns = ({"images": [huge]}, {"role": "assistant", "content": "red"}, {"images": [BLUE]})
    reply = await chat(eyes, *turns, options={"num_ctx": 256})
    assert reply.text == f"echo: {SEEN_BLUE}what?"
    cut = reply.json["truncated"]
    assert isinstance(cut, dict)
    assert (cut["dropped_messages"], cut["context_length"]) == (1, 256)


async def test_an_image_larger_than_the_context_is_refused(eyes: Stage) -> None:
    huge = as_text(a_picture("red", (640, 640)))
    reply = await chat(eyes, {"images": [huge]}, options={"num_ctx": 256})
    assert reply.status == 400
    assert "it has 417 tokens with 1 image, and a context of 256" in str(reply.error)


async def test_show_tells_of_the_projector(eyes: Stage) -> None:
    shown = (await eyes.ask("POST", "/api/show", {"model": "eyes"})).json
    assert "vision" in str(shown["capabilities"])
    info = shown["projector_info"]
    assert isinstance(info, dict)
    assert info["clip.has_vision_encoder"] is True


async def test_a_projector_of_the_first_days_sees_although_it_names_no_kind(eyes: Stage) -> None:
    eyes.add_model("old", a_model(), [("projector", a_gguf(SENSE, {}))])
    reply = await chat(eyes, {"images": [RED]}, model="old")
    assert reply.status == 200
    assert b"<png" in reply.body


@pytest.mark.parametrize("detail", ["auto", "low"])
async def test_a_detail_that_is_wished_for_is_said_to_have_no_effect(
    eyes: Stage, detail: str
) -> None:
    url = as_url(a_picture())
    chat_part = {"type": "image_url", "image_url": {"url": url, "detail": detail}}
    item_part = {"type": "input_image", "image_url": url, "detail": detail}
    for path, field, part in (
        ("/v1/chat/completions", "messages", chat_part),
        ("/v1/responses", "input", item_part),
    ):
        turn = {"role": "user", "content": [{"type": "text", "text": "what?"}, part]}
        reply = await eyes.ask("POST", path, {"model": "eyes", field: [turn]})
        assert reply.status == 200
        assert ("image_url.detail" in str(reply.json)) is (detail == "low")


async def test_parts_are_seen_where_they_stand(eyes: Stage) -> None:
    def part(content: bytes) -> dict[str, object]:
        return {"type": "image_url", "image_url": {"url": as_url(content)}}

    words = [{"type": "text", "text": text} for text in ("first", "then", "what changed?")]
    content = [words[0], part(a_picture()), words[1], part(a_picture(size=(20, 10))), words[2]]
    turn = {"role": "user", "content": content}
    reply = await eyes.ask("POST", "/v1/chat/completions", {"model": "eyes", "messages": [turn]})
    assert f"first{SEEN_RED}then<png 20x10>what changed?" in str(reply.json["choices"])


async def test_a_result_of_a_tool_may_be_an_image(eyes: Stage) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": RED}
    result = {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "image", "source": source}],
    }
    call = {"type": "tool_use", "id": "t", "name": "camera", "input": {}}
    turns = [
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [result]},
    ]
    body = {"model": "eyes", "max_tokens": 20, "messages": turns}
    counted = (await eyes.ask("POST", "/v1/messages/count_tokens", body)).json["input_tokens"]
    reply = (await eyes.ask("POST", "/v1/messages", body)).json
    assert SEEN_RED in str(reply["content"])
    usage = reply["usage"]
    assert isinstance(usage, dict)
    assert usage["input_tokens"] == counted


async def test_eyes_in_a_form_that_only_ollama_reads_do_not_keep_a_model_from_answering(
    eyes: Stage,
) -> None:
    eyes.add_model("one", a_model(**{"llama.vision.block_count": 2}))
    assert (await chat(eyes, {"content": "hi"}, model="one")).text == "echo: hi"
    reply = await chat(eyes, {"images": [RED]}, model="one")
    assert (reply.status, reply.error) == (
        400,
        "this model was loaded without what makes it see images",
    )
