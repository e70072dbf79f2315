"""`puna pods`: what is rented, how it is reached, and its end with the bill."""

import shlex
import subprocess
import webbrowser
from collections.abc import Sequence
from pathlib import Path

import click

from puna.cli.cloud.create import create, say_ways
from puna.cli.cloud.login import span_words
from puna.cli.cloud.reach import (
    as_json,
    ask_yes,
    card_name,
    cloud_of,
    hour_of,
    narrow,
    pod_values,
    price,
    print_json,
)
from puna.cli.cloud.watch import wait_for, wait_for_end
from puna.cli.session import Session, pass_session
from puna.cloud.client import CloudClient
from puna.cloud.values import CloudPod, Happenings
from puna.cloud.ways import NoWay
from puna.errors import NotFound, Unsupported
from puna.settings import read_home
from puna.text import one_line, printable
from puna.units import Money, relative_time

_identity = click.option(
    "-i", "--identity", default="", metavar="FILE", help="The private key to use."
)


@click.group()
def pods() -> None:
    """Rent containers on machines of others, use them, and end them."""


pods.add_command(create)


@pods.command("list")
@as_json
@pass_session
def list_pods(session: Session, *, as_json: bool) -> None:
    """List your pods and what each costs now."""
    found, now = cloud_of(session).pods(), session.world.now()
    if as_json:
        print_json(session, [pod_values(each) for each in found])
        return
    rows = [
        (
            each.name,
            each.id,
            each.status,
            f"{each.count} x {card_name(each.card)}" if each.card else "-",
            price(hour_of(each)),
            relative_time(each.created_at, now),
        )
        for each in found
    ]
    header = ("NAME", "ID", "STATUS", "ON", "AN HOUR", "RENTED")
    session.terminal.line(narrow(header, rows, session.terminal.screen_language))


@pods.command()
@click.argument("pod")
@as_json
@pass_session
def show(session: Session, *, pod: str, as_json: bool) -> None:
    """Show all of POD, named by its id or name, and how it is reached."""
    found = cloud_of(session).pod(pod)
    if as_json:
        print_json(session, pod_values(found))
        return
    extras = found.extras
    rows = (
        ("name", found.name),
        ("id", found.id),
        ("status", found.status),
        ("image", found.image),
        ("on", f"{found.count} x {card_name(found.card)}"),
        ("an hour", price(hour_of(found))),
        *((name, extras.text(key)) for name, key in _EXTRAS),
        (_reason_name(found), extras.text("reason")),
        *(
            (name, f"${extras.text(name)}")
            for name in ("bid", "held", "spent")
            if extras.text(name)
        ),
    )
    for name, value in rows:
        if value:
            session.terminal.line(f"{name:<16}{one_line(value)}")
    say_ways(session, found)


_EXTRAS = (
    *(("tenure", "tenure"), ("project", "project"), ("host", "host")),
    *(("progress", "progress"), ("stops", "stopAt")),
    *(("is terminated", "terminateAt"), ("paid until", "paidUntil")),
)


def _reason_name(pod: CloudPod) -> str:
    """Return what a reason is called: of a pod that runs again it is how it ended before."""
    return "last end" if pod.status == "RUNNING" else "reason"


@pods.command(short_help="Show the log of POD.")
@click.argument("pod")
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--tail", type=click.IntRange(0, 5000), default=100, help="Lines from before.")
@click.option(
    "--since", default="", metavar="TIME", help="Lines after this, as 2026-11-24T12:00:00Z."
)
@click.option("--system", "source", flag_value="system", help="Only what its host did.")
@click.option("--container", "source", flag_value="container", help="Only what it wrote.")
@as_json
@pass_session
def logs(  # noqa: PLR0913 - one for each option
    session: Session, *, pod: str, follow: bool, tail: int, since: str, source: str, as_json: bool
) -> None:
    """Show the log of POD: what its container wrote, and what its host did."""
    client = cloud_of(session)
    found = _maybe_gone(client, pod)
    lines = client.logs(found, source=source or "", tail=tail, since=since, follow=follow)
    for line in lines:
        if as_json:
            print_json(session, line)
            continue
        mark = "# " if line.text("source") == "system" else ""
        session.terminal.line(mark + printable(line.text("line")).rstrip("\n"))


@pods.command()
@click.argument("pod")
@_identity
@pass_session
def ssh(session: Session, *, pod: str, identity: str) -> None:
    """Open a shell in POD, with its environment, through the cloud."""
    _ssh(session, cloud_of(session).pod(pod), (), identity)


@pods.command("exec", context_settings={"ignore_unknown_options": True})
@click.argument("pod")
@click.argument("command", nargs=-1, required=True)
@_identity
@pass_session
def execute(session: Session, *, pod: str, command: tuple[str, ...], identity: str) -> None:
    """Run COMMAND in POD and end with its exit code."""
    _ssh(session, cloud_of(session).pod(pod), command, identity)


def _ssh(session: Session, pod: CloudPod, words: Sequence[str], identity: str) -> None:
    """Run the system's ssh, whose keys and agent the person has already. Raises `NoWay`."""
    if pod.status != "RUNNING" or not pod.ssh.text("host"):
        raise NoWay(f"{pod.name} is {pod.status} and cannot be reached by ssh")
    known = read_home(session.environ) / "known_hosts"
    command = ssh_command(pod, words, known=known, identity=identity)
    try:
        ended = subprocess.run(command, check=False)  # noqa: S603 - the user's own ssh
    except FileNotFoundError as error:
        raise Unsupported(
            "ssh is not installed here", hint=f"install OpenSSH's client: {shlex.join(command)}"
        ) from error
    if ended.returncode:
        raise click.exceptions.Exit(ended.returncode)


