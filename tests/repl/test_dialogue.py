"""The dialogue as a person sees it, on a terminal without escapes, against a node."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.fakes.console import Ran, a_terminal, puna
from tests.fakes.node import Canned, FakeNode, a_card, a_running, a_tag, an_error
from tests.pictures import a_picture, as_text

MODEL = "smollm2:135m"


def talk(node: FakeNode, *lines: str, **environ: str) -> Ran:
    """Type lines at the dialogue; the end of them is Ctrl-D."""
    typed = "".join(f"{line}\n" for line in lines)
    terminal = a_terminal(typed, screen=True, keys=True)
    return puna("run", MODEL, environ=node.environ() | environ, terminal=terminal)


def replies(node: FakeNode, *lines: str, **environ: str) -> str:
    """What the dialogue says to commands, without its prompts."""
    return talk(node, *lines, **environ).out.replace(">>> ", "").replace("... ", "").rstrip("\n")


def chats(node: FakeNode) -> list[Mapping[str, object]]:
    return node.bodies("/api/chat")


def said(body: Mapping[str, object]) -> list[tuple[str, str]]:
    messages = body["messages"]
    assert isinstance(messages, list)
    return [(item["role"], item["content"]) for item in messages]


def test_a_message_is_answered_and_remembered(node: FakeNode) -> None:
    ran = talk(node, "What is it?", "And then?")
    assert (ran.code, ran.out) == (0, ">>> A bun and meat.\n\n>>> A bun and meat.\n\n>>> \n")
    assert said(chats(node)[1]) == [
        ("user", "What is it?"),
        ("assistant", "A bun and meat."),
        ("user", "And then?"),
    ]


def test_the_model_is_loaded_before_the_first_word(node: FakeNode) -> None:
    ran = talk(node)
    assert node.bodies("/api/generate") == [{"model": MODEL, "stream": False}]
    assert ran.err.startswith("smollm2:135m runs on CPU, 2 threads: 310 MB of memory")


@pytest.mark.parametrize("word", ["/bye", "/exit", " /bye "])
def test_bye_leaves(node: FakeNode, word: str) -> None:
    assert talk(node, word, "never sent").out == ">>> "
    assert chats(node) == []


def test_triple_quotes_stretch_a_message(node: FakeNode) -> None:
    ran = talk(node, '"""one', "two", '"""')
    assert ran.out.startswith(">>> ... ... A bun")
    assert said(chats(node)[0]) == [("user", "one\ntwo")]


def test_empty_lines_are_not_sent(node: FakeNode) -> None:
    talk(node, "", "   ", '""""""')
    assert chats(node) == []


def test_clear_forgets_the_turns_and_keeps_the_system_message(node: FakeNode) -> None:
    out = replies(node, "/set system Be brief.", "one", "/clear", "two")
    assert "Set system message.\n" in out
    assert "Cleared session context\n" in out
    assert said(chats(node)[1]) == [("system", "Be brief."), ("user", "two")]


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("/set system You are kind.", "Set system message."),
        ("/set wordwrap", "Set 'wordwrap' mode."),
        ("/set nowordwrap", "Set 'nowordwrap' mode."),
        ("/set verbose", "Set 'verbose' mode."),
        ("/set quiet", "Set 'quiet' mode."),
        ("/set format json", "Set format to 'json' mode."),
        ("/set noformat", "Disabled format."),
        (
            "/set format xml",
            "Invalid or missing format. For 'json' mode use '/set format json'",
        ),
        ("/set nothink", "Set 'nothink' mode."),
        ("/set parameter temperature 0.5", "Set parameter 'temperature' to '0.5'"),
        ("/set parameter stop a b", "Set parameter 'stop' to 'a, b'"),
        ("/set parameter top_k many", 'Couldn\'t set parameter: "invalid int value [many]"'),
        ("/set parameter wrong 1", "Couldn't set parameter: \"unknown parameter 'wrong'\""),
        ("/set colour red", "Unknown command '/set colour'. Type /? for help"),
        ("/show colour", "Unknown command '/show colour'. Type /? for help"),
        ("/what is", "Unknown command '/what'. Type /? for help"),
        ("/show license", "No license was specified for this model."),
        ("/show system", "No system message was specified for this model."),
        ("/show template", "{{ .Prompt }}"),
        ("/load", "Usage:\n  /load <modelname>"),
        ("/save", "Usage:\n  /save <modelname>"),
        ("/save a b", "Usage:\n  /save <modelname>"),
        ("/save ../x", "error: The model name '../x' is invalid"),
        ("/load nope", "Loading model 'nope'\nCouldn't find model 'nope'"),
        ("/clear", "Cleared session context"),
    ],
)
def test_each_command_says_what_it_did(node: FakeNode, line: str, reply: str) -> None:
    assert replies(node, line) == reply


def test_save_makes_a_model_of_what_was_set_and_said(node: FakeNode) -> None:
    lines = ("/set system Be brief.", "/set parameter stop A B", "one", "/save mine")
    assert "Created new model 'mine'" in replies(node, *lines)
    (body,) = node.bodies("/api/create")
    assert (body["model"], body["from"], body["system"]) == ("mine", MODEL, "Be brief.")
    assert body["parameters"] == {"stop": ["A", "B"]}
    assert said(body) == [("user", "one"), ("assistant", "A bun and meat.")]


@pytest.mark.parametrize("quotes", ['""', '""""""'])
def test_an_empty_system_message_is_one_too(node: FakeNode, quotes: str) -> None:
    out = replies(node, f"/set system {quotes}", "one", "/show system", "/save mine")
    (body,) = node.bodies("/api/create")
    assert body["system"] == ""
    assert said(chats(node)[0]) == [("system", ""), ("user", "one")]
    assert "No system message was specified for this model." in out


def test_save_leaves_out_what_nobody_said(node: FakeNode) -> None:
    replies(node, "/save mine")
    assert node.bodies("/api/create") == [{"model": "mine", "from": MODEL, "stream": True}]


def test_think_is_for_models_that_can(node: FakeNode) -> None:
    warning = f'warning: model "{MODEL}" does not support thinking output\n'
    assert warning in talk(node, "/set think").err
    node.card = a_card(capabilities=["completion", "thinking"])
    assert replies(node, "/set think") == "Set 'think' mode."
    assert replies(node, "/set think high", "hi").startswith("Set 'think' mode to 'high'.")
    assert chats(node)[-1]["think"] == "high"
    assert replies(node, "/set think much").startswith("Invalid think level 'much'")


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        ("/set format json", "format", "json"),
        ("/set parameter num_ctx 2048", "options", {"num_ctx": 2048}),
        ("/set parameter stop a b", "options", {"stop": ["a", "b"]}),
    ],
)
def test_what_is_set_reaches_the_node(node: FakeNode, line: str, field: str, value: object) -> None:
    talk(node, line, "hi")
    assert chats(node)[0][field] == value


def test_verbose_shows_figures_until_quiet(node: FakeNode) -> None:
    assert talk(node, "/set verbose", "hi", "/set quiet", "hi").err.count("total duration") == 1


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/?", 'Use """ to begin a multi-line message.'),
        ("/help", "/set            Set session variables"),
        ("/? set", "/set nothink           Disable thinking"),
        ("/help show", "/show template     Show prompt template"),
        ("/? shortcuts", "Ctrl + d            Exit puna (/bye)"),
        ("/set", "/set format json       Enable JSON mode"),
        ("/show", "/show modelfile    Show Modelfile for this model"),
        ("/set parameter", "  temperature <float>"),
    ],
)
def test_help_goes_to_stderr(node: FakeNode, line: str, words: str) -> None:
    ran = talk(node, line)
    assert words in ran.err
    assert ran.out == ">>> >>> \n"


