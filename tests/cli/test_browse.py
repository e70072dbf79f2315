"""`puna browse` and `puna search`: what is printed, where the verdicts come from, what is said."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from puna.cli.shop import offer_table
from puna.node.replies import Fields
from puna.text import cell_width
from tests.fakes.console import Ran, puna
from tests.fakes.hub import FakeHub, a_search_row, running_hub
from tests.fakes.node import Canned, FakeNode

NOBODY = "127.0.0.1:9"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with running_hub() as fake:
        yield fake


def here(home: Path, *arguments: str, **environ: str) -> Ran:
    defaults = {"PUNA_HOME": str(home), "PUNA_HOST": NOBODY, "PUNA_MEMORY_LIMIT": "8GB"}
    return puna(*arguments, environ=defaults | environ)


def names(ran: Ran) -> list[str]:
    return [line.split()[0] for line in ran.lines[1:] if line.strip()]


def test_the_table_holds_what_to_know_before_a_download(tmp_path: Path) -> None:
    ran = here(tmp_path, "browse")
    assert ran.code == 0
    header = ["NAME", "SIZE", "CONTEXT", "VERDICT", "CAN", "LANGUAGES", "LICENCE"]
    assert ran.lines[0].split() == header
    line = next(line for line in ran.lines if line.startswith("bielik:4.5b "))
    assert "5.1 GB     32K        fits, " in line
    assert line.endswith("tools              pl, en            Apache-2.0")
    large = next(line for line in ran.lines if line.startswith("llama3.1:70b"))
    assert "does not fit, " in large
    assert "List of 2026-11-24; ~ marks a size" in ran.err


def test_what_fits_is_decided_by_the_memory(tmp_path: Path) -> None:
    small = names(here(tmp_path, "browse", "--fits", PUNA_MEMORY_LIMIT="2GB"))
    large = names(here(tmp_path, "browse", "--fits", PUNA_MEMORY_LIMIT="900GB"))
    assert "smollm2:135m" in small
    assert "bielik:11b" not in small
    assert "deepseek-v3:671b" in large


@pytest.mark.parametrize(
    ("flag", "has", "lacks"),
    [
        ("--tools", "llama3.1:8b", "phi4:14b"),
        ("--vision", "gemma3:4b", "gemma3:1b"),
        ("--embedding", "bge-m3:567m", "llama3.1:8b"),
        ("--thinking", "gpt-oss:20b", "mistral:7b"),
        ("--insert", "qwen2.5-coder:7b", "qwen2.5:7b"),
    ],
)
def test_abilities_choose(tmp_path: Path, flag: str, has: str, lacks: str) -> None:
    found = names(here(tmp_path, "browse", flag))
    assert has in found
    assert lacks not in found


def test_words_look_in_names_languages_and_makers(tmp_path: Path) -> None:
    assert set(names(here(tmp_path, "search", "--offline", "BIELIK", "4.5b"))) == {
        "bielik:4.5b",
        "bielik:4.5b-q4_k_m",
    }
    assert "pllum:8b" in names(here(tmp_path, "search", "--offline", "pl"))
    assert "phi4:14b" in names(here(tmp_path, "search", "--offline", "microsoft"))


def test_the_hub_is_searched_too(tmp_path: Path, hub: FakeHub) -> None:
    hub.search = [a_search_row("x/Bielik-GGUF", gated="auto")]
    ran = here(tmp_path, "search", "bielik", **hub.environ())
    assert "ON THE HUB             PARAMETERS    CONTEXT    DOWNLOADS    LICENCE" in ran.out
    assert (
        "hf.co/x/Bielik-GGUF    11.2B         32K        12K          apache-2.0, gated" in ran.out
    )


def test_without_a_network_the_list_answers_and_that_is_said(tmp_path: Path) -> None:
    ran = here(tmp_path, "search", "bielik", HF_ENDPOINT=f"http://{NOBODY}")
    assert ran.code == 0
    assert "bielik:11b" in names(ran)
    assert "The Hugging Face hub was not searched: nothing answers at http://127.0.0.1:9" in ran.err


def test_nothing_found_is_said_and_prints_nothing(tmp_path: Path) -> None:
    ran = here(tmp_path, "search", "--offline", "xyzzy")
    assert (ran.code, ran.out) == (0, "")
    assert "Nothing in the list of 2026-11-24 matches." in ran.err


def test_json_is_for_machines(tmp_path: Path, hub: FakeHub) -> None:
    hub.search = [a_search_row()]
    value = json.loads(here(tmp_path, "search", "bielik", "--json", **hub.environ()).out)
    assert value["date"] == "2026-11-24"
    assert value["models"][0]["model"] == "hf.co/speakleash/Bielik-11B-v3.0-Instruct-GGUF:Q4_K_M"
    assert value["models"][0]["size"] == 6_720_000_000
    assert value["hub"][0]["parameters"] == 11_168_796_672


def test_a_node_elsewhere_gives_its_own_verdicts(tmp_path: Path, node: FakeNode) -> None:
    row = {"name": "far:1b", "size": 10**9, "verdict": "fits, 99 GB left", "fits": True}
    body = json.dumps({"date": "2026-11-25", "models": [row]}).encode()
    node.canned["/api/catalog"] = Canned(body)
    ran = here(tmp_path, "browse", **node.environ())
    assert names(ran) == ["far:1b"]
    assert "fits, 99 GB left" in ran.out
    assert "List of 2026-11-25" in ran.err


def test_ollama_has_no_list_so_this_machine_answers(tmp_path: Path, node: FakeNode) -> None:
    ran = here(tmp_path, "browse", **node.environ())
    assert "bielik:11b" in names(ran)
    assert "has no list of models; the verdicts are for this machine" in ran.err


@pytest.mark.parametrize(
    ("width", "left_out"), [(76, "CAN"), (80, "LANGUAGES"), (95, "LICENCE"), (200, "")]
)
def test_a_narrow_screen_gives_up_columns_from_the_right(width: int, left_out: str) -> None:
    row = {
        "name": "qwen2.5-coder:0.5b",
        "size": 398_000_000,
        "context_length": 32768,
        "verdict": "does not fit, 700 MB too few",
        "capabilities": ["completion", "tools", "insert"],
        "languages": ["en", "zh"],
        "licence": "Apache-2.0",
    }
    table, missing = offer_table([Fields(row)], width=width)
    assert max(cell_width(line) for line in table.splitlines()) <= width
    assert (missing[0] if missing else "") == left_out


def test_run_says_what_a_short_name_means(tmp_path: Path, node: FakeNode) -> None:
    ran = here(tmp_path, "run", "bielik", "hi", **node.environ())
    meant = "hf.co/speakleash/Bielik-11B-v3.0-Instruct-GGUF:Q4_K_M"
    assert f"bielik is {meant}" in ran.err
    assert node.bodies("/api/pull")[0]["model"] == meant


def test_a_name_in_the_nodes_own_store_wins(tmp_path: Path, node: FakeNode) -> None:
    node.tags = [{"name": "bielik:latest", "model": "bielik:latest"}]
    ran = here(tmp_path, "run", "bielik", "", **node.environ())
    assert "bielik is" not in ran.err
    assert not node.bodies("/api/pull")


def test_run_takes_a_link_from_the_browser(tmp_path: Path, node: FakeNode) -> None:
    link = "https://huggingface.co/x/Y-GGUF/blob/main/y.Q4_K_M.gguf"
    here(tmp_path, "run", link, "hi", **node.environ())
    assert [body["model"] for body in node.bodies("/api/show")] == ["hf.co/x/Y-GGUF:y.Q4_K_M.gguf"]
    assert node.bodies("/api/pull")[0]["model"] == link