def ssh_command(
    pod: CloudPod, words: Sequence[str], *, known: Path, identity: str = ""
) -> list[str]:
    """Return the words of the command that leads into a pod.

    Keys of gateways are known from the first time on, in a file of puna's own.
    """
    way = pod.ssh
    options = ["-p", str(way.whole("port") or 22), "-o", "StrictHostKeyChecking=accept-new"]
    options += ["-o", f"UserKnownHostsFile={known}", *(["-i", identity] if identity else [])]
    place = f"{way.text('username')}@{way.text('host')}"
    return [
        "ssh",
        *options,
        "-t" if not words else "-T",
        place,
        *([shlex.join(words)] if words else []),
    ]


@pods.command()
@click.argument("pod")
@click.argument("port", default="")
@click.option(
    "--lasts",
    default="24h",
    show_default=True,
    help="How long a link to a closed port is good for.",
)
@click.option("--plain", is_flag=True, help="Print the address itself: it wants the account's key.")
@pass_session
def open(  # noqa: A001 - the command's name
    session: Session, *, pod: str, port: str, lasts: str, plain: bool
) -> None:
    """Open a port of POD in the browser: its first, or PORT.

    A browser has no key, so a closed port is opened by a link, which whoever has it may use.
    """
    client = cloud_of(session)
    found = client.pod(pod)
    if not found.urls:
        raise NoWay(f"{found.name} has no HTTP port", hint="make it with --port 8888/http")
    named = port or next(iter(found.urls))
    url = found.urls.get(named)
    if url is None:
        raise NotFound(f"{found.name} has no port {port}; it has {', '.join(found.urls)}")
    if not plain and found.extras.fields("access").text(named) == "closed":
        url = client.share(found.id, named, lasts)
        session.terminal.say(f"whoever has this link may call port {named} for {lasts}")
    session.terminal.line(url)
    if session.terminal.is_conversation:
        webbrowser.open(url)


def _acts(name: str, wanted: set[str], told: str) -> None:
    """Add the command for an action."""

    @pods.command(name, help=f"{name.capitalize()} POD{_MORE[name]}.")
    @click.argument("pod")
    @click.option("--detach", is_flag=True, help="Do not wait until it is so.")
    @pass_session
    def act(session: Session, *, pod: str, detach: bool) -> None:
        client = cloud_of(session)
        found = client.pod(pod)
        before = client.happenings(found.id).after
        client.act(found.id, name)
        if detach:
            session.terminal.tell(f"{found.name}: {name} asked for")
            return
        seen = wait_for(session, client, found.id, wanted, after=before)
        session.terminal.tell(f"{found.name} {told}, {price(seen.an_hour)} an hour")


_MORE = {
    "start": " again, on its own machine if it has a volume",
    "stop": "; its volume is kept, at a price, and the rest is lost",
    "restart": ": its container begins anew, where it is",
}
_acts("start", {"RUNNING", "ERROR"}, "is started")
_acts("stop", {"EXITED", "TERMINATED"}, "is stopped")
_acts("restart", {"RUNNING", "ERROR"}, "is restarted")


@pods.command(short_help="End POD, and wait for the proof that nothing of it runs.")
@click.argument("pod")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--detach", is_flag=True, help="Do not wait for the proof that nothing runs.")
@as_json
@pass_session
def terminate(session: Session, *, pod: str, yes: bool, detach: bool, as_json: bool) -> None:
    """End POD, and wait for the proof that nothing of it runs; then print its bill.

    Its disk and volume are lost.
    """
    client = cloud_of(session)
    found = client.pod(pod)
    if not ask_yes(session, f"{found.name} and all that is on it will be lost. End it?", yes=yes):
        session.terminal.say(f"{found.name} goes on")
        return
    before = client.happenings(found.id).after
    client.terminate(found.id)
    if detach:
        session.terminal.tell(f"{found.name} was told to end; see: puna pods list")
        return
    seen = wait_for_end(session, client, found.id, after=before)
    if as_json:
        values = {"id": found.id, "name": found.name, "is_gone": seen.is_gone, "spent": seen.spent}
        print_json(session, values)
        return
    session.terminal.tell(f"{found.name} is gone: nothing of it is left on its host")
    _say_bill(session, client, found, seen)


def _say_bill(session: Session, client: CloudClient, pod: CloudPod, seen: Happenings) -> None:
    if not client.is_puna:
        session.terminal.say("its bill is told within the hour: puna bill --by pod")
        return
    spend = client.spend("pod", {"pod": pod.id, "start": "-520w"})
    if not spend.rows:
        session.terminal.tell("it cost nothing")
        return
    (row,) = spend.rows
    parts = {"cards": row.cards, "processors": row.processors, "disk": row.disk}
    words = ", ".join(f"{name} {amount}" for name, amount in parts.items() if amount)
    total = Money(max(seen.spent, row.amount))
    session.terminal.tell(f"it cost {total} in {span_words(row.span)}: {words}")


def _maybe_gone(client: CloudClient, pod: str) -> str:
    """Return the id of a pod; one that is gone is known by its id alone."""
    return next((each.id for each in client.pods() if pod in {each.id, each.name}), pod)
