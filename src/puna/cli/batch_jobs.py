"""`puna batch list`, `show`, `pause` and `cancel`: what jobs there are, and how to stop one."""

import json
from importlib import import_module

import click

from puna.batch.checkpoint import Checkpoint
from puna.batch.jobs import JobCard, Jobs, JobState
from puna.batch.workers.rented import read_note
from puna.cli.batch_view import left_words
from puna.cli.session import Session, pass_session
from puna.cli.view import columns, table
from puna.units import relative_time


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_session
def list_jobs(session: Session, *, as_json: bool) -> None:
    """List the jobs of this machine, the one that was touched last first."""
    cards = _jobs(session).cards()
    if as_json:
        session.terminal.line(json.dumps([_plain(card) for card in cards], indent=2))
        return
    now = session.world.now()
    rows = [
        (
            card.id,
            card.state.value,
            _share(card),
            str(card.failed),
            card.order.spec.model if card.order else "-",
            relative_time(card.touched, now),
            card.output or "-",
        )
        for card in cards
    ]
    header = ("ID", "STATE", "DONE", "FAILED", "MODEL", "TOUCHED", "OUTPUT")
    session.terminal.line(table(header, rows, width=session.terminal.table_width))


@click.command()
@click.argument("job")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_session
def show(session: Session, *, job: str, as_json: bool) -> None:
    """Show what is known of JOB: an id that `list` shows, or an output."""
    card = _jobs(session).find(job)
    if as_json:
        session.terminal.line(json.dumps(_plain(card), indent=2))
        return
    rows = [(name, str(value)) for name, value in _plain(card).items() if value not in {"", None}]
    session.terminal.line("\n".join(columns(rows, indent="  ")))


@click.command()
@click.argument("job")
@pass_session
def pause(session: Session, *, job: str) -> None:
    """Stop JOB if it runs; `puna batch resume` goes on with it."""
    jobs = _jobs(session)
    card = jobs.find(job)
    stopped = jobs.pause(card)
    session.terminal.line(f"paused '{card.id}'" if stopped else f"'{card.id}' does not run")


@click.command()
@click.argument("job")
@pass_session
def cancel(session: Session, *, job: str) -> None:
    """Stop JOB and remove what it computed. An output that it has written stays.

    Machines that are rented for it are ended first.
    """
    jobs = _jobs(session)
    card = jobs.find(job)
    jobs.pause(card)
    import_module("puna.cli.batch_rent").end_rented(session, Checkpoint(card.folder))
    jobs.cancel(card)
    session.terminal.line(f"cancelled '{card.id}'")


def _jobs(session: Session) -> Jobs:
    return Jobs(session.settings.home)


def _share(card: JobCard) -> str:
    if card.state is JobState.DONE:
        return "100%"
    rows = card.manifest.intake.distinct if card.manifest else 0
    return f"{100 * card.done / rows:.0f}%" if rows else "-"


def _plain(card: JobCard) -> dict[str, object]:
    found: dict[str, object] = {
        "id": card.id,
        "state": card.state.value,
        "output": card.output,
        "folder": str(card.folder),
        "size": str(card.size),
        "done": card.done,
        "failed": card.failed,
        "computed": left_words(card.span),
    }
    if card.order:
        found |= {
            "task": card.order.spec.task.kind.value,
            "model": card.order.spec.model,
            "inputs": " ".join(card.order.inputs),
        }
    if card.manifest:
        intake, identity = card.manifest.intake, card.manifest.identity
        found |= {
            "rows": intake.rows,
            "distinct": intake.distinct,
            "bad": intake.bad,
            "shards": card.manifest.shards,
            "digest": identity.model_digest[:12],
            "engine": identity.engine,
            "path": identity.path,
            "begun": card.manifest.begun,
        }
    note = read_note(Checkpoint(card.folder))
    if note is not None and note.names:
        found["rented"] = f"{', '.join(note.names)} at {note.cloud}; each ends after {note.ends}"
    return found
