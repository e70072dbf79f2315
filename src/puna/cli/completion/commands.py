"""`puna completion SHELL` writes the script for a shell; `puna __complete` answers that script.

The answer is a line that says whether the name of a file may stand there (`files` or `none`), then
a line for each word: the word, a tab, what it means. Words come as they are, or as one line as far
as the cursor, which is how bash knows it without its own ideas of what divides words.
"""

from pathlib import Path

import click
from click.shell_completion import split_arg_string

from puna.cli.completion.names import models_for
from puna.cli.completion.walk import complete
from puna.cli.session import Session, pass_session
from puna.text import one_line

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@pass_session
def completion(session: Session, shell: str) -> None:
    """Print what makes SHELL complete commands, options and the names of models.

    In ~/.bashrc: source <(puna completion bash)

    In ~/.zshrc, after compinit: source <(puna completion zsh)

    For fish: puna completion fish > ~/.config/fish/completions/puna.fish
    """
    script = Path(__file__).with_name(f"puna.{shell}").read_text(encoding="utf-8")
    session.terminal.write(script)


@click.command(
    "__complete",
    hidden=True,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--line", default=None, help="The line as far as the cursor.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@pass_session
def answer(session: Session, line: str | None, words: tuple[str, ...]) -> None:
    """Say what the last of WORDS may become."""
    given = list(words) or [""]
    if line is not None:
        given = split_arg_string(line)[1:]
        given += [""] if not given or line[-1:].isspace() else []
    found = complete(given[:-1], given[-1], lambda takes, word: models_for(session, takes, word))
    session.terminal.line("files" if found.files else "none")
    for each in found.words:
        meaning = one_line(session.terminal.language.of(each.meaning))
        session.terminal.line(f"{each.value}\t{meaning}")
