"""`list`, `show`, `cp`, `rm`, `pull`, `ps` and `stop`, against a node."""

import json

import pytest

from tests.fakes.console import puna
from tests.fakes.node import Canned, FakeNode, a_card, a_running, a_tag, an_error


def test_list_shows_the_models_in_the_order_of_the_node(node: FakeNode) -> None:
    node.tags = [a_tag("b:latest"), a_tag("a:latest", size=5)]
    assert puna("list", environ=node.environ()).lines == [
        "NAME        ID              SIZE     MODIFIED",
        "b:latest    5f1c00000000    98 MB    About an hour ago",
        "a:latest    5f1c00000000    5 B      About an hour ago",
    ]


@pytest.mark.parametrize("command", ["list", "ls"])
def test_list_takes_a_prefix_in_any_case(node: FakeNode, command: str) -> None:
    node.tags = [a_tag("Qwen:latest"), a_tag("llama:latest")]
    lines = puna(command, "qW", environ=node.environ()).lines
    assert [line.split()[0] for line in lines] == ["NAME", "Qwen:latest"]


def test_ps_shows_what_is_in_memory(node: FakeNode) -> None:
    assert puna("ps", environ=node.environ()).lines == [
        "NAME            ID              SIZE      PROCESSOR    CONTEXT    UNTIL",
        "smollm2:135m    5f1c00000000    310 MB    100% CPU     8192       5 minutes from now",
    ]


def test_ps_takes_a_prefix_in_this_case_only(node: FakeNode) -> None:
    node.running = [a_running("Qwen:latest"), a_running("qwen:latest")]
    lines = puna("ps", "qw", environ=node.environ()).lines
    assert [line.split()[0] for line in lines] == ["NAME", "qwen:latest"]


def test_show_prints_sections(node: FakeNode) -> None:
    node.card = a_card(system="Be brief.\n\nBe kind.\nBe true.", license="Apache License")
    assert (
        puna("show", "smollm2:135m", environ=node.environ()).out
        == """\
  Model
    architecture        llama
    parameters          135M
    context length      8192
    embedding length    576
    quantization        Q4_1

  Capabilities
    completion

  Parameters
    temperature    0.7
    stop           "<|im_end|>"

  System
    Be brief.
    Be kind.
    ...

  License
    Apache License

"""
    )


@pytest.mark.parametrize("part", ["license", "modelfile", "parameters", "template", "system"])
def test_show_prints_one_part_as_it_is_stored(node: FakeNode, part: str) -> None:
    node.card = a_card(**{part: f"the {part}\n  as stored"})
    assert puna("show", "smollm2:135m", f"--{part}", environ=node.environ()).out == (
        f"the {part}\n  as stored\n"
    )


def test_show_passes_over_empty_lines_of_the_parameters(node: FakeNode) -> None:
    node.card = a_card(parameters="\n\tstop up\n\n")
    lines = puna("show", "smollm2:135m", environ=node.environ()).lines
    start = lines.index("  Parameters")
    assert lines[start : start + 3] == ["  Parameters", "    stop    up", ""]


def test_show_takes_one_part_only(node: FakeNode) -> None:
    ran = puna("show", "smollm2:135m", "--license", "--system", environ=node.environ())
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "Error: only one of '--license', '--modelfile', '--parameters', '--system', or"
        " '--template' can be specified\n"
    )


def test_show_verbose_adds_metadata_and_tensors(node: FakeNode) -> None:
    facts = {"general.architecture": "llama", "b": [1, 2, 3, 4, 5], "a": 1.5, "c": 10000.0}
    node.card = a_card(
        model_info=facts, tensors=[{"name": "output.weight", "type": "Q8_0", "shape": [576, 49152]}]
    )
    lines = puna("show", "-v", "smollm2:135m", environ=node.environ()).lines
    start = lines.index("  Metadata")
    assert lines[start : start + 9] == [
        "  Metadata",
        "    a                       1.5",
        "    b                       [1, 2, 3, ...+2 more]",
        "    c                       10000",
        "    general.architecture    llama",
        "",
        "  Tensors",
        "    output.weight    Q8_0    [576 49152]",
        "",
    ]
    assert node.bodies("/api/show") == [{"model": "smollm2:135m", "verbose": True}]


