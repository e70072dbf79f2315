"""Children that tell labels: whatever ends them is told, and nothing is left behind."""

import asyncio
import ctypes.util
import math
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from puna.errors import PunaError
from puna.models.fit_offload import CardRoom
from puna.models.gguf import BadGguf, read_header
from puna.node.engine.engine import EngineDied, LoadFailed
from puna.node.engine.label_engines import ChildScorer, LabelLoad, UnknownBuild
from puna.node.engine.labels import (
    ComputePath,
    LabelQuestion,
    LabelScorer,
    NotLabels,
    load_fastest,
    open_scorer,
)
from puna.units import Size
from puna.world import RealWorld
from tests.engine.floats.test_forward import KINDS
from tests.tiny_models import Tiny, write_tiny

pytestmark = pytest.mark.model

QUESTION = LabelQuestion(
    prefix="Sort into labels.\nText: ", labels=("red", "rose", "blue"), suffix="=", blank="-"
)
TEXTS = tuple(f"text {number % 37}" for number in range(100))
LIMIT_S = 90
A_CARD = CardRoom("CUDA0", 0, Size(16 * 10**9), Size(16 * 10**9), "Tesla T4")
ANOTHER = ctypes.util.find_library("c") or "libc.so.6"
"""A library that is no llama.cpp at all."""


async def rows_of(
    path: Path, by: ComputePath, texts: tuple[str, ...] = TEXTS
) -> list[tuple[float, ...] | None]:
    async with open_scorer(path, QUESTION, RealWorld(), threads=2, path=by) as scorer:
        return list((await scorer.score(texts)).rows)


