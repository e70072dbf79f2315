"""The client of a node, against a server on a socket."""

from collections.abc import Iterator

import pytest

from puna.chat.messages import Message, Role
from puna.net import Unreachable
from puna.node.asking import Question, ToolCall, chat, generate
from puna.node.card import show_card
from puna.node.client import NodeClient, NodeRefused, NotANode, caller_for
from puna.node.pulling import pull
from puna.progress import Done, Step, Transfer
from puna.settings import Address
from puna.units import Size
from tests.fakes.node import MODEL, Canned, FakeNode, a_tag, an_error, running_node


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with running_node() as fake:
        yield fake


@pytest.fixture
def client(node: FakeNode) -> NodeClient:
    return NodeClient(caller_for(Address(port=node.port)))


HELLO = Question(model=MODEL, prompt="hi", messages=(Message(Role.USER, "hi"),))


def test_generate_yields_pieces_and_then_the_figures(client: NodeClient) -> None:
    *pieces, last = generate(client, HELLO)
    assert [piece.text for piece in pieces] == ["A bun ", "and meat."]
    assert last.is_last
    assert last.timings is not None
    assert last.timings.output_tokens == 80


def test_chat_sends_the_messages_and_reads_tool_calls(node: FakeNode, client: NodeClient) -> None:
    function = {"name": "f", "arguments": {"x": 1}}
    node.pieces = [{"text": "", "tool_calls": [{"function": function}]}]
    assert next(chat(client, HELLO)).tool_calls == (ToolCall("f", '{"x": 1}'),)
    assert node.bodies("/api/chat")[0]["messages"] == [{"role": "user", "content": "hi"}]


def test_an_error_in_the_stream_is_raised(node: FakeNode, client: NodeClient) -> None:
    node.pieces = [{"text": "A"}, {"error": "it died"}]
    chunks = generate(client, HELLO)
    assert next(chunks).text == "A"
    with pytest.raises(NodeRefused, match="it died"):
        next(chunks)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", Unreachable),
        (b'{"response":"A","done":false}\n', Unreachable),
        (b"<html>\n", NotANode),
        (b"[1]\n", NotANode),
        (b'{"response"\n', NotANode),
        (b"[" * 100_000 + b"\n", NotANode),
        (b"\xff\xfe\n", NotANode),
    ],
)
def test_a_stream_that_makes_no_sense_is_an_error(
    node: FakeNode, client: NodeClient, body: bytes, error: type[Exception]
) -> None:
    node.canned["/api/generate"] = Canned(body)
    with pytest.raises(error):
        list(generate(client, HELLO))


def test_a_refusal_carries_status_reason_and_hint(node: FakeNode, client: NodeClient) -> None:
    node.canned["/api/show"] = an_error("too big", 400, Puna_Hint="take a smaller one")
    with pytest.raises(NodeRefused) as caught:
        show_card(client, MODEL)
    refused = caught.value
    assert (refused.message, refused.reply_status, refused.hint) == (
        "too big",
        400,
        "take a smaller one",
    )


def test_a_refusal_without_a_reason_names_the_status(node: FakeNode, client: NodeClient) -> None:
    node.canned["/api/tags"] = Canned(b"", 403)
    with pytest.raises(NodeRefused, match="HTTP status 403 and no reason"):
        client.list_models()


def test_a_refusal_in_plain_text_is_told_in_its_words(node: FakeNode, client: NodeClient) -> None:
    plain = {"Content-Type": "text/plain; charset=utf-8"}
    node.canned["/api/tags"] = Canned(b"server error\n\x1b[2Jmore\n", 500, plain)
    with pytest.raises(NodeRefused) as caught:
        client.list_models()
    assert caught.value.message == "server error \N{REPLACEMENT CHARACTER}[2Jmore"


def test_nothing_listening_is_told_from_a_wrong_name() -> None:
    with pytest.raises(Unreachable) as caught:
        NodeClient(caller_for(Address(port=9))).greet()
    assert caught.value.refused


def test_a_pull_yields_progress_until_success(node: FakeNode, client: NodeClient) -> None:
    node.tags = [a_tag("x")]
    lines = (
        b'{"status":"pulling manifest"}\n'
        b'{"status":"pulling 12","digest":"sha256:12","total":9,"completed":4}\n'
        b'{"status":"success"}\n{"status":"never read"}\n'
    )
    node.canned["/api/pull"] = Canned(lines)
    assert list(pull(client, "x")) == [
        Step("pulling manifest"),
        Transfer("pulling 12", "sha256:12", Size(9), Size(4)),
        Done(),
    ]


def test_a_path_in_the_address_is_a_prefix() -> None:
    address = Address(host="h", path="/llm node")
    assert caller_for(address).url == "http://h:11434/llm%20node"
