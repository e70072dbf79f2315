"""Where files lie that had to be put into llama.cpp's form: beside the blobs, never among them.

`<store>/.puna/recast/<name>` is made once, when its model is loaded first, and goes when the blob
does. The blob itself is never touched: its digest is its name, and Ollama may be using it. What is
here can always be made again, so a file whose note does not fit it any more simply is.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from puna.models.digest import Digest, InvalidDigest

_VERSION = 1
"""Goes up when a form is translated in another way than before."""


class RecastFolder:
    """The folder in one store. Blocks for moments."""

    def __init__(self, root: Path) -> None:
        self.path = root / ".puna" / "recast"

    def place(self, source: Path, part: str) -> Path:
        """Return where the new form of a file is, or would be; `part` tells two of it apart."""
        return self.path / f"{_key(source)}-{_VERSION}-{part}.gguf"

    def is_good(self, made: Path) -> bool:
        """Tell whether a file is here, and as it was when it was made."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            note = json.loads(_note(made).read_bytes())
            return bool(note["state"] == _state(made))
        return False

    def note(self, source: Path, made: Path) -> None:
        """Note that a file is whole, and what it was made of."""
        note = _note(made)
        draft = note.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps({"source": str(source), "state": _state(made)}), "utf-8")
        draft.replace(note)

    def forget_removed(self) -> None:
        """Remove what was made of files that are gone or have changed."""
        for note in self._notes():
            made = note.with_suffix("")
            with suppress(OSError, ValueError, KeyError, TypeError):
                source = Path(json.loads(note.read_bytes())["source"])
                if source.exists() and made.name.startswith(f"{_key(source)}-{_VERSION}-"):
                    continue
            for path in (made, note):
                with suppress(OSError):
                    path.unlink(missing_ok=True)

    def _notes(self) -> Iterator[Path]:
        with suppress(OSError):
            yield from sorted(self.path.glob("*.gguf.json"))


def _note(made: Path) -> Path:
    return made.with_suffix(".gguf.json")


def _key(source: Path) -> str:
    """Return what names a file: a blob's digest, or where another file is and its state."""
    with suppress(InvalidDigest):
        return Digest(source.name).hex
    return sha256(f"{source} {_state(source)}".encode()).hexdigest()


def _state(path: Path) -> list[int]:
    state = path.stat()
    return [state.st_size, state.st_mtime_ns, state.st_ino]
