"""What a word on the command line may become. The names of models are passed in.

A word is understood by the table of commands where that is enough: importing `puna run` to learn
that its first word is a model would take longer than a person waits for a key. Options are asked
of the command itself.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import starmap

import click
from click.shell_completion import CompletionItem

from puna.cli.lazy import meanings_of
from puna.cli.main import ALIASES, COMMANDS, Takes, load_command, make_command


@dataclass(frozen=True, slots=True)
class Candidate:
    """A word that could stand there, and what it means."""

    value: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Candidates:
    """What could stand there; with `files`, also the name of a file."""

    words: tuple[Candidate, ...] = ()
    files: bool = False


Models = Callable[[Takes, str], Sequence[Candidate]]
"""Returns the models that begin with a text."""


def complete(words: Sequence[str], word: str, models: Models) -> Candidates:
    """Return what `word` may become after `words`, those that follow the program's name."""
    at = next((i for i, each in enumerate(words) if not each.startswith("-")), None)
    if at is None:
        if word.startswith("-"):
            return _chosen(_options(make_command(), ()), word)
        return _chosen((Candidate(name, row.meaning) for name, row in COMMANDS.items()), word)
    entry = COMMANDS.get(ALIASES.get(words[at], words[at]))
    if entry is None:
        return Candidates()
    rest = words[at + 1 :]
    if entry.takes and not any(each.startswith("-") for each in (*rest, word)):
        return _positional(entry.takes, len(rest), word, models)
    return _within(load_command(entry), rest, word, (entry.takes, models))


def _within(
    command: click.Command, words: Sequence[str], word: str, names: tuple[Takes, Models]
) -> Candidates:
    """Complete among the words of one command, or of a command in its group."""
    if isinstance(command, click.Group):
        at = next((i for i, each in enumerate(words) if not each.startswith("-")), None)
        inner = _inner(command, words[at]) if at is not None else None
        if inner is not None and at is not None:
            return _within(inner, words[at + 1 :], word, names)
        if at is None and not word.startswith("-"):
            return _chosen(starmap(Candidate, meanings_of(command).items()), word)
    line = _Line.read(command, words)
    if line.waiting is not None:
        return _value(command, line.waiting, word, names)
    name, equals, value = word.partition("=")
    if line.is_closed or not word.startswith("-"):
        return _argument(command, line.positions, word, names)
    if equals and name in line.options:
        found = _value(command, line.options[name], value, names)
        return Candidates(tuple(Candidate(f"{name}={each.value}") for each in found.words))
    return _chosen(_options(command, line.given), word)


def _inner(group: click.Group, name: str) -> click.Command | None:
    with click.Context(group, resilient_parsing=True) as context:
        return group.get_command(context, name)


def _value(
    command: click.Command, option: click.Option, word: str, names: tuple[Takes, Models]
) -> Candidates:
    if option.name == "model":
        return _positional(Takes.MODEL, 0, word, names[1])
    return _asked(command, option, word)


def _argument(
    command: click.Command, place: int, word: str, names: tuple[Takes, Models]
) -> Candidates:
    takes, models = names
    if takes:
        return _positional(takes, place, word, models)
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    if place < len(arguments):
        return _asked(command, arguments[place], word)
    return Candidates()


@dataclass(frozen=True, slots=True)
class _Line:
    """The words of one command, as far as they are complete."""

    options: dict[str, click.Option]
    given: tuple[str, ...]
    positions: int
    waiting: click.Option | None
    """The option whose value comes next."""
    is_closed: bool
    """Whether `--` has ended the options."""

    @classmethod
    def read(cls, command: click.Command, words: Sequence[str]) -> "_Line":
        options = {
            name: each
            for each in command.params
            if isinstance(each, click.Option)
            for name in (*each.opts, *each.secondary_opts)
        }
        waiting: click.Option | None = None
        given: list[str] = []
        positions, is_closed = 0, False
        for word in words:
            if waiting is not None:
                waiting = None
            elif word == "--" and not is_closed:
                is_closed = True
            elif word.startswith("-") and word != "-" and not is_closed:
                name, equals, _ = word.partition("=")
                option = options.get(name)
                given.append(name)
                waiting = option if option and not equals and _takes_next(option) else None
            else:
                positions += 1
        return cls(options, tuple(given), positions, waiting, is_closed)


def _takes_next(option: click.Option) -> bool:
    """Tell whether the next word is the option's value; `--think` may stand alone."""
    return not option.is_flag and not option.count and not (option.metavar or "").startswith("[")


def _options(command: click.Command, given: Sequence[str]) -> Iterator[Candidate]:
    for each in command.params:
        if not isinstance(each, click.Option) or each.hidden:
            continue
        if not each.multiple and set(given).intersection(each.opts):
            continue
        name = max(each.opts, key=len)
        bare = each.is_flag or each.count
        yield Candidate(f"{name}=" if not bare and not _takes_next(each) else name, each.help or "")
    yield Candidate("--help", "Show this message and exit.")


def _asked(command: click.Command, parameter: click.Parameter, word: str) -> Candidates:
    """Ask a parameter what it may be; one that does not say takes no file."""
    with click.Context(command, resilient_parsing=True) as context:
        found: list[CompletionItem] = parameter.shell_complete(context, word)
    files = any(each.type in {"file", "dir"} for each in found)
    rows = (Candidate(each.value, each.help or "") for each in found if each.type == "plain")
    return Candidates(_chosen(rows, word).words, files=files)


def _positional(takes: Takes, place: int, word: str, models: Models) -> Candidates:
    if takes is Takes.COMMAND:
        rows = (Candidate(name, row.meaning) for name, row in COMMANDS.items())
        return _chosen(rows, word) if place == 0 else Candidates()
    if takes is Takes.PROGRAM:
        programs = import_module("puna.cli.launch.programs").PROGRAMS
        rows = (Candidate(each.name, each.title) for each in programs)
        return _chosen(rows, word) if place == 0 else Candidates()
    if place > 0 and takes is not Takes.MODELS:
        return Candidates()
    if word.startswith((".", "/", "~")):
        return Candidates(files=True)
    return Candidates(tuple(models(takes, word)))


def _chosen(rows: "Iterator[Candidate] | Sequence[Candidate]", word: str) -> Candidates:
    return Candidates(tuple(each for each in rows if each.value.startswith(word)))
