"""`puna bill` and `puna budget`: what was spent and on what, and how much may be."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import click

from puna.cli.cloud.reach import WIDTH, as_json, cloud_of, narrow, print_json
from puna.cli.session import Session, pass_session
from puna.cloud.client import CloudClient
from puna.cloud.values import Limit, Spend, Spent
from puna.errors import Invalid
from puna.node.replies import Fields
from puna.text import cell_width, one_line
from puna.units import Money

_BAR = "█"
_NAME = 28


@click.command()
@click.option(
    "--by",
    type=click.Choice(["day", "pod", "project", "key", "card"]),
    default="day",
    show_default=True,
    help="What to sum by.",
)
@click.option("--since", default="-30d", metavar="TIME", help="Such as -7d or 2026-11-01.")
@click.option("--until", default="now", metavar="TIME", help="The same.")
@click.option(
    "--pod", default="", help="Only this one, named by its id, or its name while it is there."
)
@click.option("--project", default=None, help="Only this one.")
@click.option("--lines", is_flag=True, help="Every line: what, from when to when, at which rate.")
@click.option("--explain", default="", metavar="LINE", help="Where one line comes from.")
@as_json
@pass_session
def bill(  # noqa: PLR0913 - one for each option
    session: Session,
    *,
    by: str,
    since: str,
    until: str,
    pod: str,
    project: str | None,
    lines: bool,
    explain: str,
    as_json: bool,
) -> None:
    """Show what was spent, with a bar for each day, pod, project, key or card.

    --lines shows each charge, and --explain where one of them comes from, to the micro-dollar.
    """
    client = cloud_of(session)
    if explain:
        _explain(session, client.explain(explain), as_json=as_json)
        return
    query = {"start": since, "end": until, "pod": _pod_id(client, pod), "project": project}
    if lines:
        _lines(session, client, query, as_json=as_json)
        return
    spend = client.spend(by, query)
    if as_json:
        rows = [_values(each) for each in spend.rows]
        print_json(session, {"by": by, "rows": rows, "total": spend.total})
        return
    for line in picture(spend, total=session.terminal.screen_language.of("total")):
        session.terminal.line(line)


def picture(spend: Spend, *, total: str) -> list[str]:
    """Return a line for each row with a bar as long as its share of the largest, and the sum."""
    rows = _without_empty_ends(spend.rows)
    names = [one_line(each.name or "-", _NAME) for each in rows]
    amounts = [str(each.amount) for each in rows]
    name_width = max(map(cell_width, [*names, total]))
    amount_width = max(map(len, [*amounts, str(spend.total)]))
    room = WIDTH - name_width - amount_width - 4
    most = max((each.amount for each in rows), default=Money(0))
    lines = []
    for each, name, amount in zip(rows, names, amounts, strict=True):
        filled = -(-room * each.amount // most) if most else 0
        pad = " " * (name_width - cell_width(name))
        lines.append(f"{name}{pad}  {amount:>{amount_width}}  {_BAR * filled}".rstrip())
    pad = " " * (name_width - cell_width(total))
    return [*lines, f"{total}{pad}  {spend.total!s:>{amount_width}}"]


def _without_empty_ends(rows: Sequence[Spent]) -> Sequence[Spent]:
    """Leave out days before the first spending; those in between show that nothing was spent."""
    first = next((number for number, each in enumerate(rows) if each.amount), len(rows))
    return rows[first:]


def _values(each: Spent) -> dict[str, object]:
    names = ("id", "name", "amount", "cards", "processors", "disk")
    return {name: getattr(each, name) for name in names} | {"seconds": each.span.seconds}


def _pod_id(client: CloudClient, pod: str) -> str:
    if not pod:
        return ""
    return next((each.id for each in client.pods() if pod in {each.id, each.name}), pod)


def _lines(
    session: Session, client: CloudClient, query: Mapping[str, object], *, as_json: bool
) -> None:
    found = client.bill(query)
    if as_json:
        print_json(session, list(found))
        return
    for each in found:
        session.terminal.line(line_words(each))


def line_words(line: Fields) -> str:
    """Write a line of the bill: when it ended, what, how long at which rate, how much, its id."""
    start, end = line.moment("start"), line.moment("end")
    when = f"{end:%m-%d %H:%M:%S}" if end else "-"
    seconds = (end - start).total_seconds() if start and end else 0.0
    what = f"{line.text('item'):<11} {seconds:9.1f} s at ${line.text('anHour')}"
    return f"{when} {what} = ${line.text('amount')}\n  {line.text('id')}"


def _explain(session: Session, found: Fields, *, as_json: bool) -> None:
    if as_json:
        print_json(session, found)
        return
    line, terminal = found.fields("line"), session.terminal
    rows = [
        ("line", line.text("id")),
        ("pod", f"{line.text('podName')} ({line.text('pod')})"),
        ("host", line.text("host")),
        ("project", line.text("project")),
        ("item", line.text("item")),
        ("from", line.text("start")),
        ("to", line.text("end")),
        ("rate", f"${line.text('anHour')} an hour"),
        ("amount", f"${line.text('amount')}"),
        ("reason", found.text("reason")),
    ]
    for name, value in rows:
        if value:
            terminal.line(f"{name:<10}{one_line(value)}")
    terminal.line(fill(one_line(found.text("product"), 1000), WIDTH))
    for each in found.each("postings"):
        terminal.line(f"  {each.text('amount'):>12}  {each.text('book')}")


@click.group()
def budget() -> None:
    """Limit what may be spent: by the account, a project, a key or a pod, ever or a day.

    What is held for the next minutes counts as spent, so no limit is passed by more than a tick.
    """


_SCOPES = ("account", "project", "key", "pod")


@budget.command("set")
@click.argument("scope", type=click.Choice(_SCOPES))
@click.argument("words", nargs=-1, required=True, metavar="[NAME] DOLLARS")
@click.option("--a-day", is_flag=True, help="For each day, UTC; otherwise for good.")
@as_json
@pass_session
def set_budget(
    session: Session, *, scope: str, words: tuple[str, ...], a_day: bool, as_json: bool
) -> None:
    """Set a limit, in place of the one before.

    NAME is the project, or the name or id of the key or pod; for the account there is none, and a
    key without a name is the one that you use.
    """
    *names, amount = words
    if (
        len(names) > 1
        or (scope == "account" and names)
        or (scope in {"project", "pod"} and not names)
    ):
        raise Invalid(
            f"a budget of {scope} is set by: puna budget set {scope}"
            + (" DOLLARS" if scope == "account" else " NAME DOLLARS")
        )
    client, limit = cloud_of(session), Money.parse(amount)
    owner = names[0] if names else ""
    if scope == "pod":
        owner = client.pod(owner).id
    made = client.set_budget(scope, owner, limit, a_day=a_day)
    if as_json:
        print_json(session, _limit_values(made))
        return
    session.terminal.line(_limit_table(session, [made]))


@budget.command("list")
@as_json
@pass_session
def list_budgets(session: Session, *, as_json: bool) -> None:
    """List limits, and what is left of each."""
    found = cloud_of(session).budgets()
    if as_json:
        print_json(session, [_limit_values(each) for each in found])
        return
    session.terminal.line(_limit_table(session, found))


@budget.command()
@click.argument("budget_id", metavar="ID")
@pass_session
def remove(session: Session, *, budget_id: str) -> None:
    """Remove the limit with this ID; see: puna budget list."""
    cloud_of(session).remove_budget(budget_id)
    session.terminal.tell(f"removed budget '{budget_id}'")


def _limit_values(each: Limit) -> dict[str, object]:
    return {name: getattr(each, name) for name in Limit.__dataclass_fields__}


def _limit_table(session: Session, limits: Sequence[Limit]) -> str:
    rows = [
        (
            each.scope,
            "-" if each.scope == "account" else each.owner or "-",
            f"{each.limit} a day" if each.period == "day" else str(each.limit),
            str(Money(each.charged + each.held)),
            str(each.left),
            each.id,
        )
        for each in limits
    ]
    header = ("OF", "NAME", "LIMIT", "SPENT AND HELD", "LEFT", "ID")
    return narrow(header, rows, session.terminal.screen_language)
