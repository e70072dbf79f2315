"""The cloud that a command talks to, a pod in it, and what the commands have in common."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import click

from puna.cli.language import ENGLISH, Language
from puna.cli.session import Session
from puna.cloud.client import CloudClient, client_of
from puna.cloud.line import pause
from puna.cloud.settings import load_login
from puna.cloud.values import CloudPod, money_in
from puna.cloud.ways import RUNS, NoWay, Way, is_answered, way_into
from puna.errors import Invalid
from puna.node.replies import Fields
from puna.settings import read_environment
from puna.text import cell_width, one_line
from puna.units import Money, Span

WIDTH = 80
_GAP = "  "
_LEAST = 6
_CENTS = 10_000


def cloud_of(session: Session) -> CloudClient:
    """Return the client of the cloud that is rented from. Nothing is sent yet."""
    return client_of(load_login(session.environ))


def session_on(session: Session, name: str) -> Session:
    """Return the same run with the node in a pod in place of this machine's. Raises `NoWay`."""
    login = load_login(session.environ)
    pod = client_of(login).pod(name)
    way = way_into(pod, login)
    if pod.status != RUNS:
        raise NoWay(f"{pod.name} is {pod.status}", hint=f"start it: puna pods start {pod.name}")
    wait_for_answer(session, pod.name, way)
    given = {"PUNA_HOST": way.address.url, "PUNA_API_KEY": way.key}
    environ = {**read_environment(session.environ), **given}
    return Session(
        session.terminal,
        environ,
        session.world,
        verbose=session.verbose,
        wordwrap=session.wordwrap,
    )


def wait_for_answer(
    session: Session, name: str, way: Way, *, wait: Callable[[Span], None] = pause
) -> None:
    """Wait while a gateway says that nothing in a pod answers yet. Raises `NoWay` in the end."""
    for turn in range(_TURNS):
        if is_answered(way):
            return
        if not turn:
            session.terminal.say(f"{name} is starting: waiting until it answers")
        wait(_TURN)
    raise NoWay(f"nothing in {name} answers", hint=f"look at its log: puna pods logs {name}")


_TURNS, _TURN = 120, Span.of(seconds=1)


def as_json(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--json` to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def print_json(session: Session, value: object) -> None:
    """Print a value for programs."""
    session.terminal.line(json.dumps(_plain(value), indent=2, ensure_ascii=False, default=str))


def _plain(value: object) -> object:
    if isinstance(value, Fields):
        return value.values
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value).replace("$", "") if isinstance(value, Money) else value


def narrow(
    header: Sequence[str], rows: Sequence[Sequence[str]], language: Language = ENGLISH
) -> str:
    """Return a table of at most 80 columns: the widest cells are cut where it would be wider."""
    titles = [language.of(each) for each in header]
    lines = [titles, *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(cell_width(line[i]) for line in lines) for i in range(len(titles))]
    while sum(widths) + len(_GAP) * (len(widths) - 1) > WIDTH and max(widths) > _LEAST:
        widths[widths.index(max(widths))] -= 1
    cut = [[_cut(cell, width) for cell, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(_GAP.join(line).rstrip() for line in cut)


def _cut(cell: str, width: int) -> str:
    while cell_width(cell) > width:
        cell = cell[:-2] + "…"
    return cell + " " * (width - cell_width(cell))


def ask_yes(session: Session, question: str, *, yes: bool) -> bool:
    """Ask a person; without one, `--yes` is needed. Raises `Invalid`."""
    if yes:
        return True
    terminal = session.terminal
    if not terminal.reads_keys:
        raise Invalid("nobody is here to be asked", hint="say --yes")
    terminal.err.write(f"{terminal.language.of(question)} [y/N]: ")
    terminal.err.flush()
    return terminal.keys.readline().strip().lower() in {"y", "yes", "t", "tak"}


def price(money: Money) -> str:
    """Write a price: to a hundredth of a cent, or exactly where it is less."""
    return str(Money(money - money % 10) if money >= _CENTS else money)


def cents(money: Money) -> str:
    """Write an amount rounded up to cents, for what will be spent."""
    return str(Money(-(-money // _CENTS) * _CENTS))


def pod_values(pod: CloudPod) -> dict[str, object]:
    """Return a pod for programs."""
    values = {each.name: getattr(pod, each.name) for each in fields(pod)}
    return {**values, "an_hour": hour_of(pod)}


def hour_of(pod: CloudPod) -> Money:
    """Return what an hour of a pod costs: with its disks where the cloud tells."""
    return money_in(pod.extras, "anHour") if pod.extras.values else pod.cost


def card_name(card: str) -> str:
    """Return what people call a card."""
    for maker in ("NVIDIA GeForce ", "NVIDIA ", "AMD "):
        card = card.removeprefix(maker)
    return card
