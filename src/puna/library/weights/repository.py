"""The files of a model as Hugging Face keeps them: JSON beside weights in safetensors.

They come by the names that they have there, wherever their contents lie. All of them are a
stranger's: sizes are limited, JSON has one meaning, and shards are those that the index names.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from puna.errors import Invalid
from puna.models.regular_file import UnusableFile, open_regular
from puna.models.safetensors import StoredTensor, read_safetensors
from puna.models.strict_json import BadJson, JsonValue, parse_json
from puna.text import one_line

Object = Mapping[str, JsonValue]
_MAX_JSON = 64 << 20
"""The largest tokenizers have half as much."""
_WEIGHTS = ".safetensors"
_INDEX = "model.safetensors.index.json"


class BadRepository(Invalid):
    """The files do not make a model; the message says which and why."""

    code = "bad_repository"


class Repository:
    """Files by their names, as a model's folder has them."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = _from_root(files)

    def has(self, name: str) -> bool:
        """Tell whether there is a file of this name."""
        return name in self._files

    def raw(self, name: str) -> bytes:
        """Return the content of a file that is there. Raises `BadRepository`."""
        try:
            with open_regular(self._files[name]) as file:
                content = file.read(_MAX_JSON + 1) or b""
        except (UnusableFile, OSError) as error:
            raise BadRepository(f"{name} cannot be read: {error}") from error
        if len(content) > _MAX_JSON:
            raise BadRepository(f"{name} has more than {_MAX_JSON} bytes")
        return content

    def text(self, name: str) -> str:
        """Return a text, empty if there is none. Raises `BadRepository`."""
        if not self.has(name):
            return ""
        try:
            return self.raw(name).decode("utf-8")
        except UnicodeDecodeError as error:
            raise BadRepository(f"{name} is not UTF-8") from error

    def json(self, name: str) -> Object:
        """Return what a JSON file says, nothing if there is none. Raises `BadRepository`."""
        if not self.has(name):
            return {}
        try:
            found = parse_json(self.raw(name), limit=_MAX_JSON)
        except BadJson as error:
            raise BadRepository(f"{name} cannot be read: {error}") from error
        if not isinstance(found, dict):
            raise BadRepository(f"{name} holds no object")
        return found

    def needed_json(self, name: str) -> Object:
        """Return what a JSON file says. Raises `BadRepository` if there is none."""
        if not self.has(name):
            raise BadRepository(
                f"{name} is missing beside the weights",
                hint="name the model's whole folder in FROM, with its JSON files",
            )
        return self.json(name)

    def tensors(self) -> Mapping[str, StoredTensor]:
        """Return the tensors of all files, by name. Raises `BadRepository`, `BadSafetensors`."""
        found: dict[str, StoredTensor] = {}
        for name in self._weights():
            for tensor in read_safetensors(self._files[name], name=name):
                if tensor.name in found:
                    raise BadRepository(f"two files hold a tensor {one_line(tensor.name, 100)}")
                found[tensor.name] = tensor
        self._check_index(found)
        if not found:
            raise BadRepository("there are no weights: no file of the model is safetensors")
        return found

    def _weights(self) -> list[str]:
        names = sorted(name for name in self._files if name.endswith(_WEIGHTS))
        own = [name for name in names if not name.startswith("consolidated")]
        return own or names

    def _check_index(self, found: Mapping[str, StoredTensor]) -> None:
        """Make sure that what the index of shards promises is there."""
        promised = self.json(_INDEX).get("weight_map")
        if promised is None:
            return
        if not isinstance(promised, dict):
            raise BadRepository(f"{_INDEX} has no usable weight_map")
        for name, shard in promised.items():
            if not self.has(str(shard)):
                raise BadRepository(f"{one_line(str(shard), 100)} is missing: {_INDEX} names it")
            if name not in found:
                raise BadRepository(
                    f"{one_line(name, 100)} is in no file, though {_INDEX} names it"
                )


def _from_root(files: Mapping[str, Path]) -> Mapping[str, Path]:
    """Return the files by their names beside `config.json`, if that lies one folder down."""
    folders = list(_folders_of(files, "config.json")) or list(
        _folders_of(files, "adapter_config.json")
    )
    if "" in folders or len(folders) != 1:
        return files
    start = f"{folders[0]}/"
    inside = {
        name.removeprefix(start): path for name, path in files.items() if name.startswith(start)
    }
    return {**files, **inside}


def _folders_of(files: Mapping[str, Path], wanted: str) -> Iterator[str]:
    for name in files:
        path = PurePosixPath(name)
        if path.name == wanted:
            yield "" if str(path.parent) == "." else str(path.parent)
