"""A node for each test that asks for one."""

from collections.abc import Iterator

import pytest

from tests.fakes.node import FakeNode, running_node


@pytest.fixture
def node() -> Iterator[FakeNode]:
    """A node that says what the test tells it to."""
    with running_node() as fake:
        yield fake