@pytest.mark.parametrize("tiny", KINDS.values(), ids=KINDS)
async def test_paths_agree_on_every_kind_of_model(tiny: Tiny, tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", tiny)
    floats, kernels = [await rows_of(path, by) for by in (ComputePath.FLOAT, ComputePath.KERNELS)]
    for one, other in zip(floats, kernels, strict=True):
        assert one == pytest.approx(other, abs=0.3)


async def test_answers_do_not_depend_on_the_company(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    async with open_scorer(path, QUESTION, RealWorld(), path=ComputePath.FLOAT) as scorer:
        together = (await scorer.score(TEXTS[:37])).rows
        alone = [(await scorer.score([text])).rows[0] for text in TEXTS[:37]]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-4)


async def test_the_same_texts_give_the_same_bits_again(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    assert await rows_of(path, ComputePath.FLOAT) == await rows_of(path, ComputePath.FLOAT)


async def test_the_number_of_cores_changes_no_bit(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    found = []
    for threads in (1, 3):
        opened = open_scorer(path, QUESTION, RealWorld(), threads=threads, path=ComputePath.FLOAT)
        async with opened as scorer:
            found.append((await scorer.score(TEXTS)).rows)
    assert found[0] == found[1]


async def test_more_texts_than_one_message_holds_come_back_in_order(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny(layers=1))
    texts = tuple(f"{number:04}" for number in range(5000))
    rows = await rows_of(path, ComputePath.FLOAT, (*texts, texts[7]))
    assert len(rows) == 5001
    assert rows[5000] == rows[7]
    assert all(row and math.isfinite(sum(row)) for row in rows)


async def test_texts_that_are_far_too_long_hinder_no_other(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny(layers=1))
    texts = ("short", *(f"{number}" + "x" * 700_000 for number in range(4)), "shorter")
    rows = await rows_of(path, ComputePath.FLOAT, texts)
    assert [row is None for row in rows] == [False, True, True, True, True, False]


def processes_of(scorer: LabelScorer) -> list[psutil.Process]:
    assert isinstance(scorer, ChildScorer)
    child = psutil.Process(scorer.pid)
    return [child, *child.children(recursive=True)]


async def gone(processes: list[psutil.Process]) -> bool:
    """Wait until processes have ended."""
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=LIMIT_S)
    return not alive


async def test_each_core_has_a_process_and_none_is_left_behind(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    opened = open_scorer(path, QUESTION, RealWorld(), threads=3, path=ComputePath.FLOAT)
    async with opened as scorer:
        processes = processes_of(scorer)
        assert len(processes) == 4
    assert await gone(processes)


@pytest.mark.parametrize(
    ("victim", "words"),
    [(0, "killed"), (1, "the process of a core ended with code -9")],
    ids=["the child", "a core"],
)
async def test_a_process_that_is_killed_is_told_and_takes_the_others_with_it(
    victim: int, words: str, tmp_path: Path
) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    opened = open_scorer(path, QUESTION, RealWorld(), threads=1, path=ComputePath.FLOAT)
    async with opened as scorer:
        processes = processes_of(scorer)
        processes[victim].kill()
        with pytest.raises(EngineDied, match=words):
            await scorer.score(TEXTS)
        assert await gone(processes)


async def test_what_is_asked_of_a_scorer_that_was_stopped_is_refused(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    async with open_scorer(path, QUESTION, RealWorld(), path=ComputePath.KERNELS) as scorer:
        await scorer.stop()
        with pytest.raises(EngineDied, match="stopped"):
            await scorer.score(TEXTS)


async def test_a_model_that_the_float_path_does_not_know_is_left_to_llama_cpp(
    tmp_path: Path,
) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny(), rope__scaling__type="linear")
    async with open_scorer(path, QUESTION, RealWorld()) as scorer:
        assert scorer.choice.path is ComputePath.KERNELS
        assert "the setting llama.rope.scaling.type" in scorer.choice.why
    with pytest.raises(LoadFailed, match=r"setting llama\.rope\.scaling\.type"):
        await rows_of(path, ComputePath.FLOAT)


async def test_floats_that_do_not_fit_leave_the_model_to_llama_cpp(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    opened = open_scorer(path, QUESTION, RealWorld(), threads=2, memory=Size(120_000_000))
    async with opened as scorer:
        assert scorer.choice.path is ComputePath.KERNELS
        assert "of memory, and 120 MB can be had" in scorer.choice.why


async def test_a_card_that_takes_the_whole_model_is_measured_beside_the_processors(
    tmp_path: Path,
) -> None:
    """Without a card llama.cpp computes what is meant for it on the processors."""
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    async with open_scorer(path, QUESTION, RealWorld(), cards=[A_CARD]) as scorer:
        assert scorer.choice.path in {ComputePath.CARD, ComputePath.FLOAT, ComputePath.KERNELS}
        assert "tokens a second on Tesla T4, " in scorer.choice.why
        found = (await scorer.score(TEXTS)).rows
    for one, other in zip(found, await rows_of(path, ComputePath.KERNELS), strict=True):
        assert one == pytest.approx(other, abs=0.3)


async def test_a_job_that_began_on_a_card_goes_on_on_a_card(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    asked = {"path": ComputePath.CARD, "cards": [A_CARD]}
    async with open_scorer(path, QUESTION, RealWorld(), **asked) as scorer:  # type: ignore[arg-type]
        assert scorer.choice.path is ComputePath.CARD
    with pytest.raises(LoadFailed, match="no card here takes the whole model"):
        await rows_of(path, ComputePath.CARD)


async def test_a_card_without_room_for_the_whole_model_is_left_alone(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    small = replace(A_CARD, free=Size(10**6), most=Size(10**6))
    async with open_scorer(path, QUESTION, RealWorld(), cards=[small]) as scorer:
        assert "Tesla" not in scorer.choice.why


async def test_a_model_that_fits_nowhere_is_refused_with_the_numbers(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    with pytest.raises(LoadFailed, match=r"needs .* of memory and 1 MB can be had"):
        async with open_scorer(path, QUESTION, RealWorld(), memory=Size(1_000_000)):
            pass


@pytest.mark.parametrize(
    ("question", "error", "words"),
    [
        (LabelQuestion(prefix="p", labels=("a",)), NotLabels, "at least two"),
        (LabelQuestion(prefix="word " * 200, labels=("a", "b")), LoadFailed, "context has room"),
    ],
    ids=["one label", "long prefix"],
)
async def test_a_question_that_is_none_is_refused_before_any_text(
    question: LabelQuestion, error: type[PunaError], words: str, tmp_path: Path
) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    with pytest.raises(error, match=words):
        async with open_scorer(path, question, RealWorld()):
            pass


async def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.gguf"
    path.write_bytes(b"GGUF nothing else")
    with pytest.raises(BadGguf):
        await rows_of(path, ComputePath.FLOAT)


async def test_a_llama_cpp_that_is_not_known_is_asked_over_its_server(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    load = LabelLoad(path, QUESTION, 512, 2, Size(10**9), library=ANOTHER)
    scorer = await load_fastest(load, read_header(path), RealWorld())
    rows = (await scorer.score(TEXTS[:5])).rows
    await scorer.stop()
    assert scorer.choice.path is ComputePath.SLOTS
    assert "this build of llama.cpp has no llama_" in scorer.choice.why
    for one, other in zip(rows, await rows_of(path, ComputePath.FLOAT, TEXTS[:5]), strict=True):
        assert one == pytest.approx(other, abs=0.3)


@pytest.mark.parametrize("by", [ComputePath.FLOAT, ComputePath.KERNELS])
async def test_who_insists_on_a_path_is_told_that_llama_cpp_is_not_known(
    by: ComputePath, tmp_path: Path
) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", Tiny())
    load = LabelLoad(path, QUESTION, 512, 1, Size(10**9), library=ANOTHER)
    with pytest.raises(UnknownBuild, match="has no llama_"):
        await ChildScorer.load(load, by)
