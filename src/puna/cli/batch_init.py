"""`puna batch init`: a task file from questions and answers."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from puna.batch.reading import Files, Reading, find_files
from puna.batch.spec import Label
from puna.batch.taskfile import (
    TaskWords,
    check_labels,
    read_labels,
    read_prompt,
    read_schema,
    spec_of,
    to_toml,
)
from puna.batch.texts import choose_column
from puna.cli.session import Session, pass_session
from puna.errors import Invalid, PunaError

_KINDS = ("labels", "prompt", "schema", "embed")
_MOST_TRIES = 5
_T = TypeVar("_T")


class TaskFileThere(Invalid):
    """The task file exists already."""

    code = "task_file_there"


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("task.toml"))
@click.option("--input", "input_name", help="A file of rows, whose columns are offered.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@pass_session
def init(session: Session, *, file: Path, input_name: str | None, force: bool) -> None:
    """Ask what the job is to do, and write FILE (task.toml by default)."""
    if file.exists() and not force:
        raise TaskFileThere(f"{file} is there already", hint="name another file, or say --force")
    columns = Files(find_files([input_name]), Reading()).columns if input_name else ()
    words = _Questions(session, columns).ask()
    spec_of(words)
    file.write_text(to_toml(words), encoding="utf-8")
    session.terminal.say(f"Wrote {file}. Run it with:")
    session.terminal.line(f"puna batch run {input_name or 'INPUT'} -o OUTPUT.csv --task {file}")


class _Questions:
    """Asks one question after the other, again where an answer will not do."""

    def __init__(self, session: Session, columns: tuple[str, ...]) -> None:
        self._session = session
        self._columns = columns

    def ask(self) -> TaskWords:
        """Return what was answered."""
        model = self._ask("Model", "smollm2", str)
        kind = self._ask(f"What to make of a row ({', '.join(_KINDS)})", _KINDS[0], _kind)
        column = self._column() if kind in {"labels", "embed"} else None
        if kind == "labels":
            return TaskWords(
                model=model,
                column=column,
                labels=self._ask("Labels, between commas, or a file of them", None, _labels),
                multi=self._ask("Several labels for a row (yes, no)", "no", _flag) or None,
                calibrate=self._ask("Calibrate (yes, no)", "no", _flag) or None,
            )
        if kind == "embed":
            return TaskWords(model=model, column=column, embed=True)
        named = f" ({', '.join(self._columns)})" if self._columns else ""
        prompt = self._ask(f"Prompt, with columns{named} as {{{{ column }}}}", None, _prompt)
        if kind == "prompt":
            return TaskWords(model=model, prompt=prompt)
        schema = self._ask("File of the JSON schema", None, lambda text: read_schema(text, Path()))
        return TaskWords(model=model, prompt=prompt, schema=schema)

    def _column(self) -> str | None:
        if not self._columns:
            return self._ask("Column of the text (empty if there is only one)", "", str) or None
        usual = self._columns[0]
        named = ", ".join(self._columns)
        return self._ask(
            f"Column of the text ({named})", usual, lambda text: choose_column(text, self._columns)
        )

    def _ask(self, question: str, usual: str | None, read: Callable[[str], _T]) -> _T:
        """Ask until the answer will do. Raises `Invalid` when nothing more is typed."""
        terminal = self._session.terminal
        shown = f"{question} [{usual}]: " if usual else f"{question}: "
        for _ in range(_MOST_TRIES):
            terminal.err.write(shown)
            terminal.err.flush()
            line = terminal.keys.readline()
            answer = line.strip() or (usual if usual is not None else "")
            if not line and usual is None:
                break
            try:
                if answer or usual is not None:
                    return read(answer)
            except PunaError as error:
                terminal.say(error.message)
        raise Invalid(f'"{question}" was not answered')


def _kind(text: str) -> str:
    if text not in _KINDS:
        raise Invalid(f"it is one of {', '.join(_KINDS)}")
    return text


def _labels(text: str) -> tuple[Label, ...]:
    return check_labels(read_labels(text))


def _flag(text: str) -> bool:
    if text.lower() not in {"yes", "y", "no", "n"}:
        raise Invalid("it is yes or no")
    return text.lower().startswith("y")


def _prompt(text: str) -> str:
    found = read_prompt(text, Path())
    if "{{" not in found:
        raise Invalid("it names no column; write it such as {{ keyword }}")
    return found
