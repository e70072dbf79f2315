"""One server of the real model for all clients."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import Serving


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, no_settings_of_mine: Path
) -> Iterator[Serving]:
    """A server that knows `smollm2`."""
    assert no_settings_of_mine.exists()
    with Serving(tmp_path_factory.mktemp("server")) as one:
        yield one


@pytest.fixture(autouse=True)
def forgotten_sockets() -> Iterator[None]:
    """Let what a client forgot to close be closed here, where that is no error of ours."""
    yield
    gc.collect()