def test_show_of_an_unknown_model_says_so(node: FakeNode) -> None:
    ran = puna("show", "nope", environ=node.environ())
    assert (ran.code, ran.out, ran.err) == (1, "", "Error: model 'nope' not found\n")


def test_cp_says_what_it_copied(node: FakeNode) -> None:
    ran = puna("cp", "smollm2:135m", "mine", environ=node.environ())
    assert (ran.code, ran.out) == (0, "copied 'smollm2:135m' to 'mine'\n")
    assert node.bodies("/api/copy") == [{"source": "smollm2:135m", "destination": "mine"}]


def test_rm_unloads_and_then_deletes_each(node: FakeNode) -> None:
    node.tags = [a_tag("a:latest"), a_tag("b:latest")]
    ran = puna("rm", "a:latest", "b:latest", environ=node.environ())
    assert ran.out == "deleted 'a:latest'\ndeleted 'b:latest'\n"
    asked = [(item.path, item.body.get("model")) for item in node.asked if item.body]
    assert asked == [
        ("/api/generate", "a:latest"),
        ("/api/delete", "a:latest"),
        ("/api/generate", "b:latest"),
        ("/api/delete", "b:latest"),
    ]


def test_rm_stops_at_the_first_unknown_model(node: FakeNode) -> None:
    ran = puna("rm", "nope", "smollm2:135m", environ=node.environ())
    assert (ran.code, ran.out, ran.err) == (1, "", "Error: model 'nope' not found\n")


def test_rm_goes_on_when_a_model_cannot_be_stopped(node: FakeNode) -> None:
    node.canned["/api/generate"] = an_error("busy", 500)
    ran = puna("rm", "smollm2:135m", environ=node.environ())
    assert ran.err == "Warning: unable to stop model 'smollm2:135m'\n"
    assert ran.out == "deleted 'smollm2:135m'\n"


def test_stop_unloads(node: FakeNode) -> None:
    ran = puna("stop", "smollm2:135m", environ=node.environ())
    assert (ran.code, ran.out, ran.err) == (0, "", "")
    assert node.bodies("/api/generate") == [
        {"model": "smollm2:135m", "keep_alive": 0, "stream": False}
    ]


def test_stop_of_an_unknown_model_says_so(node: FakeNode) -> None:
    ran = puna("stop", "nope", environ=node.environ())
    assert (ran.code, ran.err) == (1, 'Error: couldn\'t find model "nope" to stop\n')


def test_pull_says_each_step_once(node: FakeNode) -> None:
    digest = "sha256:74701a8c35f6" + "0" * 52
    events = [
        {"status": "pulling manifest"},
        {"status": "pulling 74701a8c35f6", "digest": digest, "total": 10**9, "completed": 1},
        {"status": "pulling 74701a8c35f6", "digest": digest, "total": 10**9, "completed": 10**9},
        {"status": "success"},
    ]
    node.tags = [a_tag("x")]
    node.canned["/api/pull"] = Canned("".join(json.dumps(e) + "\n" for e in events).encode())
    ran = puna("pull", "x", environ=node.environ())
    assert (ran.code, ran.out) == (0, "")
    assert ran.err.splitlines() == ["pulling manifest", "pulling 74701a8c35f6 (1 GB)", "success"]


def test_a_pull_that_breaks_off_is_a_failure(node: FakeNode) -> None:
    node.canned["/api/pull"] = Canned(b'{"status":"pulling manifest"}\n')
    ran = puna("pull", "x", environ=node.environ())
    assert (ran.code, ran.err.splitlines()[-1]) == (
        1,
        "Error: the server broke off in the middle of its answer",
    )


def test_the_reason_and_the_hint_of_the_node_are_shown(node: FakeNode) -> None:
    node.canned["/api/tags"] = an_error("the store is locked", 409, Puna_Hint="wait for the pull")
    ran = puna("list", environ=node.environ())
    assert (ran.code, ran.err) == (1, "Error: the store is locked\nwait for the pull\n")


def test_a_key_is_sent_to_the_node(node: FakeNode) -> None:
    puna("list", environ=node.environ() | {"PUNA_API_KEY": "k3y"})
    assert {item.headers.get("Authorization") for item in node.asked} == {"Bearer k3y"}
