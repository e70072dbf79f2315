"""`puna fit` of a small file, on a machine whose memory the test decides."""

import json
from pathlib import Path

import pytest

from puna.cli.fit import Seat, Subject, as_data, as_text, seat_of
from puna.hardware.devices import Device, DeviceKind
from puna.hardware.memory import Memory
from puna.models.fit import Plan, Room, RoomKind
from puna.models.fit_offload import CardRoom, Offloading
from puna.models.gguf import read_header
from puna.settings import load_settings
from puna.units import Size
from tests.builders import LLAMA, a_gguf
from tests.fakes.console import Ran, puna
from tests.former import write_old
from tests.stores import put


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.gguf"
    path.write_bytes(a_gguf({**LLAMA, "llama.context_length": 16384}))
    return path


def fit(file: Path, *flags: str, **environ: str) -> Ran:
    return puna("fit", str(file), *flags, environ={"PUNA_HOME": str(file.parent)} | environ)


def rows(ran: Ran) -> list[list[str]]:
    """The rows of the table of plans."""
    start = next(number for number, line in enumerate(ran.lines) if line.startswith("CONTEXT"))
    return [line.split() for line in ran.lines[start + 1 :] if line[:1].isdigit()]


def test_the_servers_context_and_longer_ones_are_shown(file: Path) -> None:
    ran = fit(file, PUNA_MEMORY_LIMIT="16GB")
    assert ran.code == 0
    assert [(row[0], row[1]) for row in rows(ran)] == [("4096", "4"), ("8192", "4"), ("16384", "4")]
    assert all("memory    fits, " in line for line in ran.lines if line[:1].isdigit())


def test_what_does_not_fit_says_by_how_much_and_what_would(file: Path) -> None:
    ran = fit(file, "--context", "4096", PUNA_MEMORY_LIMIT="20MB")
    assert ran.code == 0
    assert "does not fit, " in ran.out
    assert " MB too few" in ran.out
    assert "Ways out:\n  " in ran.out


def test_a_context_beyond_the_training_is_said_to_be_capped(file: Path) -> None:
    assert "A server takes 16384 tokens at most" in fit(file, "--context", "20000").out
    assert "A server takes" not in fit(file, "--context", "16384").out


def test_json_holds_the_same_in_bytes(file: Path) -> None:
    ran = fit(file, "--context", "512", "--parallel", "2", "--json", PUNA_MEMORY_LIMIT="20MB")
    value = json.loads(ran.out)
    (plan,) = value["plans"]
    assert (value["fits"], plan["fits"], plan["context"], plan["parallel"]) == (
        False,
        False,
        512,
        2,
    )
    parts = sum(plan[name] for name in ("weights", "cache", "buffers", "margin"))
    assert parts == plan["total"]
    assert plan["short_by"] == plan["verdicts"][0]["needed"] - 20_000_000 > 0
    assert value["devices"][0]["kind"] == "processor"


def test_a_smaller_cache_type_takes_less(file: Path) -> None:
    sizes = [
        json.loads(fit(file, "--context", "16384", "--cache-type", kind, "--json").out)
        for kind in ("f16", "q8_0", "q4_0")
    ]
    caches = [value["plans"][0]["cache"] for value in sizes]
    assert caches == sorted(caches, reverse=True)
    assert len(set(caches)) == 3


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--context", "0"], "invalid value for '--context'"),
        (["--parallel", "-1"], "invalid value for '--parallel'"),
        (["--cache-type", "q5"], "invalid value for '--cache-type'"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(file: Path, flags: list[str], message: str) -> None:
    ran = fit(file, *flags)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"Error: {message}")


def test_a_file_that_is_no_model_is_one_clear_line(file: Path) -> None:
    file.write_bytes(b"not a model")
    ran = fit(file)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("Error: ")
    assert "defect" not in ran.err


def test_an_unknown_model_says_so(tmp_path: Path) -> None:
    ran = puna("fit", "nope", environ={"PUNA_HOME": str(tmp_path)})
    assert (ran.code, ran.err.splitlines()[0]) == (1, "Error: model 'nope' not found")


def test_what_makes_a_model_see_is_counted(file: Path) -> None:
    store = file.parent / "models"
    eyes = {"general.architecture": "clip", "clip.has_vision_encoder": True}
    put(store, "blind", file.read_bytes())
    put(store, "seeing", file.read_bytes(), projector=a_gguf(eyes, {}))

    def needed(name: str) -> int:
        ran = puna("fit", name, "--json", environ={"PUNA_HOME": str(file.parent)})
        return int(json.loads(ran.out)["plans"][0]["total"])

    assert needed("seeing") - needed("blind") > 170_000_000


