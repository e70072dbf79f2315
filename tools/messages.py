"""Find what puna says to people, and hold the catalogues of other languages to it.

python tools/messages.py            bring each puna.po up to date with the code, and compile it
python tools/messages.py --check    exit status 1 if a catalogue is stale; names what it lacks

Messages are found where they are written, as templates: f"model '{name}' not found" becomes
`model '{name}' not found`. The words between braces are for translators: a message is recognised by
the text around them. See docs/translations.md.
"""

import ast
import importlib
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import chain, islice, product
from pathlib import Path

import click

import puna
from po import Entry, compiled, read_po, written
from puna.cli.lazy import meanings_of
from puna.cli.main import COMMANDS, load_command, make_command
from puna.models.options import OPTION_TABLE
from puna.settings import SETTINGS
from write_docs import error_classes

SOURCE = Path(puna.__file__).parent
LOCALES = SOURCE / "locale"
ROOMS = (
    "cli",
    "library",
    "models",
    "net.py",
    "fetcher.py",
    "settings.py",
    "readers.py",
    "units.py",
    "node",
    "batch",
    "cloud",
    "market/actions/accounts.py",
    "market/actions/budgets.py",
    "market/actions/renting.py",
)
LEFT_OUT = (
    *("node/api/", "node/batches", "node/shelf", "models/gguf"),
    *("library/curated", "library/weights", "models/sentence", "models/safetensors"),
)
"""What people who type commands seldom meet: messages about the bodies of requests and about the
inside of files."""
SERVING = ("node/api/server.py", "node/api/guard.py", "node/api/doors.py", "node/api/catalog.py")
SAYING = frozenset(
    (
        *("say", "reply", "tell", "say_error", "words", "_words", "of", "__init__"),
        *("Spinner", "Step", "Done", "Transfer", "Row", "choose", "Verdict", "ask_yes"),
        *("read_secret", "only_word"),
    )
)
"""Calls whose texts are shown."""
TELLING = frozenset(
    (
        *("where_it_runs", "cut_line", "take_back", "_without_keys", "verdict_words", "ending_of"),
        *("_shorter_context", "_fewer_slots", "_smaller_cache", "_smaller_quantization"),
        *(
            "_larger_card",
            "unknown_command",
            "no_account",
            "_device_row",
            "verdict_line",
            "placement",
        ),
    )
)
"""Functions that return what is shown."""
LISTING = frozenset(
    (
        *("timing_block", "_model_rows", "_projector_rows", "card_text", "offer_table", "_until"),
        *("found_table", "model_table", "running_table", "as_text", "list_keys", "settings"),
        *("until", "run_dialogue", "offers", "templates", "list_pods", "_catalog"),
        *("list_keys", "_limit_table"),
    )
)
"""Functions whose texts are headings and names of rows."""
ELSEWHERE = (
    *("Usage:", "Options", "Commands", "Arguments", "Show this message and exit.", "Environment:"),
    *("default: {value}", "required", "usage: {path} --help", "[OPTIONS]"),
    *("COMMAND", "[COMMAND]", "[ARGS]...", "the name is not known", "no answer in time"),
    "without a registry there is {names}",
    *("missing argument '{name}'", "no such option '{name}'", "missing option '{name}'"),
    "no such option '{name}'. Did you mean {words}?",
    "no such option '{name}'. (Possible options: {words})",
    *("got unexpected extra argument ({words})", "got unexpected extra arguments ({words})"),
    *("option '{name}' requires an argument", "option '{name}' does not take a value"),
    "invalid value for '{name}': '{value}' is not one of {known}",
    "invalid value for '{name}': '{value}' is not a valid {kind}",
    "invalid value for '{name}': {value} is not in the range {range}",
    "invalid value for '{name}': {reason}",
    *("pull model manifest: {reason}", "[Errno {number}] {reason}", "Connection refused"),
    *("see what is here with `puna list`", "similar: {names}", "pull it with `puna pull {name}`"),
    *("similar: {names}; pull it with `puna pull {name}`", '"{name}" does not support {ability}'),
    *("no such command '{name}'", "no such file or directory", "permission denied"),
    *("no space left on device", "is a directory", "connection refused", "file exists"),
    *("read-only file system", "not a directory", "timed out", "{count} token(s)"),
    *("Less than a second ago", "1 second ago", "About a minute ago", "About an hour ago"),
    *("Less than a second from now", "1 second from now", "About a minute from now"),
    *(
        "About an hour from now",
        "Never",
        "Forever",
        "Stopping...",
        "Expired",
        "forever",
        "memory",
        "Added image '{path}'",
    ),
    *("another card", "the other cloud", "another country", "another data centre"),
    *("another CUDA", "no public address", "lacks the runtime", "a slower network"),
    *("a slower disk", "too small", "not seen lately", "its owner does not offer it now"),
    *("being emptied", "not offered for spot", "asks more than the bid"),
    *("dearer than the ceiling", "taken", "failed for this pod before", "total"),
    "more do not do",
)
COUNTED = tuple(
    (f"{{count}} {unit} {ago}", f"{{count}} {unit}s {ago}")
    for ago in ("ago", "from now")
    for unit in ("second", "minute", "hour", "day", "week", "month", "year")
)
COUNTED_TOO = (
    ("{count} model here", "{count} models here"),
    ("{count} thread", "{count} threads"),
    (", {count} earlier message left out", ", {count} earlier messages left out"),
    ("CPU, {count} thread", "CPU, {count} threads"),
)
_WORD = re.compile(r"[A-Za-z]{2}")
_PLACE = re.compile(r"\{\w+\}")
_MOST_FORMS = 8
_PLACED = 2
_LEAST_SHARE = 0.95
"""A message that was just written may wait for `make messages`; one in a catalogue may not."""


