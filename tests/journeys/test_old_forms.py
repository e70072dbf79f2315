"""Files in the forms of Ollama's former engine answer, with eyes and without; real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.former import write_old
from tests.pictures import a_picture, as_text
from tests.serving import Serving

pytestmark = [pytest.mark.journey, pytest.mark.model]
SEEING = ("gemma3", "qwen25vl", "qwen3vl", "mistral3")
FAMILIES = ("gptoss", "olmo3", *SEEING)
GREEDY = {"temperature": 0, "num_predict": 3, "num_ctx": 256}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server, beside one file of each family."""
    folder = tmp_path_factory.mktemp("old")
    with Serving(folder / "home", PUNA_NUM_PARALLEL="1") as serving:
        for family in FAMILIES:
            write_old(folder / f"{family}.gguf", family)
        yield serving


def the_file(serving: Serving, family: str) -> str:
    return str(home(serving).with_name(f"{family}.gguf"))


def home(serving: Serving) -> Path:
    return Path(serving.environ["PUNA_HOME"])


@pytest.mark.parametrize("family", ["gptoss", "olmo3"])
def test_an_old_file_answers(serving: Serving, family: str) -> None:
    body = {
        "model": the_file(serving, family),
        "prompt": "hello",
        "options": GREEDY,
        "stream": False,
    }
    reply = serving.ask("/api/generate", body | {"keep_alive": 0}).last
    assert reply["eval_count"] == 3, reply


@pytest.mark.parametrize("family", SEEING)
def test_an_old_file_that_sees_is_shown_a_picture(serving: Serving, family: str) -> None:
    turn = {"role": "user", "content": "What?", "images": [as_text(a_picture("red"))]}
    name = the_file(serving, family)
    body = {"model": name, "messages": [turn], "options": GREEDY, "stream": False}
    reply = serving.ask("/api/chat", body | {"keep_alive": 0}).last
    assert reply["eval_count"] == 3, reply


def test_removing_the_model_removes_what_was_made_of_it(serving: Serving, tmp_path: Path) -> None:
    old = write_old(tmp_path / "again.gguf", "olmo3")
    old.write_bytes(old.read_bytes() + bytes(32))
    (tmp_path / "Modelfile").write_text(f"FROM {old}\n")
    serving.run("create", "again", "-f", str(tmp_path / "Modelfile"))
    made = set(home(serving).rglob("*-text.gguf"))
    serving.ask("/api/generate", {"model": "again", "prompt": "x", "options": GREEDY})
    assert len(set(home(serving).rglob("*-text.gguf")) - made) == 1
    serving.run("rm", "again")
    assert not set(home(serving).rglob("*-text.gguf")) - made
