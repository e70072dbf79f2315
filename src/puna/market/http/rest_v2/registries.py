"""Registry credentials in RunPod's version 2: written, and never read back."""

from http import HTTPStatus

from fastapi import APIRouter

from puna.market.actions import registries as actions
from puna.market.actions.registries import RegistryWish
from puna.market.db.database import Transaction
from puna.market.db.secrets import Registry
from puna.market.http.auth import Renter, ThisMarket, reading, writing
from puna.market.http.ids import Id
from puna.market.http.pages import every
from puna.wire.agent import Credential
from puna.wire.runpod_rest import CreateRegistry, RegistriesTold, RegistryTold

router = APIRouter(prefix="/v2/registries", tags=["registries"])


async def all_registries(tx: Transaction, account: str) -> list[Registry]:
    """Return every credential of an account."""
    return await every(
        lambda after, limit: actions.registries_of(tx, account, after=after, limit=limit)
    )


def registry_told(registry: Registry) -> RegistryTold:
    """Return a credential in RunPod's words."""
    return RegistryTold(id=registry.id, name=registry.name)


@router.get("")
async def list_registries(market: ThisMarket, caller: Renter) -> RegistriesTold:
    """Every credential of the account."""
    async with reading(market) as tx:
        found = await all_registries(tx, caller.account.id)
    return RegistriesTold(registries=[registry_told(each) for each in found])


@router.post("", status_code=HTTPStatus.CREATED)
async def create_registry(body: CreateRegistry, market: ThisMarket, caller: Renter) -> RegistryTold:
    """Keep a credential."""
    credential = Credential(username=body.username, password=body.password)
    wish = RegistryWish(body.name, credential)
    async with writing(market) as tx:
        account = caller.account.id
        made = await actions.create_registry(tx, market.world, market.seal, account, wish)
    return registry_told(made)


@router.get("/{registry}")
async def get_registry(registry: Id, market: ThisMarket, caller: Renter) -> RegistryTold:
    """One credential, without what it is."""
    async with reading(market) as tx:
        return registry_told(await actions.registry_of(tx, caller.account.id, registry))


@router.delete("/{registry}", status_code=HTTPStatus.NO_CONTENT)
async def delete_registry(registry: Id, market: ThisMarket, caller: Renter) -> None:
    """Forget a credential that no pod uses."""
    async with writing(market) as tx:
        await actions.delete_registry(tx, caller.account.id, registry)
