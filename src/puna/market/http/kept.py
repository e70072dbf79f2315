"""What accounts keep: templates and credentials, made, looked at, changed and forgotten.

Both versions of REST do it here, and only write it down differently.
"""

from collections.abc import Callable

from puna.market.actions import registries, templates
from puna.market.actions.registries import RegistryWish
from puna.market.db.accounts import Caller
from puna.market.db.secrets import Registry
from puna.market.db.templates import Template
from puna.market.domain.templates import TemplateWish
from puna.market.http.auth import reading, writing
from puna.market.http.pages import every
from puna.market.market import Market


async def own_templates(market: Market, caller: Caller) -> list[Template]:
    """Return every template of the account."""
    account = caller.account.id
    async with reading(market) as tx:
        return await every(
            lambda after, most: templates.own_templates(tx, account, after=after, limit=most)
        )


async def others_templates(market: Market, caller: Caller) -> list[Template]:
    """Return every template that other accounts show to all."""
    async with reading(market) as tx:
        found = await every(
            lambda after, most: templates.public_templates(tx, after=after, limit=most)
        )
    return [each for each in found if each.account != caller.account.id]


async def make_template(market: Market, caller: Caller, wish: TemplateWish) -> Template:
    """Make a template of the account's own."""
    async with writing(market) as tx:
        return await templates.create_template(tx, market.world, caller.account.id, wish)


async def see_template(market: Market, caller: Caller, template: str) -> Template:
    """Return a template that the account may use."""
    async with reading(market) as tx:
        return await templates.template_of(tx, caller.account.id, template)


async def change_template(
    market: Market,
    caller: Caller,
    template: str,
    changed: Callable[[TemplateWish], TemplateWish],
) -> Template:
    """Change a template of the account's own; pods made from it stay as they are."""
    account = caller.account.id
    async with writing(market) as tx:
        before = await templates.own_template(tx, account, template)
        return await templates.update_template(tx, account, template, changed(before.wish))


async def forget_template(market: Market, caller: Caller, template: str) -> None:
    """Forget a template of the account's own."""
    async with writing(market) as tx:
        found = await templates.own_template(tx, caller.account.id, template)
        await templates.delete_template(tx, caller.account.id, found.id)


async def own_registries(market: Market, caller: Caller) -> list[Registry]:
    """Return every credential of the account, without what it is."""
    account = caller.account.id
    async with reading(market) as tx:
        return await every(
            lambda after, most: registries.registries_of(tx, account, after=after, limit=most)
        )


async def make_registry(market: Market, caller: Caller, wish: RegistryWish) -> Registry:
    """Keep a credential."""
    async with writing(market) as tx:
        return await registries.create_registry(
            tx, market.world, market.seal, caller.account.id, wish
        )


async def see_registry(market: Market, caller: Caller, registry: str) -> Registry:
    """Return a credential, without what it is."""
    async with reading(market) as tx:
        return await registries.registry_of(tx, caller.account.id, registry)


async def forget_registry(market: Market, caller: Caller, registry: str) -> None:
    """Forget a credential that no pod uses."""
    async with writing(market) as tx:
        await registries.delete_registry(tx, caller.account.id, registry)