def test_show_info_is_the_show_command(node: FakeNode) -> None:
    assert replies(node, "/show info") == puna("show", MODEL, environ=node.environ()).out.rstrip(
        "\n"
    )


def test_show_parameters_has_the_models_and_mine(node: FakeNode) -> None:
    out = replies(node, "/set parameter temperature 0.5", "/show parameters")
    assert out.partition("\n")[2] == (
        f'Model defined parameters:\n  {"temperature":<30} 0.7\n  {"stop":<30} "<|im_end|>"\n\n'
        f"User defined parameters:\n  {'temperature':<30} 0.5"
    )


def test_show_parameters_of_a_model_without_any(node: FakeNode) -> None:
    node.card = a_card(parameters="")
    assert replies(node, "/show parameters") == (
        "Model defined parameters:\n  No additional parameters were specified for this model."
    )


def test_show_system_knows_what_was_set(node: FakeNode) -> None:
    out = replies(node, '/set system """Be', 'kind."""', "/show system")
    assert out == "Set system message.\nBe\nkind."


def test_list_is_the_list_command(node: FakeNode) -> None:
    node.tags = [a_tag(MODEL), a_tag("other:latest")]
    assert "other:latest" in replies(node, "/list")
    assert "other:latest" not in replies(node, "/list SMOL")


def test_load_goes_on_with_another_model_from_nothing(node: FakeNode) -> None:
    node.tags = [a_tag(MODEL), a_tag("other:latest")]
    node.running = [a_running(MODEL), a_running("other:latest")]
    ran = talk(node, "one", "/load other:latest", "two")
    assert "Loading model 'other:latest'\n" in ran.out
    assert "other:latest runs on CPU" in ran.err
    assert (chats(node)[1]["model"], said(chats(node)[1])) == ("other:latest", [("user", "two")])


