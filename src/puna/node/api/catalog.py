"""`GET /api/catalog`: puna's own path, for whoever wants to know what this node could run."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from fastapi import Request
from starlette.responses import Response

from puna.library.curated import load_catalog
from puna.models.fit import Room, RoomKind
from puna.models.listed import Catalog
from puna.node.api.desk import desk_of
from puna.node.api.endpoint import Endpoint
from puna.node.api.streaming import JSON
from puna.node.cards import devices_here
from puna.node.node import Node
from puna.node.offers import Offer, offers_of
from puna.node.rooms import rooms_of
from puna.settings import NodeSettings
from puna.wire import catalog as wire


async def catalog(request: Request) -> Response:
    """List models worth knowing, with what each takes and whether it fits this machine."""
    node = desk_of(request).node
    return Response(await asyncio.to_thread(_catalog, node), media_type=JSON)


def _catalog(node: Node) -> bytes:
    rooms = rooms_of(devices_here(node.settings, node.cards.engine), node.settings)
    free = node.memory()  # what the node's own models hold can be freed
    own = [replace(room, free=free) if room.kind == RoomKind.MEMORY else room for room in rooms]
    return catalog_reply(load_catalog(), own, node.settings).to_json()


def catalog_reply(listed: Catalog, rooms: Sequence[Room], settings: NodeSettings) -> wire.Catalog:
    """Return the whole list with verdicts, in the order of the list."""
    entries = [_entry(offer) for offer in offers_of(listed, rooms, settings)]
    return wire.Catalog(date=listed.day, sources=dict(listed.sources), models=entries)


def _entry(offer: Offer) -> wire.CatalogEntry:
    model, size, verdict = offer.model, offer.size, offer.verdict
    return wire.CatalogEntry(
        name=offer.name,
        model=str(size.name),
        gguf=size.gguf,
        about=model.about,
        size=size.size,
        size_is_rough=size.is_rough,
        parameters=size.parameters,
        quantization=size.quantization,
        context_length=size.context,
        capabilities=[each.value for each in size.sorted_capabilities],
        languages=list(model.languages),
        licence=size.licence,
        source=size.source,
        verified=model.is_verified,
        fits=verdict.fits,
        verdict=offer.words,
        where=verdict.where,
        needed=verdict.needed,
        free=verdict.free,
        fit_context=offer.context,
    )


ENDPOINTS = (Endpoint(method="GET", path="/api/catalog", call=catalog, gives=wire.Catalog),)
