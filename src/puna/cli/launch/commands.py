"""`puna launch`: start another program so that it talks to a model of this node.

The program gets its settings as arguments and variables, and nothing of the user's is written;
`--config` writes them instead, `--restore` takes that back. The model is loaded before the program
starts, with as much context as it was trained on and memory allows, since these programs begin
with a prompt of many thousand tokens, and it stays in memory until the program ends.
"""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import click

from puna.cli.find import find_model, is_same_model, meant_name
from puna.cli.launch.configure import take_back, write_edit
from puna.cli.launch.programs import PROGRAMS, Program, Target, program_of
from puna.cli.launch.record import Record, Remembered
from puna.cli.menu import Row, choose
from puna.cli.session import Session
from puna.cli.spinner import Spinner
from puna.cli.start import ensure_node
from puna.errors import Invalid, NotFound, PunaError
from puna.node.asking import Question, load
from puna.node.card import ModelCard
from puna.node.client import NodeClient
from puna.settings import read_environment
from puna.units import FOREVER

WANTED_CONTEXT = 65536
"""What makers of such programs advise at least."""
_LEAST_CONTEXT = 4096
_WHILE_IT_RUNS = "24h"


class NotInstalled(NotFound):
    """The program to launch is not on this machine; the hint is how to install it."""

    code = "not_installed"


@click.command()
@click.argument("integration", required=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS...]")
@click.option("--model", default="", metavar="MODEL", help="The model; else the one used last.")
@click.option("--config", is_flag=True, help="Configure the program and do not start it.")
@click.option("--restore", is_flag=True, help="Take back what --config wrote.")
@click.option("-y", "--yes", is_flag=True, help="Ask nothing.")
@click.pass_context
def launch(
    ctx: click.Context, /, integration: str | None, arguments: tuple[str, ...], **flags: str | bool
) -> None:
    """Start another program with a model of this machine: claude, codex or opencode.

    What follows -- goes to the program. Its own configuration is not touched unless --config is
    given; then what was there is kept, and --restore puts it back.
    """
    session = ctx.ensure_object(Session)
    program = _program(session, integration, asks=not flags["yes"])
    record = Record.read(session.settings.home / "launch.json")
    if flags["restore"]:
        _restore(session, program, record)
        return
    environ = read_environment(session.environ)
    executable = _executable(program, environ)
    if executable is None and not flags["config"]:
        raise NotInstalled(
            f"{program.title} is not installed: there is no program {program.name}",
            hint=f"install it with `{program.install}`",
        )
    client = ensure_node(session)
    model = _model(session, client, program, str(flags["model"]), record, asks=not flags["yes"])
    target = _ready(session, client, program, model)
    record = record.keep(program.name, replace(record.of(program.name), model=target.model))
    if flags["config"]:
        _configure(session, program, target, record, environ)
        return
    first, variables = program.start(target)
    code = _run((str(executable), *first, *arguments), {**environ, **variables})
    _let_go(session, client, target)
    ctx.exit(code)


def _program(session: Session, name: str | None, *, asks: bool) -> Program:
    if name is not None:
        return program_of(name)
    if asks and session.terminal.is_conversation:
        rows = [Row(each.title, each.name) for each in PROGRAMS]
        return PROGRAMS[choose(session.terminal, "Launch", rows)]
    known = ", ".join(each.name for each in PROGRAMS)
    raise Invalid("which program?", hint=f"puna launches {known}: `puna launch claude`")


def _executable(program: Program, environ: dict[str, str]) -> Path | None:
    found = shutil.which(program.name, path=environ.get("PATH", ""))
    if found:
        return Path(found)
    places = [Path(environ.get("HOME", "~")).expanduser() / place for place in program.places]
    return next((place for place in places if place.is_file()), None)


def _model(  # noqa: PLR0913 - all of them decide
    session: Session,
    client: NodeClient,
    program: Program,
    typed: str,
    record: Record,
    *,
    asks: bool,
) -> str:
    """Return the model to use: the one typed, chosen, used last, or the newest that fits."""
    if typed:
        return typed
    last = record.of(program.name).model
    names = [entry.name for entry in client.list_models()]
    if last and not any(is_same_model(last, name) for name in names):
        last = ""
    if asks and session.terminal.is_conversation and names:
        names.sort(key=lambda name: not (last and is_same_model(name, last)))
        return names[
            choose(session.terminal, f"Model for {program.title}", [Row(n) for n in names])
        ]
    if not asks and (last or names):
        return last or names[0]
    raise Invalid(
        "which model?",
        hint=f"`puna launch {program.name} --model NAME`; --yes takes the one used last",
    )


