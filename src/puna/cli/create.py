"""`puna create`: a model from a Modelfile.

What the Modelfile names is looked for beside it, described by its digest, and brought to the node
unless it has it already. What is no file there is the name of a model.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from puna.cli.bars import draw_progress
from puna.cli.delivery import Delivery, delivery
from puna.cli.model_files import model_files
from puna.cli.session import Session, pass_session
from puna.cli.start import ensure_node
from puna.errors import Invalid
from puna.models.mix import Level
from puna.models.modelfile_parse import Modelfile, decode_modelfile, parse_modelfile
from puna.models.name import InvalidName, ModelName
from puna.models.regular_file import open_regular
from puna.node.pulling import create as create_on
from puna.progress import Progress, Step


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
@click.option(
    "--in-place",
    is_flag=True,
    help="Do not copy files: give them a second name in the store of a server on this machine.",
)
@pass_session
def create(session: Session, /, model: str, *, path: str, in_place: bool, **levels: str) -> None:
    """Make MODEL by a Modelfile."""
    try:
        ModelName.parse(model)
    except InvalidName as error:
        raise InvalidName(f"invalid model name: {model}", hint=error.hint) from error
    for level in filter(None, levels.values()):
        Level.parse(level)
    source = Path(path).expanduser()
    made = _read(source)
    for name in made.dropped:
        session.terminal.say(f"Warning: parameter {name} is deprecated and left out")
    client = ensure_node(session)
    asked: dict[str, object] = {"model": model, **{k: v for k, v in levels.items() if v}}
    with delivery(session, client, in_place=in_place) as by:
        draw_progress(session.terminal, session.world, _work(by, asked, made, source.parent))


def _read(path: Path) -> Modelfile:
    """Read the Modelfile; one that is not there stands for the folder it would be in."""
    if not path.exists():
        return parse_modelfile("FROM .")
    with open_regular(path) as file:
        return parse_modelfile(decode_modelfile(file.read()))


def _work(
    by: Delivery, asked: dict[str, object], made: Modelfile, folder: Path
) -> Iterator[Progress]:
    yield Step("gathering model components")
    names = [text for text in made.sources if _file(folder, text) is None]
    for text in names:
        if text.startswith((".", "/", "~")) or text.endswith((".gguf", ".safetensors")):
            raise Invalid(f"no such file: {text}", hint=f"looked in {folder.resolve()}")
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
            for name, file in _files(folder, text).items():
                own = name if name not in digests else f"{len(digests)}-{name}"
                digests[own] = yield from by.bring(name, file)
        body |= {field: digests} if digests else {}
    yield from create_on(by.client, body | _texts(made))


def _file(folder: Path, text: str) -> Path | None:
    """Return the file or folder that a value names, seen from the Modelfile; None for a name."""
    path = folder / Path(text).expanduser()
    return path if path.exists() else None


def _files(folder: Path, text: str) -> Mapping[str, Path]:
    path = _file(folder, text)
    if path is None:
        raise Invalid(f"no such file: {text}")
    return model_files(path)


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
