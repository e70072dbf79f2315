"""Which files a path in a Modelfile stands for: itself, the parts of a split model, or a folder's.

Of a folder the weights are taken that are found first: safetensors before anything else, beside
which everything that tells what they are (configuration, tokenizer, templates) is taken too.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from puna.errors import Invalid
from puna.library.weights.made import CannotConvert
from puna.library.weights.split import PartMissing, names_beside

_SAFETENSORS = (
    "model*.safetensors",
    "adapter_model*.safetensors",
    "*/model*.safetensors",
    "consolidated*.safetensors",
)
_PYTORCH = ("pytorch_model*.bin", "consolidated*.pth", "adapter_model*.bin")
_BESIDE = ("*.json", "chat_template.jinja", "tokenizer.model")


def model_files(path: Path) -> Mapping[str, Path]:
    """Return the files that a path stands for, by the names that a model's folder has them under.

    Raises `Invalid`, `PartMissing`, `CannotConvert`.
    """
    if not path.is_dir():
        return {each.name: each for each in _with_parts(path)}
    found = {str(each.relative_to(path)): each for each in _in_folder(path)}
    for each in found.values():
        if not any(each.resolve().is_relative_to(root) for root in _roots(path)):
            raise Invalid(f"insecure path: {each} leads out of {path}")
    return found


def _roots(path: Path) -> Iterator[Path]:
    """Yield where a folder's links may lead: into itself, or where Hugging Face keeps its files."""
    yield path.resolve()
    repository = path.resolve().parent.parent
    if path.resolve().parent.name == "snapshots" and repository.name.startswith("models--"):
        yield repository / "blobs"


def _in_folder(path: Path) -> Iterator[Path]:
    weights = _first(path, _SAFETENSORS)
    if weights:
        yield from weights
        for pattern in _BESIDE:
            yield from sorted(weights[0].parent.glob(pattern))
        return
    if old := _first(path, _PYTORCH):
        raise CannotConvert(
            f"{old[0]} holds weights as PyTorch writes them, which puna does not read",
            hint="take the model's safetensors files, or a GGUF of it",
        )
    found = _first(path, ("*.gguf",))
    if not found:
        raise Invalid("no Modelfile or safetensors files found", hint=f"looked in {path}")
    yield from found


def _first(path: Path, patterns: tuple[str, ...]) -> list[Path]:
    """Return the files of the first pattern that any fit."""
    return next((found for each in patterns if (found := sorted(path.glob(each)))), [])


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