def messages() -> dict[str, str]:
    """Return every message, with its plural if it has one."""
    found = dict.fromkeys(chain(ELSEWHERE, _helps(), _written_in_code()), "")
    counted = {_PLACE.sub("", plural) for _, plural in (*COUNTED, *COUNTED_TOO)}
    plain = {text: _PLACE.sub("", text) for text in found}
    kept = {text: "" for text in found if _WORD.search(plain[text]) and plain[text] not in counted}
    return kept | dict((*COUNTED, *COUNTED_TOO))


def _helps() -> Iterator[str]:
    """Return the texts of help, as click shows them."""
    yield from (row.meaning for row in SETTINGS)
    yield from (row.summary for row in OPTION_TABLE.values())
    yield from _help_of(make_command())
    for entry in COMMANDS.values():
        yield entry.meaning
        yield from _help_of(load_command(entry))


def _help_of(command: click.Command) -> Iterator[str]:
    yield inspect.cleandoc(command.help or "")
    for each in command.params:
        if isinstance(each, click.Option):
            yield each.help or ""
    if isinstance(command, click.Group) and command.name != "puna":
        yield from meanings_of(command).values()
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            yield from _help_of(inner) if inner else ()


def _written_in_code() -> Iterator[str]:
    errors = {error.__name__ for error in error_classes()}
    for room in ROOMS:
        place = SOURCE / room
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            name = file.relative_to(SOURCE).as_posix()
            if name in SERVING or not name.startswith(LEFT_OUT):
                yield from _in_tree(ast.parse(file.read_text(encoding="utf-8")), errors)
    words = importlib.import_module("puna.cli.repl.words")
    constants = [text for name, text in vars(words).items() if name.isupper()]
    yield from (text for text in constants if isinstance(text, str))
    yield importlib.import_module("puna.cli.menu_keys").KEYS


def _in_tree(tree: ast.AST, errors: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) in errors | SAYING:
            parts = node.args[_PLACED:] if _is_placed(node) else node.args
            for part in [*parts, *(word.value for word in node.keywords)]:
                yield from _texts(part)
        elif isinstance(node, ast.FunctionDef) and node.name in TELLING:
            for each in ast.walk(node):
                if isinstance(each, ast.Return | ast.Yield) and each.value is not None:
                    yield from chain(_texts(each.value), _parts(each.value))
        elif isinstance(node, ast.FunctionDef) and node.name in LISTING:
            for each in ast.walk(node):
                yield from _parts(each) if isinstance(each, ast.Tuple | ast.List) else ()
        elif isinstance(node, ast.Assign) and _is_words(node):
            yield from _texts(node.value)


def _is_placed(node: ast.Call) -> bool:
    """Tell whether a row of a table of commands says where its command is before what it does."""
    first = node.args[0] if node.args else None
    return isinstance(first, ast.Constant) and str(first.value).startswith("puna.")


