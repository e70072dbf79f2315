"""Put files of old forms into llama.cpp's form, once: see `recast_folder` for where."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from puna.library.disk import (
    StoreFull,
    StoreReadOnly,
    disk_errors,
    make_durable,
    open_new,
    write_all,
)
from puna.library.draft import Draft
from puna.library.recast_folder import RecastFolder
from puna.models.digest import Digest, InvalidDigest
from puna.models.former.recast import Recast
from puna.models.former.writing import recast_bytes
from puna.models.old_blobs import way_out

_LOG = logging.getLogger("puna.library")


class Recasts:
    """The translated files of one store. Blocks: making one takes as long as a copy."""

    def __init__(
        self, folder: RecastFolder, draft: Callable[[], AbstractContextManager[Draft]]
    ) -> None:
        self._folder = folder
        self._draft = draft

    def path(self, recast: Recast, part: str) -> Path:
        """Return the file in its new form, made now if it is not here. `part` tells two apart.

        Raises `StoreFull`, `StoreReadOnly` and their kin, `BadGguf`.
        """
        source = recast.source.path
        made = self._folder.place(source, part)
        if self._folder.is_good(made):
            return made
        try:
            self._make(recast, made)
        except (StoreFull, StoreReadOnly) as error:
            raise type(error)(
                f"{source.name} has to be put into llama.cpp's form, and {error.message}",
                hint=f"{error.hint}; or {way_out(recast.source)}",
            ) from error
        return made

    def _make(self, recast: Recast, made: Path) -> None:
        source = recast.source.path
        _LOG.warning("%s is being put into llama.cpp's form, which is done once", source.name)
        with self._draft() as draft:
            draft.ensure_room(recast.size)
            with suppress(InvalidDigest):  # a file of its own has none, and nobody prunes it
                draft.keep(Digest(source.name), recast.source.file_size)
            scratch = draft.scratch / made.name
            with disk_errors(self._folder.path):
                with open_new(scratch) as file:
                    for chunk in recast_bytes(recast):
                        write_all(file, chunk)
                    make_durable(file)
                made.parent.mkdir(parents=True, exist_ok=True)
                scratch.replace(made)
                self._folder.note(source, made)
