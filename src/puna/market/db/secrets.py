"""What renters entrust to the market: secrets, and credentials of registries. Sealed, always."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Table, delete, exists, insert, select, update

from puna.market.db.database import Transaction
from puna.market.db.tables import pods, registries, secrets, templates
from puna.market.domain.pods import Desired


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret, without what it is."""

    id: str
    account: str
    name: str
    description: str
    created: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """A credential of a registry, without what it is."""

    id: str
    account: str
    name: str
    created: datetime


async def add_secret(tx: Transaction, secret: Secret, sealed: str) -> None:
    """Keep a new secret."""
    await tx.execute(
        insert(secrets).values(
            id=secret.id,
            account=secret.account,
            name=secret.name,
            description=secret.description,
            created=secret.created,
            sealed=sealed,
        )
    )


async def secret_of(tx: Transaction, account: str, id_or_name: str) -> Secret | None:
    """Return an account's secret by its id or its name."""
    row = await _one(tx, secrets, account, id_or_name)
    return None if row is None else _secret(row)


async def secrets_page(
    tx: Transaction, account: str, *, after: str, limit: int
) -> Sequence[Secret]:
    """Return a page of an account's secrets, by id."""
    return [_secret(row) for row in await _page(tx, secrets, account, after, limit)]


async def set_secret(tx: Transaction, secret: str, sealed: str) -> None:
    """Replace what a secret is."""
    await tx.execute(update(secrets).where(secrets.c.id == secret).values(sealed=sealed))


async def describe_secret(tx: Transaction, secret: str, description: str) -> None:
    """Replace what is said of a secret."""
    await tx.execute(update(secrets).where(secrets.c.id == secret).values(description=description))


async def remove_secret(tx: Transaction, secret: str) -> None:
    """Forget a secret."""
    await tx.execute(delete(secrets).where(secrets.c.id == secret))


async def sealed_secrets(
    tx: Transaction, account: str, names: Collection[str]
) -> Mapping[str, tuple[str, str]]:
    """Return id and sealed text of an account's secrets by name; unknown ones are left out."""
    own = (secrets.c.account == account, secrets.c.name.in_(names))
    rows = await tx.execute(select(secrets).where(*own))
    return {row.name: (row.id, row.sealed) for row in rows}


async def add_registry(tx: Transaction, registry: Registry, sealed: str) -> None:
    """Keep a new credential."""
    await tx.execute(
        insert(registries).values(
            id=registry.id,
            account=registry.account,
            name=registry.name,
            created=registry.created,
            sealed=sealed,
        )
    )


async def registry_of(tx: Transaction, account: str, id_or_name: str) -> Registry | None:
    """Return an account's credential by its id or its name."""
    row = await _one(tx, registries, account, id_or_name)
    return None if row is None else _registry(row)


async def registries_page(
    tx: Transaction, account: str, *, after: str, limit: int
) -> Sequence[Registry]:
    """Return a page of an account's credentials, by id."""
    return [_registry(row) for row in await _page(tx, registries, account, after, limit)]


async def set_registry(tx: Transaction, registry: str, sealed: str) -> None:
    """Replace a credential."""
    change = update(registries).where(registries.c.id == registry)
    await tx.execute(change.values(sealed=sealed))


async def remove_registry(tx: Transaction, registry: str) -> None:
    """Forget a credential; templates that named it name none any more, nor do closed pods."""
    for table in (templates, pods):
        named = update(table).where(table.c.registry == registry)
        await tx.execute(named.values(registry=None))
    await tx.execute(delete(registries).where(registries.c.id == registry))


async def is_registry_used(tx: Transaction, registry: str) -> bool:
    """Tell whether a pod that is not to be terminated pulls with it."""
    stays = pods.c.desired != str(Desired.TERMINATE)
    used = exists().where(pods.c.registry == registry, pods.c.closed.is_(None), stays)
    return bool(await tx.scalar(select(used)))


async def sealed_registries(tx: Transaction, ids: Collection[str]) -> Mapping[str, str]:
    """Return the sealed credentials by id."""
    rows = await tx.execute(select(registries).where(registries.c.id.in_(ids)))
    return {row.id: row.sealed for row in rows}


async def _one(tx: Transaction, table: Table, account: str, id_or_name: str) -> Row[Any] | None:
    own = select(table).where(table.c.account == account)
    by_id = (await tx.execute(own.where(table.c.id == id_or_name))).one_or_none()
    return by_id or (await tx.execute(own.where(table.c.name == id_or_name))).one_or_none()


async def _page(
    tx: Transaction, table: Table, account: str, after: str, limit: int
) -> Sequence[Row[Any]]:
    wanted = select(table).where(table.c.account == account, table.c.id > after)
    return (await tx.execute(wanted.order_by(table.c.id).limit(limit))).all()


def _secret(row: Row[Any]) -> Secret:
    return Secret(
        id=row.id,
        account=row.account,
        name=row.name,
        description=row.description,
        created=row.created,
    )


def _registry(row: Row[Any]) -> Registry:
    return Registry(id=row.id, account=row.account, name=row.name, created=row.created)
