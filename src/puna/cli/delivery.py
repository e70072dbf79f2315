"""How files come into the node's store: sent over HTTP, or given a second name there.

A file that is sent is copied, and may change or go afterwards. A file that is used in place has two
names for one content (a hard link): nothing is copied, and removing either name leaves the other.
Whoever writes into it changes the model too, which is noticed and refused when it is next loaded.
"""

import hashlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from puna.cli.reach import is_local
from puna.cli.session import Session
from puna.errors import Invalid
from puna.library.draft import Draft
from puna.library.store import ModelStore
from puna.models.digest import Digest
from puna.models.regular_file import open_regular
from puna.node.client import NodeClient
from puna.progress import Progress, Step, Transfer
from puna.units import Size

_CHUNK = 1 << 20


class NotInPlace(Invalid):
    """A file cannot be used where it is; the message says why."""

    code = "not_in_place"


@dataclass(frozen=True, slots=True)
class Delivery:
    """Brings files to a node; with a draft of the node's own store, by a second name."""

    client: NodeClient
    draft: Draft | None = None
    store: Path = Path()

    def bring(self, name: str, path: Path) -> Generator[Progress, None, str]:
        """Have a file in the node's store, and return its digest. Raises `NotInPlace`."""
        digest, size = yield from _digest(name, path)
        if self.client.has_blob(digest):
            return digest
        if self.draft is not None:
            yield Step(f"using {path} in place")
            self._link(self.draft, path, digest, size)
            return digest
        yield Step(f"copying file {digest}")
        with path.open("rb") as again:
            self.client.send_blob(digest, again)
        return digest

    def _link(self, draft: Draft, path: Path, digest: Digest, size: Size) -> None:
        if not draft.link(path, digest, size):
            raise NotInPlace(
                f"{path} cannot have a second name in {self.store}: it is on another disk, or not"
                " everyone may read it",
                hint="leave out --in-place to copy it, or set PUNA_MODELS to a folder on its disk",
            )
        if not self.client.has_blob(digest):
            raise NotInPlace(
                f"the server does not keep its models in {self.store}",
                hint="set PUNA_MODELS here as it is set for the server, or leave out --in-place",
            )


@contextmanager
def delivery(session: Session, client: NodeClient, *, in_place: bool) -> Iterator[Delivery]:
    """Return what brings files to the node, within the block. Raises `NotInPlace`."""
    if not in_place:
        yield Delivery(client)
        return
    if not is_local(session):
        raise NotInPlace(
            f"--in-place needs a server on this machine, not {session.settings.host.for_client()}",
            hint="leave it out: the files are sent then",
        )
    store = ModelStore(session.settings.models, session.world)
    with store.draft() as draft:
        yield Delivery(client, draft, store.root)


def _digest(name: str, path: Path) -> Generator[Progress, None, tuple[Digest, Size]]:
    with open_regular(path) as opened:
        size, done, found = Size(path.stat().st_size), 0, hashlib.sha256()
        while chunk := opened.read(_CHUNK):
            found.update(chunk)
            done += len(chunk)
            yield Transfer(f"reading {name}", name, size, Size(done))
    return Digest.parse(f"sha256:{found.hexdigest()}"), Size(done)
