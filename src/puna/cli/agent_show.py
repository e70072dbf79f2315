"""`puna agent status` and `puna agent earnings`: what an owner wants to know."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from puna.agent.link import MarketLink
from puna.agent.notebook import Notebook
from puna.agent.settings import load_agent_settings
from puna.cli.session import Session, pass_session
from puna.cli.view import table
from puna.units import Money, Size, relative_time

_FRESH = timedelta(seconds=30)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@pass_session
def status(session: Session, *, as_json: bool) -> None:
    """Show whether the agent runs, when the market last answered, and the pods that are here."""
    notebook = Notebook(load_agent_settings(session.environ).home)
    identity = notebook.identity()
    told: dict[str, Any] = json.loads(notebook.status() or "{}")
    told |= {"runs": runs(told, session.world.now())}
    if as_json:
        session.terminal.line(json.dumps({"market": identity.market, "host": identity.host} | told))
        return
    for line in lines_of(identity.market, identity.host, told, session.world.now()):
        session.terminal.line(line)


def runs(told: Mapping[str, Any], now: datetime) -> bool:
    """Return whether the agent spoke lately."""
    at = told.get("at")
    return bool(at) and now - datetime.fromisoformat(str(at)) < _FRESH


def lines_of(market: str, host: str, told: Mapping[str, Any], now: datetime) -> Sequence[str]:
    """Return the status as people read it."""
    if not told["runs"]:
        return [
            f"Host {host} of {market}: no agent runs.",
            "Pods that run go on, but nothing new begins. Start it with `puna agent run`.",
        ]
    heard = told.get("heard")
    since = relative_time(datetime.fromisoformat(heard), now) if heard else "never"
    lines = [f"Host {host} of {market}: the market answered {since.lower()}."]
    if told.get("trouble"):
        lines.append(f"The market: {told['trouble']}")
    if tunnel := told.get("tunnel"):
        lines.append(_tunnel_line(tunnel))
    if told.get("engine_is_gone"):
        lines.append("The container engine does not answer.")
    if told.get("is_paused"):
        lines.append("The offer is paused: no new pods come.")
    rows = [(p["pod"], str(p["run"]), p["state"], p["reason"]) for p in told.get("pods") or ()]
    lines.append(table(("POD", "RUN", "STATE", "WHY"), rows) if rows else "No pods are here.")
    if images := told.get("images"):
        size, limit = Size(images["size"]), Size(images["limit"])
        count = f"1 image, {size}" if images["count"] == 1 else f"{images['count']} images, {size}"
        lines.append(f"No pod needs {count}; they may take {limit} (PUNA_AGENT_IMAGES).")
    return lines


def _tunnel_line(tunnel: Mapping[str, Any]) -> str:
    if not tunnel["links"]:
        return "No tunnel is open: nobody reaches the ports of pods here; it is dialled again."
    return f"Pods are reached by {tunnel['way']}."


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, in micro-dollars.")
@pass_session
def earnings(session: Session, *, as_json: bool) -> None:
    """Show what this machine has earned, after the market's fee."""
    identity = Notebook(load_agent_settings(session.environ).home).identity()

    async def ask() -> Mapping[str, int]:
        async with MarketLink(identity.market, identity.key) as link:
            return (await link.earnings()).model_dump()

    earned = asyncio.run(ask())
    if as_json:
        session.terminal.line(json.dumps(earned))
        return
    words = {
        "today": "today",
        "month": "last 30 days",
        "ever": "ever",
        "balance": "balance of all your machines",
    }
    rows = [(words[name], str(Money(amount))) for name, amount in earned.items()]
    session.terminal.line(table(("EARNED", "DOLLARS"), rows))
