"""Registry credentials in RunPod's version 1: made, listed and forgotten, never changed."""

from http import HTTPStatus

from fastapi import APIRouter

from puna.market.actions.registries import RegistryWish
from puna.market.http import kept
from puna.market.http.auth import Renter, ThisMarket
from puna.market.http.ids import Id
from puna.wire.agent import Credential
from puna.wire.runpod_v1 import CreateRegistryV1, RegistryV1

router = APIRouter(prefix="/v1/containerregistryauth", tags=["v1 registries"])


@router.get("")
async def list_registries(market: ThisMarket, caller: Renter) -> list[RegistryV1]:
    """Every credential of the account."""
    found = await kept.own_registries(market, caller)
    return [RegistryV1(id=each.id, name=each.name) for each in found]


@router.post("")
async def create_registry(body: CreateRegistryV1, market: ThisMarket, caller: Renter) -> RegistryV1:
    """Keep a credential."""
    wish = RegistryWish(body.name, Credential(username=body.username, password=body.password))
    made = await kept.make_registry(market, caller, wish)
    return RegistryV1(id=made.id, name=made.name)


@router.get("/{registry}")
async def get_registry(registry: Id, market: ThisMarket, caller: Renter) -> RegistryV1:
    """One credential, without what it is."""
    found = await kept.see_registry(market, caller, registry)
    return RegistryV1(id=found.id, name=found.name)


@router.delete("/{registry}", status_code=HTTPStatus.NO_CONTENT)
async def delete_registry(registry: Id, market: ThisMarket, caller: Renter) -> None:
    """Forget a credential that no pod uses."""
    await kept.forget_registry(market, caller, registry)
