"""The keys that open an account's pods."""

import pytest

from puna.market.actions.accounts import InvalidKey, replace_public_keys
from puna.market.db.accounts import account_of
from tests.market.stage import Stage

ED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB ann@home"
RSA = "ssh-rsa AAAAB3NzaC1yc2E= work"


async def keys_of(market: Stage, account: str) -> tuple[str, ...]:
    async with market.database.transaction() as tx:
        found = await account_of(tx, account)
    assert found is not None
    return found.public_keys


async def test_keys_are_replaced_and_kept_once_each(market: Stage) -> None:
    ann = await market.account("ann@example.org")
    async with market.database.transaction() as tx:
        await replace_public_keys(tx, ann.account.id, [ED])
        await replace_public_keys(tx, ann.account.id, [RSA, f" {ED} ", RSA])
    assert await keys_of(market, ann.account.id) == (RSA, ED)


async def test_all_keys_can_be_taken_away(market: Stage) -> None:
    ann = await market.account("ann@example.org")
    async with market.database.transaction() as tx:
        await replace_public_keys(tx, ann.account.id, [ED])
        await replace_public_keys(tx, ann.account.id, [])
    assert await keys_of(market, ann.account.id) == ()


@pytest.mark.parametrize(
    "key",
    [
        "",
        "hello",
        "ssh-ed25519",
        "ssh-ed25519 not/base64!",
        f"{ED}\n{RSA}",
        "pgp AAAA",
        "ssh-x A\0",
    ],
)
async def test_what_is_no_key_changes_nothing(market: Stage, key: str) -> None:
    ann = await market.account("ann@example.org")
    async with market.database.transaction() as tx:
        await replace_public_keys(tx, ann.account.id, [ED])
        with pytest.raises(InvalidKey, match="not a public key"):
            await replace_public_keys(tx, ann.account.id, [RSA, key])
    assert await keys_of(market, ann.account.id) == (ED,)
