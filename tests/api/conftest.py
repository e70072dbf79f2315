"""A node for each test that asks for one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.stage import Stage, staged


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A node with the model `tiny` that echoes."""
    async with staged(tmp_path) as one:
        yield one
