"""`run` with a prompt: data on stdout, talk on stderr, and what is asked of the node."""

import json
import threading
from pathlib import Path

import pytest

from puna.node.asking import Question, generate
from puna.node.client import NodeClient, caller_for
from puna.settings import Address
from tests.fakes.console import Ran, a_terminal, puna
from tests.fakes.node import FakeNode, a_card, an_error
from tests.pictures import a_picture, as_text

MODEL = "smollm2:135m"
FIRST_LINE = "smollm2:135m runs on CPU, 2 threads: 310 MB of memory, context 4 x 8192\n"


def run(node: FakeNode, *arguments: str, typed: str = "") -> Ran:
    return puna("run", *arguments, environ=node.environ(), terminal=a_terminal(typed))


def questions(node: FakeNode) -> list[dict[str, object]]:
    """What was asked after the model was loaded."""
    return [dict(body) for body in node.bodies("/api/generate") if body.get("stream")]


def test_the_answer_is_on_stdout_and_the_talk_on_stderr(node: FakeNode) -> None:
    ran = run(node, MODEL, "What", "is", "it?")
    assert (ran.code, ran.out, ran.err) == (0, "A bun and meat.\n\n", FIRST_LINE)
    assert questions(node) == [{"model": MODEL, "prompt": "What is it?", "stream": True}]


def test_piped_text_comes_before_the_prompt(node: FakeNode) -> None:
    run(node, MODEL, "Summarise.", typed="a long\ntext")
    assert questions(node)[0]["prompt"] == "a long\ntext Summarise."


def test_piped_text_alone_is_the_prompt(node: FakeNode) -> None:
    run(node, MODEL, typed="a question\n")
    assert questions(node)[0]["prompt"] == "a question\n"


def test_an_empty_prompt_only_loads(node: FakeNode) -> None:
    ran = run(node, MODEL, "")
    assert (ran.code, ran.out, ran.err) == (0, "", FIRST_LINE)
    assert node.bodies("/api/generate") == [{"model": MODEL, "stream": False}]


@pytest.mark.parametrize(
    ("flags", "field", "value"),
    [
        (["--format", "json"], "format", "json"),
        (["--format", '{"type":"object"}'], "format", {"type": "object"}),
        (["--keepalive", "10m"], "keep_alive", "10m"),
        (["--think"], "think", True),
        (["--think=high"], "think", "high"),
        (["--think=false"], "think", False),
        ([], "think", True),
    ],
    ids=str,
)
def test_each_flag_reaches_the_node(
    node: FakeNode, flags: list[str], field: str, value: object
) -> None:
    node.card = a_card(capabilities=["completion", "thinking"])
    assert run(node, *flags, MODEL, "hi").code == 0
    assert questions(node)[0][field] == value


def test_a_model_that_cannot_think_is_not_asked_to(node: FakeNode) -> None:
    ran = run(node, MODEL, "hi", "--think")
    assert ran.err.startswith(f'warning: model "{MODEL}" does not support thinking output\n')
    assert "think" not in questions(node)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [MODEL, "hi", "--think=much"],
            'invalid value for --think: "much" (must be true, false, high, medium, low, or max)',
        ),
        ([MODEL, "hi", "--keepalive", "soon"], '"soon" is not a duration'),
        ([MODEL, "hi", "--format", "{"], "the value of --format is neither json nor a JSON schema"),
        (["./no.gguf", "hi"], 'file "./no.gguf" does not exist'),
        ([], "missing argument 'MODEL'"),
        ([MODEL, "--frmat", "json"], "no such option '--frmat'"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    node: FakeNode, arguments: list[str], message: str
) -> None:
    ran = run(node, *arguments)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[0].startswith(f"Error: {message}")
    assert node.asked == []


def test_keepalive_zero_does_not_unload_before_the_question(node: FakeNode) -> None:
    run(node, MODEL, "hi", "--keepalive", "0s")
    asked = [(body.get("keep_alive"), "prompt" in body) for body in node.bodies("/api/generate")]
    assert asked == [(None, False), ("0s", True)]


def test_verbose_prints_figures_on_stderr(node: FakeNode) -> None:
    ran = run(node, MODEL, "hi", "--verbose")
    assert ran.out == "A bun and meat.\n\n"
    assert ran.err.splitlines()[1] == "total duration:       1.5s"


def test_the_flag_of_the_program_is_the_flag_of_the_command(node: FakeNode) -> None:
    ran = puna("--verbose", "run", MODEL, "hi", environ=node.environ())
    assert "eval rate:            64.00 tokens/s" in ran.err


def test_thoughts_are_set_apart(node: FakeNode) -> None:
    node.card = a_card(capabilities=["completion", "thinking"])
    node.pieces = [{"thinking": "Let me "}, {"thinking": "see."}, {"text": "A bun."}]
    assert run(node, MODEL, "hi").out == "Thinking...\nLet me see.\n...done thinking.\n\nA bun.\n\n"
    assert run(node, MODEL, "hi", "--hidethinking").out == "A bun.\n\n"


def test_a_tool_call_is_shown_as_text(node: FakeNode) -> None:
    call = {"function": {"name": "weather", "arguments": {"city": "Łódź"}}}
    node.pieces = [{"tool_calls": [call]}]
    assert run(node, MODEL, "hi").out == (
        'Model called a non-existent function \'weather()\' with arguments: {"city": "Łódź"}\n\n'
    )


