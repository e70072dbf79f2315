"""Write the documents that are made from the code, or check that they are fresh.

python tools/write_docs.py            write docs/{settings,options,errors,commands,api}.md
python tools/write_docs.py --check    exit status 1, naming each that is stale
"""

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

import puna
from puna.agent.settings import AGENT_ROWS
from puna.cli.main import make_command
from puna.cloud.settings import CLOUD_ROWS
from puna.errors import PunaError
from puna.market.settings import MARKET_ROWS
from puna.models.options import OPTION_TABLE
from puna.node.api.app import ENDPOINTS
from puna.settings import SETTINGS, Setting

DOCS = Path(__file__).resolve().parent.parent / "docs"
NOTE = "<!-- Made from the code by `make docs`; edit the code instead. -->\n"


def settings_page() -> Iterator[str]:
    """Describe every setting."""
    yield "# Settings\n"
    yield "For each setting the first that is set wins: puna's variable, Ollama's, the file"
    yield "`~/.puna/config.toml` (or the one that `PUNA_CONFIG` names), the default."
    yield "`puna settings` prints each value with where it came from.\n"
    yield "| in the file | variable | Ollama's variable | default | meaning |"
    yield "|---|---|---|---|---|"
    for row in SETTINGS:
        ollama = f"`{row.ollama}`" if row.ollama else ""
        yield f"| `{row.name}` | `{row.variable}` | {ollama} | {default_of(row)} | {row.meaning} |"
    for title, rows in (
        ("A market", MARKET_ROWS),
        ("An agent", AGENT_ROWS),
        ("A renter", CLOUD_ROWS),
    ):
        yield f"\n## {title}\n"
        yield "| in the file | variable | default | meaning |"
        yield "|---|---|---|---|"
        for row in rows:
            yield f"| `{row.name}` | `{row.variable}` | {default_of(row)} | {row.meaning} |"


def default_of(row: Setting) -> str:
    """Return the default of a setting as a table shows it."""
    return f"`{row.default}`" if row.default else ""


def options_page() -> Iterator[str]:
    """Describe every option of a request."""
    yield "# Options of a request\n"
    yield "The `options` object of `/api/generate` and `/api/chat`, `/set parameter` in a"
    yield "conversation, and `PARAMETER` in a model. An unknown name is ignored, and"
    yield "said in the header `Puna-Ignored-Options`.\n"
    yield "| option | type | default | meaning |"
    yield "|---|---|---|---|"
    for option in OPTION_TABLE.values():
        default = "automatic" if option.default is None else f"`{option.default}`"
        yield f"| `{option.name}` | {option.kind} | {default} | {option.summary} |"


def errors_page() -> Iterator[str]:
    """Describe every error that a client can see."""
    yield "# Errors\n"
    yield "The code travels in the header `Puna-Error-Code`, what to do next in `Puna-Hint`.\n"
    yield "| code | HTTP status | meaning |"
    yield "|---|---|---|"
    rows = {(error.code, error.status, first_line(error)) for error in error_classes()}
    for code, status, meaning in sorted(rows):
        yield f"| `{code}` | {status} | {meaning} |"


def error_classes() -> Iterator[type[PunaError]]:
    """Find every class of error, by loading every module but those that others start."""
    for module in pkgutil.walk_packages(puna.__path__, "puna."):
        if not module.name.endswith((".engine.worker", ".__main__", ".migrations.env")):
            importlib.import_module(module.name)
    waiting = [PunaError]
    while waiting:
        error = waiting.pop()
        waiting.extend(error.__subclasses__())
        yield error


def first_line(thing: object) -> str:
    """Return the first line of a docstring."""
    return (thing.__doc__ or "").strip().splitlines()[0]


def commands_page() -> Iterator[str]:
    """Print the help of every command, and of every command in it."""
    yield "# Commands\n"
    root = make_command()
    context = root.context_class(
        root, info_name="puna", terminal_width=100, **root.context_settings
    )
    yield from help_of(root, context, "#")


def help_of(command: click.Command, context: click.Context, mark: str) -> Iterator[str]:
    """Print one command's help, then those of the commands in it, a heading deeper each."""
    yield f"```\n{command.get_help(context)}\n```\n"
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if inner is not None and not inner.hidden:
            below = inner.context_class(inner, info_name=name, parent=context)
            yield f"{mark}# {below.command_path}\n"
            yield from help_of(inner, below, f"{mark}#")


def api_page() -> Iterator[str]:
    """List every route of the node."""
    yield "# HTTP API\n"
    yield "The interactive page is at `/docs` of a running node, its text at `/openapi.json`.\n"
    yield "| method | path | what it does |"
    yield "|---|---|---|"
    for endpoint in ENDPOINTS:
        yield f"| {endpoint.method} | `{endpoint.path}` | {endpoint.summary} |"


PAGES: dict[str, Callable[[], Iterator[str]]] = {
    "settings.md": settings_page,
    "options.md": options_page,
    "errors.md": errors_page,
    "commands.md": commands_page,
    "api.md": api_page,
}


def main() -> int:
    """Write or check."""
    stale = []
    for name, lines in PAGES.items():
        text = NOTE + "\n".join(lines()) + "\n"
        file = DOCS / name
        if "--check" not in sys.argv:
            file.write_text(text, encoding="utf-8")
        elif not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        print(f"stale: {', '.join(stale)}; run `make docs`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