def test_a_failure_is_said_and_the_dialogue_goes_on(node: FakeNode) -> None:
    node.canned["/api/chat"] = an_error("the engine died", 500)
    ran = talk(node, "hi", "/clear")
    assert (ran.code, "error: the engine died\n" in ran.err) == (0, True)
    assert "Cleared session context" in ran.out


def test_a_message_that_failed_is_not_remembered(node: FakeNode) -> None:
    node.pieces = [{"text": "half"}, {"error": "out of memory"}]
    talk(node, "one", "two")
    assert said(chats(node)[1]) == [("user", "two")]


def test_the_conversation_of_the_model_is_shown_first(node: FakeNode) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    node.card = a_card(messages=messages)
    assert talk(node).out == ">>> Hi\nHello!\n\n>>> \n"


def test_what_was_typed_is_kept_unless_told_otherwise(node: FakeNode, tmp_path: Path) -> None:
    talk(node, "one", "/set nohistory", "two", "/set history", "three", PUNA_HOME=str(tmp_path))
    assert (tmp_path / "history").read_text() == "one\n/set nohistory\nthree\n"


def test_no_history_is_kept_where_it_is_off(node: FakeNode, tmp_path: Path) -> None:
    talk(node, "one", PUNA_HOME=str(tmp_path), OLLAMA_NOHISTORY="1")
    assert not (tmp_path / "history").exists()


def test_a_model_that_does_not_load_is_no_dialogue(node: FakeNode) -> None:
    node.canned["/api/generate"] = an_error("not enough memory", 500)
    ran = talk(node, "hi")
    assert (ran.code, ran.out, ran.err) == (1, "", "Error: not enough memory\n")


def test_a_node_that_goes_away_is_said(node: FakeNode) -> None:
    node.canned["/api/chat"] = Canned(b'{"message":{"content":"ha"},"done":false}\n')
    assert "error: the server broke off in the middle of its answer\n" in talk(node, "hi").err


def seeing(node: FakeNode, folder: Path) -> Path:
    """Let the model see, and return an image for it."""
    node.card = a_card(capabilities=["completion", "vision"])
    file = folder / "my photo.png"
    file.write_bytes(a_picture())
    return file


def test_an_image_is_shown_and_stays_in_the_conversation(node: FakeNode, tmp_path: Path) -> None:
    file = seeing(node, tmp_path)
    ran = talk(node, f"what is '{file}'?", "and its colour?")
    assert f"Added image '{file}'" in " ".join(ran.err.split())  # a screen breaks lines
    shown = {"role": "user", "content": "what is ?", "images": [as_text(a_picture())]}
    told = {"role": "assistant", "content": "A bun and meat."}
    asked = {"role": "user", "content": "and its colour?"}
    assert chats(node)[1]["messages"] == [shown, told, asked]


def test_a_line_may_begin_with_the_path_of_an_image(node: FakeNode, tmp_path: Path) -> None:
    file = seeing(node, tmp_path)
    escaped = str(file).replace(" ", "\\ ")
    assert "Unknown command" not in talk(node, f"{escaped} what is it?").out
    assert said(chats(node)[0]) == [("user", "what is it?")]


def test_a_missing_image_is_said_and_a_command_stays_one(node: FakeNode, tmp_path: Path) -> None:
    seeing(node, tmp_path)
    ran = talk(node, "/no/such.png what?", "/no/such what?", "/show x.png")
    assert "Couldn't find '/no/such.png'" in ran.err
    assert "Unknown command '/no/such'" in ran.out
    assert len(chats(node)) == 1


def test_a_file_that_is_no_image_ends_no_dialogue(node: FakeNode, tmp_path: Path) -> None:
    seeing(node, tmp_path).write_bytes(b"hello")
    ran = talk(node, f"what is '{tmp_path}/my photo.png'?", "hello")
    assert "error: " in " ".join(ran.err.split("\n"))  # a long path stands on a line of its own
    assert "invalid image input" in ran.err
    assert len(chats(node)) == 1


def test_saving_says_that_images_are_not_kept(node: FakeNode, tmp_path: Path) -> None:
    file = seeing(node, tmp_path)
    ran = talk(node, f"{file} what?", "/save mine")
    assert "The images of the conversation are not kept" in ran.err
    assert said(node.bodies("/api/create")[0])[0] == ("user", "what?")


def test_help_tells_how_to_show_images(node: FakeNode, tmp_path: Path) -> None:
    assert "to include" not in talk(node, "/?").err
    seeing(node, tmp_path)
    assert "Use /path/to/file to include .jpg, .png, or .webp images." in talk(node, "/?").err
