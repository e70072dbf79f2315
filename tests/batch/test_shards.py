"""Shards: what is computed together is fixed."""

from puna.batch.shards import Shard


def test_batches_keep_the_order_and_the_numbers_of_rows() -> None:
    shard = Shard(3, 100, ("a", "b", "c", "d", "e"), 2)
    found = [(each.first, each.texts) for each in shard.batches()]
    assert found == [(100, ("a", "b")), (102, ("c", "d")), (104, ("e",))]
