"""Shards: the fixed stretches of rows that workers compute, and in which a job is resumed.

Which rows are computed together is decided once, by the job's plan, and never by who computes them
or by what was interrupted: quantised kernels give other last digits in other company.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shard:
    """A stretch of the job's distinct rows, in their fixed order."""

    number: int
    first: int
    """The number of its first row among all distinct rows of the job."""
    texts: tuple[str, ...]
    """What the model is asked about: the column's text, or the filled template."""
    batch: int
    """Rows that are computed together; the last batch may be shorter."""

    def batches(self) -> Iterator["Shard"]:
        """Yield its batches, each a shard of the same number; always the same ones."""
        for place in range(0, len(self.texts), self.batch):
            texts = self.texts[place : place + self.batch]
            yield Shard(self.number, self.first + place, texts, self.batch)
