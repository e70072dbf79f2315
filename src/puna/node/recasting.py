"""What loads models, given old files in the form that llama.cpp loads."""

from dataclasses import replace

from puna.library.recasts import Recasts
from puna.library.store import ModelStore
from puna.library.threads import in_thread
from puna.models.former.forms import former_of, projector_of
from puna.models.gguf import read_header
from puna.node.engine.engine import Engine, EngineFactory
from puna.node.engine.request import LoadSpec


def recasting(factory: EngineFactory, store: ModelStore) -> EngineFactory:
    """Return what loads models as `factory` does, old ones from files that are made for that."""
    recasts = Recasts(store.recast_folder, store.draft)

    async def load(spec: LoadSpec) -> Engine:
        return await factory(await in_thread(_ready, spec, recasts))

    return load


def _ready(spec: LoadSpec, recasts: Recasts) -> LoadSpec:
    weights, projector = spec.weights, spec.projector
    former = former_of(read_header(weights)) if weights.is_file() else None
    if former is not None:
        spec = replace(spec, weights=recasts.path(former.text, "text"))
    if projector is None or not projector.is_file():
        return spec
    eyes = former.eyes if former and projector == weights else projector_of(read_header(projector))
    return spec if eyes is None else replace(spec, projector=recasts.path(eyes, "eyes"))
