"""Ask the installed engine which cards it can compute on, in a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

from puna.errors import Failed
from puna.hardware.cards import bus_address
from puna.hardware.engine_cards import EngineCard, EngineCards, usable_together
from puna.hardware.memory import Memory
from puna.models.fit_offload import CardRoom
from puna.node.engine.build import engine_library, engine_version, is_for_cards
from puna.node.engine.card_report import BACKEND_VARIABLE
from puna.node.engine.last_words import epitaph
from puna.settings import NodeSettings, read_variable
from puna.text import one_line
from puna.units import Size

_PROGRAM = ("-P", "-X", "faulthandler", "-m", "puna.node.engine.card_report")
_PATIENCE_S = 30
"""The drivers of several cards wake up one after another; Ollama gives them as long."""


def engine_cards(settings: NodeSettings) -> EngineCards:
    """Return what the engine can compute on; blocks, for up to seconds where it is for cards.

    The build for processors is known by its file, and no driver is touched.
    """
    if settings.engine == "scripted":
        return EngineCards()
    nothing = EngineCards(version=engine_version())
    if not (is_for_cards() or read_variable(BACKEND_VARIABLE)):
        return nothing
    try:
        found = read_report(_answer())
    except Failed as error:
        return replace(nothing, is_for_cards=True, fault=error.message)
    return replace(nothing, is_for_cards=True, cards=found)


def engine_rooms(settings: NodeSettings) -> tuple[CardRoom, ...]:
    """Return what is free on each card now; blocks as `engine_cards` does."""
    return tuple(
        CardRoom(each.name, each.number, free, free, each.description)
        for each in engine_cards(settings).cards
        for free in (Size(max(0, each.memory.available - settings.gpu_overhead)),)
    )


def read_report(text: str) -> tuple[EngineCard, ...]:
    """Understand the child's report. Raises `Failed` for one that tells a fault, or nothing."""
    try:
        report = json.loads(text or "{}")
    except ValueError:
        report = {}
    if "failed" in report:
        raise Failed(one_line(str(report["failed"])))
    if "cards" not in report:
        raise Failed("it said nothing")
    return usable_together([_card(each) for each in report["cards"]])


def _card(words: Mapping[str, object]) -> EngineCard:
    free, total = (Size(int(str(words[name]))) for name in ("free", "total"))
    return EngineCard(
        name=str(words["name"]),
        description=one_line(str(words["description"]), 80),
        memory=Memory(total, Size(min(free, total))),
        address=bus_address(str(words["address"])),
        backend=str(words["backend"]),
        is_integrated=words["is_integrated"] is True,
    )


def _answer() -> str:
    try:
        done = subprocess.run(  # noqa: S603 - puna's own program
            [sys.executable, *_PROGRAM, str(os.getpid()), str(engine_library() or "")],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=False,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"it did not answer within {_PATIENCE_S} seconds") from None
    except OSError as error:
        raise Failed(f"its process does not start: {error}") from error
    if done.stdout:
        return done.stdout.decode(errors="replace")
    raise Failed(epitaph(done.returncode, done.stderr))