def _ready(session: Session, client: NodeClient, program: Program, model: str) -> Target:
    """Have the model loaded, fetched first if need be, and say where it falls short."""
    name = meant_name(session, client, model)
    card = find_model(session, client, name, insecure=False)
    say = session.terminal.say
    if "tools" not in card.capabilities:
        say(
            f'warning: model "{model}" cannot call functions, and {program.title} does nothing'
            " without; `puna browse --tools` shows models that can"
        )
    with Spinner(session.terminal, f"loading {name}"):
        _load(client, name, wanted_context(card, session.settings.context_length))
    loaded = next((row for row in client.running() if is_same_model(row.name, name)), None)
    context = loaded.context if loaded else 0
    if context and context < WANTED_CONTEXT:
        say(
            f'warning: model "{model}" takes {context} tokens here; {program.title} is made for'
            f" {WANTED_CONTEXT} and more, so its prompts may be cut"
        )
    settings = session.settings
    token = settings.api_key or settings.client_key or "puna"
    return Target(settings.host.for_client().url, token, name, context)


def wanted_context(card: ModelCard, chosen: int) -> int:
    """Return the context to load with: the one that is set, else all that helps; 0 if unknown."""
    facts = card.metadata or {}
    trained = facts.get(f"{facts.get('general.architecture')}.context_length")
    trained = trained if isinstance(trained, int) else 0
    return min(chosen or WANTED_CONTEXT, trained) if trained else chosen


def _load(client: NodeClient, name: str, context: int) -> None:
    """Load with this context, or with the half that fits. Raises what the last try raised."""
    while True:
        options: dict[str, object] = {"num_ctx": context} if context else {}
        question = Question(model=name, options=options, keep_alive=_WHILE_IT_RUNS)
        try:
            load(client, question)
        except PunaError:
            if context // 2 < _LEAST_CONTEXT:
                raise
            context //= 2
        else:
            return


def _configure(
    session: Session, program: Program, target: Target, record: Record, environ: dict[str, str]
) -> None:
    backups = session.settings.home / "backups"
    for edit in program.files(target, environ):
        remembered = record.of(program.name)
        earlier = remembered.file(edit.path)
        written = write_edit(edit, earlier, backups)
        others = tuple(each for each in remembered.files if each is not earlier)
        record = record.keep(program.name, Remembered(target.model, (*others, written)))
        session.terminal.say(f"wrote {written.path}")
        if written.backup:
            session.terminal.say(f"what it was is kept in {written.backup}")
    start = program.how_to_start.replace("MODEL", target.model)
    session.terminal.say(
        f"Start it with `{start}`; `puna launch {program.name} --restore` takes this back"
    )


def _restore(session: Session, program: Program, record: Record) -> None:
    remembered = record.of(program.name)
    if not remembered.files:
        session.terminal.say(f"nothing to take back: puna has written no file of {program.title}")
        return
    for written in remembered.files:
        for said in take_back(written, session.settings.home / "backups"):
            session.terminal.say(said)
    record.keep(program.name, Remembered(remembered.model))


def _run(command: tuple[str, ...], environ: dict[str, str]) -> int:
    """Run the program in the foreground and return its exit code; Ctrl-C is for it alone."""
    with subprocess.Popen(command, env=environ) as process:  # noqa: S603 - the user's own program
        while True:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                continue
            return code if code >= 0 else 128 - code


def _let_go(session: Session, client: NodeClient, target: Target) -> None:
    """Let the model leave memory when it would have, had no program held it."""
    keep_alive = session.settings.keep_alive
    after = "-1m" if keep_alive == FOREVER else str(keep_alive)
    options: dict[str, object] = {"num_ctx": target.context} if target.context else {}
    try:
        if any(is_same_model(row.name, target.model) for row in client.running()):
            load(client, Question(model=target.model, options=options, keep_alive=after))
    except PunaError as error:
        session.terminal.say(f"warning: {error.message}")
