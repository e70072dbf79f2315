"""A GGUF file used where it lies: `puna run ./model.gguf`, nothing stored.

Its id is not the digest of its content, which would take a minute for a large file at every run,
but of what the system says of it: path, size and time of change. Such an id is unique on this
machine and changes with the file; it is never written to a store.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from puna.errors import NotFound
from puna.library.blobs import BlobMissing
from puna.library.catalog import WheelFile, config_bytes, manifest_of
from puna.library.local import Facts, LocalModel, Origin
from puna.models.digest import Digest, digest_of
from puna.models.gguf import BadGguf
from puna.models.name import ModelName
from puna.models.regular_file import reason_of, shown_path
from puna.units import Size

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


class FileMissing(NotFound):
    """There is no file at the path that was given."""

    code = "file_missing"


@dataclass(frozen=True, slots=True)
class FileContents:
    """The one file, and the config that stands for the one it does not have."""

    weights: Path
    config: bytes

    def path(self, digest: Digest) -> Path:  # noqa: ARG002 - as Contents has it
        """Return the file of the weights, the only blob that is a file."""
        return self.weights

    def read(self, digest: Digest) -> bytes:
        """Return the config. Raises `BlobMissing` for anything else."""
        if digest == digest_of(self.config):
            return self.config
        raise BlobMissing(f"blob {digest} is no text of {shown_path(self.weights)}")


def model_in_file(path: Path, facts: Facts) -> LocalModel:
    """Return the model in a GGUF file. Raises `FileMissing` or `BadGguf`."""
    where = path.absolute()
    try:
        state = where.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileMissing(f'no such file: "{shown_path(path)}"') from error
    except (OSError, ValueError) as error:
        raise BadGguf(f'cannot read "{shown_path(path)}": {reason_of(error)}') from error
    facts.header(where)
    real = where.resolve()
    identity = f"{real}\0{state.st_size}\0{state.st_mtime_ns}".encode("utf-8", "surrogateescape")
    config = config_bytes()
    weights = WheelFile(str(real), digest_of(identity), Size(state.st_size))
    return LocalModel(
        name=_name_of(where),
        manifest=manifest_of(config, weights, ()),
        modified_at=datetime.fromtimestamp(state.st_mtime, UTC),
        contents=FileContents(where, config),
        facts=facts,
        origin=Origin.FILE,
        file=path,
    )


def _name_of(path: Path) -> ModelName:
    """Make a valid name of a file's; people see the path instead (`LocalModel.label`)."""
    stem = _NOT_IN_NAMES.sub("-", path.stem).lstrip(".-")[:80]
    return ModelName(stem or "model", namespace="file", host="localhost")
