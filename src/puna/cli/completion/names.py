"""The names of models for completion: from the store, without a server, and in no time.

No manifest is read. Where the server is on another machine it is asked, if it answers at once.
"""

import socket
from collections.abc import Sequence
from importlib import import_module

from puna.cli.completion.walk import Candidate
from puna.cli.main import Takes
from puna.cli.reach import client_of, is_local, open_store
from puna.cli.session import Session
from puna.errors import PunaError
from puna.models.name import DEFAULT_TAG

_PATIENCE_S = 0.3


def models_for(session: Session, takes: Takes, word: str) -> Sequence[Candidate]:
    """Return the models that begin with `word`: those that are here, and those worth fetching."""
    here = [_short(name) for name in _names_here(session)]
    if takes is Takes.FETCHABLE and word:
        here += import_module("puna.library.listed_names").listed_names()
    lower = word.lower()
    chosen = dict.fromkeys(name for name in here if name.lower().startswith(lower))
    return [Candidate(name) for name in chosen]


def _names_here(session: Session) -> Sequence[str]:
    try:
        if is_local(session):
            return [name.shortest for name in open_store(session).library.names()]
        address = session.settings.host.for_client()
        socket.create_connection((address.host, address.port), timeout=_PATIENCE_S).close()
        return [each.name for each in client_of(session).list_models()]
    except (PunaError, OSError):
        return ()  # a key that was pressed is no place for an error


def _short(name: str) -> str:
    return name.removesuffix(f":{DEFAULT_TAG}")
