"""`run` of a model that embeds: one JSON array on stdout, talk on stderr."""

import json

import pytest

from puna.node.client import NodeClient, caller_for
from puna.node.measuring import (
    AnswerQuestion,
    AnswerScore,
    ShortenedText,
    VectorQuestion,
    embed,
    score,
)
from puna.settings import Address
from tests.fakes.console import Ran, a_terminal, puna
from tests.fakes.node import FakeNode, a_card

MODEL = "smollm2:135m"


def run(node: FakeNode, *arguments: str, typed: str = "") -> Ran:
    node.card = a_card(capabilities=["embedding"])
    return puna("run", *arguments, environ=node.environ(), terminal=a_terminal(typed))


def test_the_vector_is_one_json_array(node: FakeNode) -> None:
    ran = run(node, MODEL, "Hello", "there")
    assert (ran.code, json.loads(ran.out)) == (0, [0.6, -0.8])
    assert ran.err.startswith(f"{MODEL} runs on CPU")
    assert node.bodies("/api/embed")[-1] == {"model": MODEL, "input": ["Hello there"]}


def test_piped_text_comes_before_the_words(node: FakeNode) -> None:
    run(node, MODEL, "end", typed="begin")
    assert node.bodies("/api/embed")[-1]["input"] == ["begin end"]


@pytest.mark.parametrize(
    ("flags", "field", "value"),
    [
        (["--truncate"], "truncate", True),
        (["--truncate=false"], "truncate", False),
        (["--dimensions", "2"], "dimensions", 2),
        (["--keepalive", "1m"], "keep_alive", "1m"),
    ],
    ids=str,
)
def test_each_flag_reaches_the_node(
    node: FakeNode, flags: list[str], field: str, value: object
) -> None:
    assert run(node, *flags, MODEL, "hi").code == 0
    assert node.bodies("/api/embed")[-1][field] == value


def test_a_text_that_was_cut_is_said(node: FakeNode) -> None:
    node.vectors["truncated"] = [{"index": 0, "tokens": 900, "kept_tokens": 512}]
    ran = run(node, MODEL, "hi")
    assert "Note: the text was cut to fit: 512 of 900 tokens kept\n" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            [MODEL, ""],
            f'embedding models require input text. Usage: puna run {MODEL} "your text here"',
        ),
        (
            ["--truncate=maybe", MODEL, "x"],
            'invalid value for --truncate: "maybe" (must be true or false)',
        ),
    ],
)
def test_what_gives_no_vector_is_refused(node: FakeNode, arguments: list[str], words: str) -> None:
    ran = run(node, *arguments)
    assert (ran.code, ran.out, ran.err) == (1, "", f"Error: {words}\n")


def test_programs_get_vectors_and_cuts(node: FakeNode) -> None:
    node.vectors["truncated"] = [{"index": 1, "tokens": 9, "kept_tokens": 3}]
    client = NodeClient(caller_for(Address(port=node.port)))
    found = embed(client, VectorQuestion(model=MODEL, texts=["a", "b"], options={"num_ctx": 3}))
    assert found.vectors == ((0.6, -0.8),)
    assert (found.tokens, found.cuts) == (4, (ShortenedText(1, 9, 3),))
    assert node.bodies("/api/embed")[-1]["options"] == {"num_ctx": 3}


def test_programs_get_scores(node: FakeNode) -> None:
    one = {"best": "b", "margin": 0.5, "probabilities": [0.25, 0.75], "logprobs": [-3, -2]}
    node.scores = {"scores": [one, {}]}
    client = NodeClient(caller_for(Address(port=node.port)))
    question = AnswerQuestion(model=MODEL, texts=["x", "y"], candidates=["a", "b"], keep_alive="1m")
    first, empty = score(client, question)
    assert first == AnswerScore("b", 0.5, (0.25, 0.75), (-3, -2))
    assert empty == AnswerScore("", 0.0, (), ())
    body = {"model": MODEL, "prefix": "", "texts": ["x", "y"], "candidates": ["a", "b"]}
    assert node.bodies("/api/score") == [body | {"keep_alive": "1m"}]
