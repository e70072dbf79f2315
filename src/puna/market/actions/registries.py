"""Credentials by which a host may pull a renter's private images."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from puna.errors import Conflict, Invalid, NotFound
from puna.market.actions import ids
from puna.market.db import secrets as db
from puna.market.db.database import Transaction
from puna.market.db.sealing import Seal
from puna.market.db.secrets import Registry
from puna.wire.agent import Credential
from puna.world import World

_LONGEST_NAME = 191
_LONGEST_WORD = 8192


class NoSuchRegistry(NotFound):
    """The account has no credential of this id."""

    code = "no_such_registry"


class RegistryTaken(Conflict):
    """The account has a credential of this name."""

    code = "registry_taken"


class RegistryUsed(Conflict):
    """A pod pulls with the credential."""

    code = "registry_used"
    status = 400


class InvalidRegistry(Invalid):
    """What was given is no credential."""

    code = "invalid_registry"


@dataclass(frozen=True, slots=True)
class RegistryWish:
    """A credential to be kept."""

    name: str
    credential: Credential


async def create_registry(
    tx: Transaction, world: World, seal: Seal, account: str, wish: RegistryWish
) -> Registry:
    """Keep a credential under a name. Raises `InvalidRegistry`, `RegistryTaken`."""
    name, credential = wish.name, wish.credential
    if not 0 < len(name.strip()) <= _LONGEST_NAME:
        raise InvalidRegistry(f"a credential's name has 1 to {_LONGEST_NAME} characters")
    if await db.registry_of(tx, account, name) is not None:
        raise RegistryTaken(f'there is a credential "{name}" already')
    registry = Registry(
        id=f"c{ids.new_id(world, ids.REGISTRY - 1)}",
        account=account,
        name=name,
        created=world.now(),
    )
    await db.add_registry(tx, registry, _sealed(seal, registry.id, credential))
    return registry


async def registries_of(
    tx: Transaction, account: str, *, after: str = "", limit: int = 100
) -> Sequence[Registry]:
    """Return a page of an account's credentials, by id."""
    return await db.registries_page(tx, account, after=after, limit=limit)


async def registry_of(tx: Transaction, account: str, registry: str) -> Registry:
    """Return a credential, without what it is. Raises `NoSuchRegistry`."""
    found = await db.registry_of(tx, account, registry)
    if found is None:
        raise NoSuchRegistry(f"there is no registry credential {registry}")
    return found


async def check_registry(tx: Transaction, account: str, registry: str) -> None:
    """Refuse what is not the id of a credential, its name among it. Raises `NoSuchRegistry`."""
    found = await db.registry_of(tx, account, registry)
    if found is None or found.id != registry:
        hint = f"its id is {found.id}" if found else ""
        raise NoSuchRegistry(f"there is no registry credential {registry}", hint=hint)


async def update_registry(
    tx: Transaction, seal: Seal, account: str, registry: str, credential: Credential
) -> Registry:
    """Replace a credential; the next pull uses it. Raises `NoSuchRegistry`, `InvalidRegistry`."""
    found = await registry_of(tx, account, registry)
    await db.set_registry(tx, found.id, _sealed(seal, found.id, credential))
    return found


async def delete_registry(tx: Transaction, account: str, registry: str) -> None:
    """Forget a credential; templates lose it. Raises `NoSuchRegistry`, `RegistryUsed`."""
    found = await registry_of(tx, account, registry)
    if await db.is_registry_used(tx, found.id):
        raise RegistryUsed(
            f'the credential "{found.name}" is in use', hint="terminate the pods that use it first"
        )
    await db.remove_registry(tx, found.id)


async def credentials_by_registry(
    tx: Transaction, seal: Seal, registries: frozenset[str]
) -> dict[str, Credential]:
    """Return credentials for those who may pull with them: hosts, in their orders."""
    if not registries:
        return {}
    sealed = await db.sealed_registries(tx, registries)
    return {
        each: Credential(**json.loads(seal.open(text, f"registry:{each}")))
        for each, text in sealed.items()
    }


def _sealed(seal: Seal, registry: str, credential: Credential) -> str:
    words = (credential.username, credential.password)
    if not all(words) or max(map(len, words)) > _LONGEST_WORD:
        raise InvalidRegistry(
            f"a credential needs a name and a password, of {_LONGEST_WORD} characters at most"
        )
    return seal.close(credential.model_dump_json(), f"registry:{registry}")
