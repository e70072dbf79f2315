"""Templates in RunPod's version 2: an account's own; those of others and of the market are read."""

from http import HTTPStatus

from fastapi import APIRouter

from puna.market.actions import templates as actions
from puna.market.db.database import Transaction
from puna.market.db.templates import Template
from puna.market.http.auth import Renter, ThisMarket, reading, writing
from puna.market.http.ids import Id
from puna.market.http.pages import every
from puna.market.http.rest_v2.changes import template_change, template_told, template_wish
from puna.wire.runpod_rest import CreateTemplate, TemplatesTold, TemplateTold, UpdateTemplate

router = APIRouter(prefix="/v2/templates", tags=["templates"])


async def all_own(tx: Transaction, account: str) -> list[Template]:
    """Return every template of an account."""
    return await every(
        lambda after, limit: actions.own_templates(tx, account, after=after, limit=limit)
    )


@router.get("")
async def list_templates(market: ThisMarket, caller: Renter) -> TemplatesTold:
    """Every template of the account."""
    async with reading(market) as tx:
        found = await all_own(tx, caller.account.id)
    return TemplatesTold(templates=[template_told(each) for each in found])


@router.post("", status_code=HTTPStatus.CREATED)
async def create_template(body: CreateTemplate, market: ThisMarket, caller: Renter) -> TemplateTold:
    """Make a template."""
    wish = template_wish(body)
    async with writing(market) as tx:
        made = await actions.create_template(tx, market.world, caller.account.id, wish)
    return template_told(made)


@router.get("/{template}")
async def get_template(template: Id, market: ThisMarket, caller: Renter) -> TemplateTold:
    """One template that the account may use."""
    async with reading(market) as tx:
        return template_told(await actions.template_of(tx, caller.account.id, template))


@router.patch("/{template}")
async def update_template(
    template: Id, body: UpdateTemplate, market: ThisMarket, caller: Renter
) -> TemplateTold:
    """Change a template of the account's own; pods made from it stay as they are."""
    account = caller.account.id
    async with writing(market) as tx:
        before = await actions.own_template(tx, account, template)
        wish = template_change(body, before.wish)
        return template_told(await actions.update_template(tx, account, template, wish))


@router.delete("/{template}", status_code=HTTPStatus.NO_CONTENT)
async def delete_template(template: Id, market: ThisMarket, caller: Renter) -> None:
    """Forget a template of the account's own."""
    async with writing(market) as tx:
        found = await actions.own_template(tx, caller.account.id, template)
        await actions.delete_template(tx, caller.account.id, found.id)
