"""Identifier types: which string is what, so that one is never passed for another."""

from typing import NewType

RequestId = NewType("RequestId", int)
"""One request in the scheduler, counted from 1 in this process."""
EngineId = NewType("EngineId", int)
"""One engine process in the scheduler, counted from 1; never used again after the process ends."""
