"""One market for each test that asks for it."""

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.market.instant import MEMORY
from tests.market.stage import Stage, a_market


@pytest_asyncio.fixture
async def market() -> AsyncIterator[Stage]:
    """In memory where the system has such a folder, for each turn of a loop waits for the disk."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with a_market(Path(folder)) as stage:
            yield stage
