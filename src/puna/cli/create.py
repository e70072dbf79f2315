"""`puna create`: a model from a Modelfile.

What the Modelfile names is looked for beside it, described by its digest, and sent to the node
unless it has it already. What is no file there is the name of a model.
"""

import hashlib
from collections.abc import Generator, Iterator
from pathlib import Path

import click

from puna.cli.bars import draw_progress
from puna.cli.session import Session, pass_session
from puna.cli.start import ensure_node
from puna.errors import Invalid
from puna.library.weights.split import PartMissing, names_beside
from puna.models.modelfile_parse import Modelfile, decode_modelfile, parse_modelfile
from puna.models.name import InvalidName, ModelName
from puna.models.regular_file import open_regular
from puna.node.client import NodeClient
from puna.node.pulling import create as create_on
from puna.progress import Progress, Step, Transfer
from puna.units import Size

_CHUNK = 1 << 20


@click.command()
@click.argument("model")
@click.option(
    "-f", "--file", "path", default="Modelfile", show_default=True, help="Name of the Modelfile."
)
@click.option(
    "-q", "--quantize", default="", metavar="LEVEL", help="Quantize to this level (e.g. q4_K_M)."
)
@click.option(
    "--draft-quantize", default="", metavar="LEVEL", help="Quantize the draft model to this level."
)
@pass_session
def create(session: Session, /, model: str, *, path: str, **levels: str) -> None:
    """Make MODEL by a Modelfile."""
    try:
        ModelName.parse(model)
    except InvalidName as error:
        raise InvalidName(f"invalid model name: {model}", hint=error.hint) from error
    source = Path(path).expanduser()
    made = _read(source)
    for name in made.dropped:
        session.terminal.say(f"Warning: parameter {name} is deprecated and left out")
    client = ensure_node(session)
    asked: dict[str, object] = {"model": model, **{k: v for k, v in levels.items() if v}}
    draw_progress(session.terminal, session.world, _work(client, asked, made, source))


def _read(path: Path) -> Modelfile:
    """Read the Modelfile; one that is not there stands for the folder it would be in."""
    if not path.exists():
        return parse_modelfile("FROM .")
    with open_regular(path) as file:
        return parse_modelfile(decode_modelfile(file.read()))


def _work(
    client: NodeClient, asked: dict[str, object], made: Modelfile, source: Path
) -> Iterator[Progress]:
    yield Step("gathering model components")
    folder = source.parent
    names = [text for text in made.sources if _file(folder, text) is None]
    if len(names) > 1:
        raise Invalid(f"no such file: {names[1]}", hint="a model can come from one other model")
    body = {**asked, "from": names[0] if names else ""}
    for field, texts in (
        ("files", [text for text in made.sources if text not in names]),
        ("adapters", list(made.adapters)),
        ("draft_files", list(made.drafts)),
    ):
        digests: dict[str, str] = {}
        for text in texts:
            for file in _files(folder, text):
                name = file.name if file.name not in digests else f"{len(digests)}-{file.name}"
                digests[name] = yield from _sent(client, file)
        body |= {field: digests} if digests else {}
    yield from create_on(client, body | _texts(made))


def _file(folder: Path, text: str) -> Path | None:
    """Return the file or folder that a value names, seen from the Modelfile; None for a name."""
    path = folder / Path(text).expanduser()
    return path if path.exists() else None


def _files(folder: Path, text: str) -> list[Path]:
    """Return the files that a value stands for: itself, or the weights in a folder."""
    path = _file(folder, text)
    if path is None:
        raise Invalid(f"no such file: {text}")
    if path.is_file():
        return _with_parts(path)
    found = sorted(path.glob("*.gguf")) or sorted(path.glob("*.safetensors"))
    if not found:
        raise Invalid("no Modelfile or safetensors files found", hint=f"looked in {path}")
    root = path.resolve()
    for each in found:
        if not each.resolve().is_relative_to(root):
            raise Invalid(f"insecure path: {each} leads out of {path}")
    return found


def _with_parts(path: Path) -> list[Path]:
    """Return a file, with the other parts if it is one of a split model."""
    paths = [path.with_name(name) for name in names_beside(path.name)] or [path]
    for each in paths:
        if not each.exists():
            raise PartMissing(
                f"no such file: {each}: a split model needs all its {len(paths)} parts",
                hint="put all of them into one folder",
            )
    return paths


def _sent(client: NodeClient, file: Path) -> Generator[Progress, None, str]:
    """Have a file in the node's store, and return its digest."""
    with open_regular(file) as opened:
        size, done, found = Size(file.stat().st_size), 0, hashlib.sha256()
        while chunk := opened.read(_CHUNK):
            found.update(chunk)
            done += len(chunk)
            yield Transfer(f"reading {file.name}", file.name, size, Size(done))
    digest = f"sha256:{found.hexdigest()}"
    if not client.has_blob(digest):
        yield Step(f"copying file {digest}")
        with file.open("rb") as again:
            client.send_blob(digest, again)
    return digest


def _texts(made: Modelfile) -> dict[str, object]:
    """Return what a Modelfile says beside its files, as `/api/create` takes it."""
    body: dict[str, object] = {
        "template": made.template,
        "system": made.system,
        "renderer": made.renderer,
        "parser": made.parser,
        "requires": made.requires,
        "license": list(made.licenses),
        "messages": [{"role": role, "content": text} for role, text in made.messages],
        "parameters": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in (made.parameters or {}).items()
        },
    }
    explicit = {"template", "system"}  # an empty one takes away what the other model has
    return {
        name: value
        for name, value in body.items()
        if value or (name in explicit and value is not None)
    }
