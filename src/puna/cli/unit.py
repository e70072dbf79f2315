"""Units for systemd, as `puna market unit` and `puna agent unit` print them."""

import getpass
import sys
from collections.abc import Sequence

from puna.cli.session import Session
from puna.settings import Setting, read_environment, read_home

_UNIT = """\
[Unit]
Description={description}
After=network-online.target {after}
Wants=network-online.target

[Service]
User={user}
ExecStart={program}
{environment}
Restart=always
RestartSec=5
{more}

[Install]
WantedBy=multi-user.target"""


def print_unit(
    session: Session, *words: str, description: str, after: str, rows: Sequence[Setting], more: str
) -> None:
    """Print a unit that runs `puna WORDS` as the user who asks.

    What is set now in the variables of `rows` is set in it too, but for secrets: everybody on a
    machine may read its units.
    """
    environ = read_environment(session.environ)
    home = read_home(session.environ)
    variables = {"PUNA_HOME": str(home)}
    if environ.get("PUNA_CONFIG"):
        variables["PUNA_CONFIG"] = environ["PUNA_CONFIG"]
    for row in rows:
        if environ.get(row.variable) and row.secret:
            session.terminal.say(
                f"{row.variable} is secret and not in the unit: put {row.name} into"
                f" {home}/config.toml"
            )
        elif environ.get(row.variable):
            variables[row.variable] = environ[row.variable]
    session.terminal.line(
        _UNIT.format(
            description=description,
            after=after,
            user=getpass.getuser(),
            program=" ".join(_quoted(word) for word in (sys.executable, "-m", "puna", *words)),
            environment="\n".join(
                f"Environment={_quoted(f'{name}={value}')}" for name, value in variables.items()
            ),
            more=more,
        )
    )


def _quoted(word: str) -> str:
    """Return a word as systemd reads it: a blank ends it, and `%` begins a specifier there."""
    safe = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{safe}"' if any(sign in safe for sign in " \t'\"\\") else safe
