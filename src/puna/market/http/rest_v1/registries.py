"""Registry credentials in RunPod's version 1: made, listed and forgotten, never changed."""

from http import HTTPStatus

from fastapi import APIRouter

from puna.market.actions import registries as actions
from puna.market.actions.registries import RegistryWish
from puna.market.http.auth import Renter, ThisMarket, reading, writing
from puna.market.http.ids import Id
from puna.market.http.rest_v2.registries import all_registries
from puna.wire.agent import Credential
from puna.wire.runpod_v1 import CreateRegistryV1, RegistryV1

router = APIRouter(prefix="/v1/containerregistryauth", tags=["v1 registries"])


@router.get("")
async def list_registries(market: ThisMarket, caller: Renter) -> list[RegistryV1]:
    """Every credential of the account."""
    async with reading(market) as tx:
        found = await all_registries(tx, caller.account.id)
    return [RegistryV1(id=each.id, name=each.name) for each in found]


@router.post("")
async def create_registry(body: CreateRegistryV1, market: ThisMarket, caller: Renter) -> RegistryV1:
    """Keep a credential."""
    wish = RegistryWish(body.name, Credential(username=body.username, password=body.password))
    async with writing(market) as tx:
        account = caller.account.id
        made = await actions.create_registry(tx, market.world, market.seal, account, wish)
    return RegistryV1(id=made.id, name=made.name)


@router.get("/{registry}")
async def get_registry(registry: Id, market: ThisMarket, caller: Renter) -> RegistryV1:
    """One credential, without what it is."""
    async with reading(market) as tx:
        found = await actions.registry_of(tx, caller.account.id, registry)
    return RegistryV1(id=found.id, name=found.name)


@router.delete("/{registry}", status_code=HTTPStatus.NO_CONTENT)
async def delete_registry(registry: Id, market: ThisMarket, caller: Renter) -> None:
    """Forget a credential that no pod uses."""
    async with writing(market) as tx:
        await actions.delete_registry(tx, caller.account.id, registry)
