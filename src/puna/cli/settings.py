"""`puna settings`: every setting, its value, and where that came from."""

import json

import click

from puna.cli.session import Session, pass_session
from puna.cli.view import print_table


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@pass_session
def settings(session: Session, *, as_json: bool) -> None:
    """Show every setting with its value and where that came from.

    The first that is set wins: PUNA_X, then Ollama's own variable, then the configuration file,
    then the default. A secret is shown as set or not set.
    """
    rows = session.all_settings.explained
    if as_json:
        values = [
            {
                "name": row.name,
                "value": row.value,
                "source": row.source,
                "variables": list(row.variables),
                "meaning": row.meaning,
            }
            for row in rows
        ]
        session.terminal.line(json.dumps(values, indent=2, ensure_ascii=False))
        return
    lines = [(row.name, row.value, row.source, ", ".join(row.variables)) for row in rows]
    header = ("SETTING", "VALUE", "SOURCE", "VARIABLES")
    print_table(session.terminal, header, lines)