def test_a_prompt_that_was_cut_is_said(node: FakeNode) -> None:
    node.final["truncated"] = {
        "prompt_tokens": 9000,
        "kept_tokens": 4000,
        "context_length": 4096,
        "dropped_messages": 3,
    }
    assert run(node, MODEL, "hi").err.splitlines()[1] == (
        "Note: the prompt was cut to fit the context of 4096 tokens: 4000 of 9000 tokens kept,"
        " 3 earlier messages left out"
    )


def test_an_error_in_the_middle_ends_the_answer(node: FakeNode) -> None:
    node.pieces = [{"text": "A bun"}, {"error": "the engine died: out of memory"}]
    ran = run(node, MODEL, "hi")
    assert (ran.code, ran.out) == (1, "A bun")
    assert ran.err.splitlines()[1] == "Error: the engine died: out of memory"


def test_a_load_that_fails_is_the_error(node: FakeNode) -> None:
    node.canned["/api/generate"] = an_error("not enough memory: 3 GB missing", 500)
    ran = run(node, MODEL, "hi")
    assert (ran.code, ran.out, ran.err) == (1, "", "Error: not enough memory: 3 GB missing\n")


def test_an_unknown_model_names_those_like_it(node: FakeNode) -> None:
    node.canned["/api/pull"] = an_error("pull model manifest: file does not exist", 404)
    ran = run(node, "smolm2", "hi")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[0] == "Error: model 'smolm2' not found; similar: smollm2:135m"


def test_a_model_that_is_not_here_is_fetched_first(node: FakeNode) -> None:
    node.canned["/api/pull"] = an_error("no network", 500)
    ran = run(node, "other", "hi")
    assert ran.err.splitlines()[0] == "Error: model 'other' not found: no network"
    assert node.bodies("/api/pull") == [{"model": "other", "insecure": False, "stream": True}]


def test_a_file_is_named_to_the_node_by_its_whole_path(node: FakeNode, tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(b"GGUF")
    run(node, str(file), "hi")
    assert node.bodies("/api/show") == [{"model": str(file), "verbose": False}]
    assert node.bodies("/api/pull") == []


def test_a_file_needs_a_node_on_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(b"GGUF")
    ran = puna("run", str(file), "hi", environ={"PUNA_HOST": "192.0.2.1:1"})
    assert ran.err.startswith("Error: the server at http://192.0.2.1:1 cannot open")


def test_a_model_cannot_send_escapes_to_the_screen(node: FakeNode) -> None:
    node.pieces = [{"text": "a\x1b[2J\r"}, {"text": "\nb\x9b c"}]
    screen = puna("run", MODEL, "hi", environ=node.environ(), terminal=a_terminal(screen=True))
    pipe = run(node, MODEL, "hi")
    assert (screen.out, pipe.out) == ("a�[2J\nb� c\n\n", "a\x1b[2J\r\nb\x9b c\n\n")


def test_words_are_wrapped_on_a_screen_and_never_in_a_pipe(node: FakeNode) -> None:
    text = "word " * 40
    node.pieces = [{"text": text}]
    screen = puna("run", MODEL, "hi", environ=node.environ(), terminal=a_terminal(screen=True))
    whole = puna(
        "run", MODEL, "hi", "--nowordwrap", environ=node.environ(), terminal=a_terminal(screen=True)
    )
    assert max(len(line) for line in screen.lines) < 80
    assert whole.out == run(node, MODEL, "hi").out == text + "\n\n"


def test_a_client_that_stops_reading_stops_the_model(node: FakeNode) -> None:
    node.hold = threading.Event()
    client = NodeClient(caller_for(Address(port=node.port)))
    chunks = generate(client, Question(model=MODEL, prompt="hi"))
    assert next(chunks).text == "A bun "
    chunks.close()
    assert node.client_left.wait(90)


def test_a_question_is_valid_json_whatever_was_typed(node: FakeNode) -> None:
    run(node, MODEL, "caf\udce9 \u0000")
    assert json.dumps(questions(node)[0]["prompt"]) == '"caf\\ufffd \\u0000"'


def test_an_image_in_the_prompt_is_shown_to_a_model_that_sees(
    node: FakeNode, tmp_path: Path
) -> None:
    file = tmp_path / "photo.png"
    file.write_bytes(a_picture())
    node.card = a_card(capabilities=["completion", "vision"])
    ran = run(node, MODEL, f"what is in this picture? {file}")
    assert (ran.code, ran.err) == (0, f"Added image '{file}'\n{FIRST_LINE}")
    asked = {"prompt": "what is in this picture?", "images": [as_text(a_picture())]}
    assert questions(node) == [{"model": MODEL, **asked, "stream": True}]


def test_an_image_that_cannot_be_shown_is_an_error(node: FakeNode, tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    file.write_bytes(b"hello")
    node.card = a_card(capabilities=["completion", "vision"])
    ran = run(node, MODEL, str(file))
    assert ran.code == 1
    assert f"Error: '{file}': invalid image input: this is no image of a known format" in ran.err
    assert questions(node) == []
