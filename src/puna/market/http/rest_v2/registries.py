"""Registry credentials in RunPod's version 2: written, and never read back."""

from http import HTTPStatus

from fastapi import APIRouter

from puna.market.actions.registries import RegistryWish
from puna.market.db.secrets import Registry
from puna.market.http import kept
from puna.market.http.auth import Renter, ThisMarket
from puna.market.http.ids import Id
from puna.wire.agent import Credential
from puna.wire.runpod_rest import CreateRegistry, RegistriesTold, RegistryTold

router = APIRouter(prefix="/v2/registries", tags=["registries"])


def registry_told(registry: Registry) -> RegistryTold:
    """Return a credential in RunPod's words."""
    return RegistryTold(id=registry.id, name=registry.name)


@router.get("")
async def list_registries(market: ThisMarket, caller: Renter) -> RegistriesTold:
    """Every credential of the account."""
    found = await kept.own_registries(market, caller)
    return RegistriesTold(registries=[registry_told(each) for each in found])


@router.post("", status_code=HTTPStatus.CREATED)
async def create_registry(body: CreateRegistry, market: ThisMarket, caller: Renter) -> RegistryTold:
    """Keep a credential."""
    wish = RegistryWish(body.name, Credential(username=body.username, password=body.password))
    return registry_told(await kept.make_registry(market, caller, wish))


@router.get("/{registry}")
async def get_registry(registry: Id, market: ThisMarket, caller: Renter) -> RegistryTold:
    """One credential, without what it is."""
    return registry_told(await kept.see_registry(market, caller, registry))


@router.delete("/{registry}", status_code=HTTPStatus.NO_CONTENT)
async def delete_registry(registry: Id, market: ThisMarket, caller: Renter) -> None:
    """Forget a credential that no pod uses."""
    await kept.forget_registry(market, caller, registry)
