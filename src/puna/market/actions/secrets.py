"""Secrets of renters: written, never read back; put into a pod's variables on their way to a host.

A variable names one as `{{ RUNPOD_SECRET_name }}`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from puna.errors import Conflict, Invalid, NotFound
from puna.market.actions import ids
from puna.market.db import secrets as db
from puna.market.db.database import Transaction
from puna.market.db.sealing import Seal
from puna.market.db.secrets import Secret
from puna.world import World

_REFERENCE = re.compile(r"\{\{\s*RUNPOD_SECRET_([A-Za-z0-9_.\-]+)\s*\}\}")
_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,191}")
_LONGEST = 65_536
_LONGEST_DESCRIPTION = 1000


class NoSuchSecret(NotFound):
    """The account has no secret of this id or name."""

    code = "no_such_secret"


class SecretTaken(Conflict):
    """The account has a secret of this name."""

    code = "secret_taken"


class InvalidSecret(Invalid):
    """What was given cannot be a secret."""

    code = "invalid_secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretWish:
    """A secret to be kept."""

    name: str
    value: str
    description: str = ""

    def __repr__(self) -> str:
        """Leave the value out."""
        return f"SecretWish({self.name})"


async def create_secret(
    tx: Transaction, world: World, seal: Seal, account: str, wish: SecretWish
) -> Secret:
    """Keep a secret. Raises `InvalidSecret`, `SecretTaken`."""
    _check(wish)
    if await db.secret_of(tx, account, wish.name) is not None:
        raise SecretTaken(f'there is a secret "{wish.name}" already')
    secret = Secret(
        id=ids.new_id(world, ids.SECRET),
        account=account,
        name=wish.name,
        description=wish.description,
        created=world.now(),
    )
    await db.add_secret(tx, secret, seal.close(wish.value, _place(secret.id)))
    return secret


async def secrets_of(
    tx: Transaction, account: str, *, after: str = "", limit: int = 100
) -> Sequence[Secret]:
    """Return a page of an account's secrets by id, without what they are."""
    return await db.secrets_page(tx, account, after=after, limit=limit)


async def secret_of(tx: Transaction, account: str, id_or_name: str) -> Secret:
    """Return a secret, without what it is. Raises `NoSuchSecret`."""
    found = await db.secret_of(tx, account, id_or_name)
    if found is None:
        raise NoSuchSecret(f"there is no secret {id_or_name}")
    return found


async def update_secret(
    tx: Transaction, seal: Seal, account: str, id_or_name: str, value: str
) -> Secret:
    """Replace the value of a secret; pods get it at their next start.

    Raises `NoSuchSecret`, `InvalidSecret`.
    """
    found = await secret_of(tx, account, id_or_name)
    _check(SecretWish(name=found.name, value=value))
    await db.set_secret(tx, found.id, seal.close(value, _place(found.id)))
    return found


async def describe_secret(
    tx: Transaction, account: str, id_or_name: str, description: str
) -> Secret:
    """Replace the description of a secret. Raises `NoSuchSecret`, `InvalidSecret`."""
    found = await secret_of(tx, account, id_or_name)
    _check_description(found.name, description)
    await db.describe_secret(tx, found.id, description)
    return await secret_of(tx, account, found.id)


async def delete_secret(tx: Transaction, account: str, id_or_name: str) -> None:
    """Forget a secret; pods that run keep what they were given. Raises `NoSuchSecret`."""
    found = await secret_of(tx, account, id_or_name)
    await db.remove_secret(tx, found.id)


async def check_secrets(tx: Transaction, account: str, env: Mapping[str, str]) -> None:
    """Refuse variables that name a secret which is not there. Raises `NoSuchSecret`."""
    names = _names_in(env)
    known = await db.sealed_secrets(tx, account, names) if names else {}
    if missing := sorted(names - known.keys()):
        raise NoSuchSecret(
            f'there is no secret "{missing[0]}"', hint="make it first, or take the variable out"
        )


async def with_secrets(
    tx: Transaction, seal: Seal, account: str, env: Mapping[str, str]
) -> Mapping[str, str]:
    """Return variables with secrets in the place of their names. Raises `NoSuchSecret`."""
    names = _names_in(env)
    if not names:
        return env
    await check_secrets(tx, account, env)
    sealed = await db.sealed_secrets(tx, account, names)
    known = {name: seal.open(text, _place(each)) for name, (each, text) in sealed.items()}
    return {
        name: _REFERENCE.sub(lambda found: known[found[1]], value) for name, value in env.items()
    }


def _names_in(env: Mapping[str, str]) -> set[str]:
    return {name for value in env.values() for name in _REFERENCE.findall(value)}


def _check(wish: SecretWish) -> None:
    if not _NAME.fullmatch(wish.name):
        raise InvalidSecret(f'a secret cannot be named "{wish.name}": use letters, digits, _ . -')
    if not wish.value or len(wish.value) > _LONGEST or "\0" in wish.value:
        raise InvalidSecret(f'the secret "{wish.name}" needs a value of 1 to {_LONGEST} characters')
    _check_description(wish.name, wish.description)


def _check_description(name: str, description: str) -> None:
    if len(description) > _LONGEST_DESCRIPTION:
        raise InvalidSecret(
            f'the secret "{name}" is described in {len(description)} characters, which is longer '
            f"than {_LONGEST_DESCRIPTION}"
        )


def _place(secret: str) -> str:
    return f"secret:{secret}"
