"""Live search, against a hub on a socket."""

from collections.abc import Iterator

import pytest

from puna.errors import Unavailable
from puna.library.hub_search import search_hub
from puna.settings import Address, read_address
from tests.fakes.hub import FakeHub, a_search_row, running_hub


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with running_hub() as fake:
        yield fake


def address(hub: FakeHub) -> Address:
    return read_address(hub.url)


def test_repositories_come_with_what_the_hub_knows(hub: FakeHub) -> None:
    hub.search = [a_search_row(), a_search_row("meta/Llama-GGUF", gated="manual", gguf=None)]
    bielik, llama = search_hub("bielik", address(hub))
    assert str(bielik.name) == "hf.co/speakleash/Bielik-11B-v3.0-Instruct-GGUF:latest"
    assert (bielik.downloads, bielik.context, str(bielik.parameters)) == (12345, 32768, "11.2B")
    assert (bielik.licence, bielik.languages, bielik.is_gated) == ("apache-2.0", ("pl",), False)
    assert (llama.is_gated, llama.parameters, llama.context) == (True, 0, 0)


def test_the_hub_is_asked_for_gguf_and_gets_no_token(hub: FakeHub) -> None:
    search_hub("bielik 11b", address(hub))
    assert hub.heard[0].path.startswith("/api/models?search=bielik+11b&filter=gguf&sort=downloads")
    assert hub.heard[0].token == ""


@pytest.mark.parametrize("row", [{}, {"id": "no-user"}, {"id": "a/../b"}, "text", None, {"id": 5}])
def test_a_row_without_a_usable_name_is_left_out(hub: FakeHub, row: object) -> None:
    hub.search = [row, a_search_row(tags=[7], gguf={"total": "many"}, downloads=-1)]
    assert len(search_hub("x", address(hub))) == 1


@pytest.mark.parametrize("answer", [{"error": "x"}, "text", None, 5])
def test_an_answer_that_is_no_list_is_said(hub: FakeHub, answer: object) -> None:
    hub.search = answer
    with pytest.raises(Unavailable, match="no list of models"):
        search_hub("x", address(hub))