def _is_words(node: ast.Assign) -> bool:
    """Tell whether what is assigned is shown later: `warning = f"..."`."""
    return any(
        isinstance(target, ast.Name) and target.id in {"warning", "message", "hint", "kept", "most"}
        for target in node.targets
    )


def _called(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _parts(node: ast.expr | ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Tuple | ast.List):
        for each in node.elts:
            yield from _texts(each)


def _texts(node: ast.expr) -> list[str]:
    """Return the texts that an expression can be, with places where values stand."""
    forms: Iterable[str] = ()
    match node:
        case ast.Constant(str(text)):
            forms = [text]
        case ast.JoinedStr(values):
            forms = map("".join, product(*map(_texts, values)))
        case ast.FormattedValue(ast.IfExp(_, body, orelse)):
            forms = [*_or_place(body), *_or_place(orelse)]
        case ast.FormattedValue(value):
            forms = [_place(value)]
        case ast.BinOp(left, ast.Add(), right):
            forms = map("".join, product(_or_place(left), _or_place(right)))
        case ast.IfExp(_, body, orelse):
            forms = [*_texts(body), *_texts(orelse)]
        case ast.BoolOp(_, values):
            forms = [text for value in values for text in _texts(value)]
    return list(islice(forms, _MOST_FORMS))


def _or_place(node: ast.expr) -> list[str]:
    return _texts(node) or [_place(node)]


def _place(node: ast.expr) -> str:
    """Name a place after what is put there."""
    while not isinstance(node, ast.Name | ast.Attribute):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            node = node.args[0]
        elif isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Subscript | ast.Starred | ast.Await):
            node = node.value
        else:
            return "{value}"
    name = node.id if isinstance(node, ast.Name) else node.attr
    return f"{{{name.strip('_').lower()}}}"


def numbered(text: str) -> str:
    """Give places of one name numbers, so that each can be moved."""
    seen: dict[str, int] = {}

    def number(place: re.Match[str]) -> str:
        name = place[0][1:-1]
        seen[name] = seen.get(name, 0) + 1
        return f"{{{name}{seen[name]}}}" if seen[name] > 1 else place[0]

    return _PLACE.sub(number, text)


def places(text: str) -> list[str]:
    """Return the places in a text, in alphabetical order."""
    return sorted(_PLACE.findall(text))


def wanted() -> list[Entry]:
    """Return the entries that a catalogue should have."""
    return [Entry(numbered(text), numbered(plural)) for text, plural in messages().items()]


def updated(entries: Iterable[Entry], new: Iterable[Entry]) -> list[Entry]:
    """Return the new entries with what is translated already."""
    known = {entry.message: entry for entry in entries}
    return [
        entry._replace(said=known[entry.message].said) if entry.message in known else entry
        for entry in new
    ]


def main() -> int:
    """Write or check."""
    new, code = wanted(), 0
    for file in sorted(LOCALES.glob("*/LC_MESSAGES/puna.po")):
        head, entries = read_po(file.read_text(encoding="utf-8"))
        target = file.with_suffix(".mo")
        if "--check" not in sys.argv:
            entries = updated(entries, new)
            file.write_text(written(head, entries), encoding="utf-8")
            target.write_bytes(compiled(head, entries))
            missing = [entry.message for entry in entries if not entry.is_translated]
            print(f"{file.parent.parent.name}: {len(entries)} messages, {len(missing)} in English")
            continue
        have = {entry.message for entry in entries if entry.is_translated}
        missing = [entry.message for entry in new if entry.message not in have]
        for message in missing:
            print(f"{file}: not translated: {message!r}", file=sys.stderr)
        for entry in entries:
            if not entry.is_translated:
                print(f"{file}: an empty entry: {entry.message!r}", file=sys.stderr)
                code = 1
            if any(places(text) != places(entry.message) for text in entry.said if text):
                print(f"{file}: other places than in {entry.message!r}", file=sys.stderr)
                code = 1
        if "#, fuzzy" in file.read_text(encoding="utf-8"):
            print(f"{file}: an entry is marked as fuzzy", file=sys.stderr)
            code = 1
        is_stale = not target.exists() or target.read_bytes() != compiled(head, entries)
        if is_stale:
            print(f"{target}: stale; run `make messages`", file=sys.stderr)
        code |= is_stale or len(missing) > len(new) * (1 - _LEAST_SHARE)
    return code


if __name__ == "__main__":
    sys.exit(main())
