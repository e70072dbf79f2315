"""`puna agent pause`, `resume` and `leave`: a running agent takes note by itself."""

import json

import click
from filelock import FileLock, Timeout

from puna.agent.notebook import Notebook
from puna.agent.settings import load_agent_settings
from puna.cli.session import Session, pass_session
from puna.errors import Conflict


class StillLent(Conflict):
    """Something of a renter's is on this machine."""

    code = "still_lent"


@click.command()
@pass_session
def pause(session: Session) -> None:
    """Take no new pods until `puna agent resume`. Those that are here go on."""
    _set_pause(session, is_paused=True)
    session.terminal.say("The offer is paused. Pods that are here go on.")


@click.command()
@pass_session
def resume(session: Session) -> None:
    """Take pods again."""
    _set_pause(session, is_paused=False)
    session.terminal.say("Pods are taken again.")


@click.command()
@click.option("--force", is_flag=True, help="Leave although pods are here; they are lost.")
@pass_session
def leave(session: Session, *, force: bool) -> None:
    """Leave the market: the agent must have ended, and no pods may be here.

    Pause first and wait until renters have gone. What is left of the volumes stays on this machine.
    """
    notebook = Notebook(load_agent_settings(session.environ).home)
    identity = notebook.identity()
    try:
        with FileLock(notebook.lock, timeout=0):
            pods = json.loads(notebook.status() or "{}").get("pods") or ()
            if pods and not force:
                raise StillLent(
                    f"{len(pods)} pods are on this machine",
                    hint="pause, and leave when they have gone; --force leaves at once",
                )
            notebook.forget()
    except Timeout as error:
        raise StillLent("the agent runs", hint="end it first") from error
    session.terminal.say(f"Left {identity.market}.")


def _set_pause(session: Session, *, is_paused: bool) -> None:
    notebook = Notebook(load_agent_settings(session.environ).home)
    offer = notebook.offer().model_copy(update={"is_paused": is_paused})
    notebook.write(offer, session.world.token())
