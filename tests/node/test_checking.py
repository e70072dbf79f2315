"""No engine loads a damaged blob, whichever part of a model it is."""

from dataclasses import replace
from pathlib import Path

import pytest

from puna.library.blobs import BlobDamaged
from puna.library.store import ModelStore
from puna.node.checking import checked
from puna.node.engine.request import LoadSpec, Speculation
from puna.node.engine.scripted import Script, scripted_factory
from puna.units import Size
from puna.world import RealWorld
from tests.builders import a_digest, a_gguf
from tests.stores import put_blob

WEIGHTS, PART = a_gguf(), b"GGUF part of a model"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path, RealWorld())


@pytest.mark.parametrize("part", ["weights", "adapter", "projector", "draft"])
async def test_a_flipped_bit_is_refused_with_the_name_of_the_blob(
    store: ModelStore, part: str
) -> None:
    whole = LoadSpec(put_blob(store.root, WEIGHTS), context=8, slots=1, memory=Size(1))
    path = put_blob(store.root, PART)
    spec = {
        "weights": replace(whole, weights=path),
        "adapter": replace(whole, adapters=(path,)),
        "projector": replace(whole, projector=path),
        "draft": replace(whole, speculation=Speculation(path)),
    }[part]
    path.write_bytes(b"GGUF part of a modem")
    load = checked(scripted_factory(RealWorld(), Script()), store)
    with pytest.raises(BlobDamaged, match=a_digest(PART)):
        await load(spec)


async def test_what_is_whole_is_loaded(store: ModelStore) -> None:
    spec = LoadSpec(
        put_blob(store.root, WEIGHTS),
        context=8,
        slots=1,
        memory=Size(1),
        speculation=Speculation(put_blob(store.root, PART)),
    )
    engine = await checked(scripted_factory(RealWorld(), Script()), store)(spec)
    await engine.stop()
