"""Accounts are opened once, keys are shown once, credit is granted once."""

from datetime import timedelta

import pytest

from puna.market.actions.accounts import (
    AccountTaken,
    KeyWish,
    MadeKey,
    NoSuchAccount,
    ReadOnlyKey,
    UnknownKey,
    check_may_write,
    digest_of,
    first_admin,
    grant_credit,
    identify,
    make_key,
    open_account,
)
from puna.market.db.accounts import Caller, revoke_key
from puna.market.domain.ledger import BookKind
from puna.units import Money, Span
from tests.market.stage import Stage


async def a_key(market: Stage, wish: KeyWish | None = None) -> MadeKey:
    async with market.database.transaction() as tx:
        account = await open_account(tx, market.world, "ann@example.org")
        return await make_key(tx, market.world, account.id, wish)


async def who(market: Stage, secret: str) -> Caller:
    async with market.database.transaction() as tx:
        return await identify(tx, market.world, secret)


async def test_a_key_is_shown_once_and_kept_as_a_digest(market: Stage) -> None:
    made = await a_key(market)
    assert made.secret.startswith("rpa_")
    assert made.key.digest == digest_of(made.secret)
    assert made.secret not in repr(made.key)
    assert made.secret.startswith(made.key.prefix)
    assert (await who(market, made.secret)).account.email == "ann@example.org"


@pytest.mark.parametrize("secret", ["", "rpa_", "rpa_" + "0" * 64, "Bearer x"])
async def test_a_made_up_key_is_refused(market: Stage, secret: str) -> None:
    await a_key(market)
    with pytest.raises(UnknownKey, match="unknown, revoked or over"):
        await who(market, secret)


async def test_a_key_with_an_end_ends(market: Stage) -> None:
    made = await a_key(market, KeyWish(lives=timedelta(days=30)))
    await market.world.advance(Span.of(hours=30 * 24 - 1))
    await who(market, made.secret)
    await market.world.advance(Span.of(hours=1))
    with pytest.raises(UnknownKey):
        await who(market, made.secret)


async def test_a_revoked_key_is_refused_at_once(market: Stage) -> None:
    made = await a_key(market)
    async with market.database.transaction() as tx:
        assert await revoke_key(tx, made.key.account, made.key.id, market.world.now())
    with pytest.raises(UnknownKey):
        await who(market, made.secret)


@pytest.mark.parametrize("may_write", [True, False])
async def test_a_key_that_may_only_read_changes_nothing(market: Stage, *, may_write: bool) -> None:
    made = await a_key(market, KeyWish(may_write=may_write))
    caller = await who(market, made.secret)
    if may_write:
        check_may_write(caller)
        return
    with pytest.raises(ReadOnlyKey, match="may only read"):
        check_may_write(caller)


async def test_an_address_opens_one_account(market: Stage) -> None:
    await market.account("ann@example.org")
    with pytest.raises(AccountTaken, match="an account for ann"):
        await market.account("ann@example.org")


async def test_the_operators_key_is_made_at_the_first_start_alone(market: Stage) -> None:
    async with market.database.transaction() as tx:
        made = await first_admin(tx, market.world)
        again = await first_admin(tx, market.world)
    assert made is not None
    assert again is None
    assert (await who(market, made.secret)).account.is_admin


async def test_no_two_keys_are_alike(market: Stage) -> None:
    made = await a_key(market)
    async with market.database.transaction() as tx:
        others = [await make_key(tx, market.world, made.key.account) for _ in range(20)]
    assert len({each.secret for each in [made, *others]}) == 21


async def grant(market: Stage, account: str, amount: str, key: str) -> None:
    async with market.database.transaction() as tx:
        await grant_credit(tx, market.world, account, Money.parse(amount), key=key)


async def test_credit_is_granted_once_for_each_key(market: Stage) -> None:
    ann = await market.account("ann@example.org")
    for key in ("invoice-1", "invoice-1", "invoice-2"):
        await grant(market, "ann@example.org", "10", key)
    assert await market.balance(BookKind.RENTER, ann.account.id) == Money.parse("20")
    assert await market.balance(BookKind.MARKET) == Money.parse("-20")


async def test_credit_by_id_and_by_address_is_the_same_credit(market: Stage) -> None:
    ann = await market.account("ann@example.org")
    await grant(market, ann.account.id, "1.50", "a")
    await grant(market, "ann@example.org", "0.000001", "b")
    assert await market.balance(BookKind.RENTER, ann.account.id) == 1_500_001


async def test_nobody_gets_no_credit(market: Stage) -> None:
    with pytest.raises(NoSuchAccount, match="no account bob"):
        await grant(market, "bob", "1", "k")
    assert await market.balance(BookKind.MARKET) == 0