def test_a_file_that_cannot_be_loaded_is_refused_with_one_that_works(tmp_path: Path) -> None:
    path = tmp_path / "old.gguf"
    path.write_bytes(a_gguf({**LLAMA, "general.architecture": "mllama"}))
    ran = fit(path)
    assert ran.code == 1
    assert "a file of the form mllama" in ran.err
    assert "such as hf.co/" in ran.err


def test_an_old_file_that_sees_is_measured_in_both_its_parts(tmp_path: Path) -> None:
    path = write_old(tmp_path / "gemma3.gguf", "gemma3")
    plain = json.loads(fit(path, "--json", PUNA_MEMORY_LIMIT="16GB").out)
    assert plain["fits"]


def test_a_model_that_is_not_here_is_told_of_by_the_list(tmp_path: Path) -> None:
    ran = puna("fit", "bielik", environ={"PUNA_HOME": str(tmp_path), "PUNA_MEMORY_LIMIT": "24GB"})
    assert ran.code == 0
    assert ran.lines[0].startswith("bielik:11b: 11.")
    assert [row[0] for row in rows(ran)] == ["4096", "8192", "16384", "32768"]
    assert "Not here yet: figures of the list of 20" in ran.err
    assert "`puna pull bielik:11b` fetches 6." in ran.err


def test_a_wish_counts_for_it_too_and_json_says_that_it_is_not_here(tmp_path: Path) -> None:
    words = ("fit", "llama3.1:70b", "--context", "8192", "--parallel", "2", "--json")
    environ = {"PUNA_HOME": str(tmp_path), "PUNA_MEMORY_LIMIT": "24GB"}
    value = json.loads(puna(*words, environ=environ).out)
    assert (value["is_here"], value["fits"]) == (False, False)
    assert [(plan["context"], plan["parallel"]) for plan in value["plans"]] == [(8192, 2)]


@pytest.mark.parametrize("name", ["nonsense", "bielik:99b"])
def test_a_model_that_nobody_knows_is_to_be_searched_for(tmp_path: Path, name: str) -> None:
    ran = puna("fit", name, environ={"PUNA_HOME": str(tmp_path)})
    assert ran.code == 1
    assert f"model '{name}' not found" in ran.err
    assert f"`puna search {name}`" in ran.err


GB = 10**9
PLAN = Plan(4096, 1)


def seated(file: Path, layers: int, *, memory: int) -> tuple[Subject, Seat]:
    """The file on a machine whose card has room for so many of its three layers."""
    header = read_header(file)
    free = Offloading(header).needed(PLAN, layers)
    card = CardRoom("CUDA0", 0, free, free, "Tesla T4")
    rooms = [
        Room("memory", RoomKind.MEMORY, Size(memory), Size(memory)),
        Room("Tesla T4", RoomKind.CARD, free, Size(16 * GB)),
    ]
    seat = seat_of(header, PLAN, rooms, [card], load_settings({}).node)
    return Subject("small", "1M", "Q4_0", 16384, header), seat


def test_layers_on_cards_are_told_with_what_stays_in_memory(file: Path) -> None:
    subject, seat = seated(file, 2, memory=GB)

    assert seat.fits
    words = as_text(subject, [], [seat]).splitlines()[-1].split()
    assert words[:6] == ["4096", "2", "of", "3", "Tesla", "T4:"]
    offload = json.loads(as_data(subject, [], [seat]))["plans"][0]["offload"]
    assert (offload["layers"], offload["all_layers"]) == (2, 3)
    assert [each["name"] for each in offload["cards"]] == ["CUDA0"]


def test_what_stays_in_memory_has_to_fit_there(file: Path) -> None:
    subject, seat = seated(file, 2, memory=1000)

    assert seat.offload is None
    assert json.loads(as_data(subject, [], [seat]))["plans"][0]["offload"] is None


def test_the_command_that_makes_a_card_usable_stands_whole_below_the_tables(file: Path) -> None:
    subject, seat = seated(file, 3, memory=GB)
    command = "pip install --force-reinstall --index-url " + "x" * 100
    memory = Memory(Size(GB), Size(GB))
    card = Device("T4", DeviceKind.CARD, memory, usable=False, reason="no", remedy=command)

    assert f"T4: {command}" in as_text(subject, [card], [seat], width=60).splitlines()
