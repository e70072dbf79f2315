"""Secrets and credentials: written, listed, never read back but by the hosts that need them."""

import pytest
from sqlalchemy import select

from puna.market.actions import registries, secrets
from puna.market.actions.registries import RegistryWish
from puna.market.actions.renting import Wish, rent_pod
from puna.market.actions.secrets import SecretWish
from puna.market.db.accounts import Caller
from puna.market.db.secrets import Registry, Secret
from puna.market.db.tables import registries as registries_table, secrets as secrets_table
from puna.market.domain.pods import Action
from puna.wire.agent import Credential
from tests.market.stage import SPEC, Stage
from tests.market.test_sealing import SEAL

CREDENTIAL = Credential(username="ann", password="pa55")


async def keep(market: Stage, caller: Caller, name: str = "token", value: str = "s3cret") -> Secret:
    wish = SecretWish(name=name, value=value, description="what it is for")
    async with market.database.transaction() as tx:
        return await secrets.create_secret(tx, market.world, SEAL, caller.account.id, wish)


async def register(market: Stage, caller: Caller, name: str = "hub") -> Registry:
    wish = RegistryWish(name, CREDENTIAL)
    async with market.database.transaction() as tx:
        return await registries.create_registry(tx, market.world, SEAL, caller.account.id, wish)


async def test_variables_get_the_secrets_they_name(market: Stage) -> None:
    ann = await market.account("ann@example.org")
    await keep(market, ann)
    env = {"A": "x={{ RUNPOD_SECRET_token }}", "B": "{{RUNPOD_SECRET_token}}!", "C": "{{ c }}"}
    async with market.database.transaction() as tx:
        found = await secrets.with_secrets(tx, SEAL, ann.account.id, env)
    assert found == {"A": "x=s3cret", "B": "s3cret!", "C": "{{ c }}"}


async def test_the_tables_hold_no_secret_in_the_clear(market: Stage) -> None:
    ann = await market.account("ann@example.org")
    await keep(market, ann)
    await register(market, ann)
    async with market.database.transaction() as tx:
        rows = [
            *await tx.execute(select(secrets_table)),
            *await tx.execute(select(registries_table)),
        ]
    assert not any(word in str(row) for row in rows for word in ("s3cret", "pa55"))
    assert "s3cret" not in repr(SecretWish(name="token", value="s3cret"))


async def test_another_accounts_secret_is_none(market: Stage) -> None:
    ann, bob = [await market.account(f"{name}@example.org", "5") for name in ("ann", "bob")]
    await market.host()
    await keep(market, ann)
    with pytest.raises(secrets.NoSuchSecret, match='no secret "token"'):
        await market.rent(bob, env={"A": "{{ RUNPOD_SECRET_token }}"})
    await market.rent(ann, env={"A": "{{ RUNPOD_SECRET_token }}"})
    async with market.database.transaction() as tx:
        with pytest.raises(secrets.NoSuchSecret):
            await secrets.delete_secret(tx, bob.account.id, "token")


async def test_a_secret_is_replaced_and_forgotten(market: Stage) -> None:
    ann = await market.account("ann@example.org")
    made = await keep(market, ann)
    env = {"A": "{{ RUNPOD_SECRET_token }}"}
    async with market.database.transaction() as tx:
        changed = await secrets.update_secret(tx, SEAL, ann.account.id, "token", "new")
        assert changed == made
        found = await secrets.with_secrets(tx, SEAL, ann.account.id, env)
        assert found == {"A": "new"}
        await secrets.delete_secret(tx, ann.account.id, made.id)
        assert await secrets.secrets_of(tx, ann.account.id) == []


async def test_names_are_taken_once_and_lists_are_paged(market: Stage) -> None:
    ann = await market.account("ann@example.org")
    made = sorted([(await keep(market, ann, f"t{number}")).id for number in range(3)])
    regs = sorted([(await register(market, ann, f"r{number}")).id for number in range(3)])
    with pytest.raises(secrets.SecretTaken):
        await keep(market, ann, "t1")
    with pytest.raises(registries.RegistryTaken):
        await register(market, ann, "r1")
    async with market.database.transaction() as tx:
        page = await secrets.secrets_of(tx, ann.account.id, after=made[0], limit=1)
        other = await registries.registries_of(tx, ann.account.id, after=regs[0], limit=1)
    assert [each.id for each in page] == made[1:2]
    assert [each.id for each in other] == regs[1:2]


@pytest.mark.parametrize(
    ("name", "value"),
    [("a b", "x"), ("", "x"), ("n" * 192, "x"), ("a", ""), ("a", "x" * 65_537), ("a", "x\0")],
)
async def test_what_cannot_be_a_secret_is_refused(market: Stage, name: str, value: str) -> None:
    ann = await market.account("ann@example.org")
    with pytest.raises(secrets.InvalidSecret):
        await keep(market, ann, name, value)


async def test_a_credential_in_use_stays(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    made = await register(market, ann)
    async with market.database.transaction() as tx:
        pod = await rent_pod(tx, market.world, ann, Wish(name="pod", spec=SPEC, registry=made.id))
        with pytest.raises(registries.RegistryUsed, match="in use"):
            await registries.delete_registry(tx, ann.account.id, made.id)
    await market.tick(times=2)
    await market.act(ann, pod, Action.TERMINATE)
    async with market.database.transaction() as tx:  # at once, as SkyPilot does
        await registries.delete_registry(tx, ann.account.id, made.name)
        assert await registries.registries_of(tx, ann.account.id) == []
    await market.tick(times=2)
    assert market.hosts[0].shown == {}


async def test_a_credential_is_replaced_for_the_next_pull(market: Stage) -> None:
    ann = await market.account("ann@example.org")
    made = await register(market, ann)
    new = Credential(username="ann", password="new")
    async with market.database.transaction() as tx:
        await registries.update_registry(tx, SEAL, ann.account.id, made.id, new)
        found = await registries.credentials_by_registry(tx, SEAL, frozenset({made.id}))
        assert await registries.credentials_by_registry(tx, SEAL, frozenset()) == {}
    assert found == {made.id: new}


@pytest.mark.parametrize(
    ("name", "username", "password"), [("", "u", "p"), ("n", "", "p"), ("n", "u", "p" * 9000)]
)
async def test_what_cannot_be_a_credential_is_refused(
    market: Stage, name: str, username: str, password: str
) -> None:
    ann = await market.account("ann@example.org")
    wish = RegistryWish(name, Credential(username=username, password=password))
    async with market.database.transaction() as tx:
        with pytest.raises(registries.InvalidRegistry):
            await registries.create_registry(tx, market.world, SEAL, ann.account.id, wish)
