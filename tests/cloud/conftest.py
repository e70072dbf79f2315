"""A cloud of RunPod's kind for each test that asks for one."""

from collections.abc import Iterator

import pytest

from tests.fakes.runpod import FakeRunPod, running_runpod


@pytest.fixture
def runpod() -> Iterator[FakeRunPod]:
    """A cloud that has nothing of puna's."""
    with running_runpod() as fake:
        yield fake
