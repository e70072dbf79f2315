"""Templates in RunPod's version 1."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query

from puna.market.actions import templates as actions
from puna.market.http.auth import Renter, ThisMarket, reading, writing
from puna.market.http.ids import Id
from puna.market.http.pages import every
from puna.market.http.rest_v1.words import template_change, template_v1, template_wish
from puna.wire.runpod_v1 import CreateTemplateV1, TemplateV1, UpdateTemplateV1

router = APIRouter(prefix="/v1/templates", tags=["v1 templates"])


@router.get("")
async def list_templates(
    market: ThisMarket,
    caller: Renter,
    *,
    shows_public: Annotated[bool, Query(alias="includePublicTemplates")] = False,
    shows_official: Annotated[bool, Query(alias="includeRunpodTemplates")] = False,
) -> list[TemplateV1]:
    """Every template of the account, and those of others and of the market if asked for."""
    account = caller.account.id
    async with reading(market) as tx:
        found = await every(
            lambda after, most: actions.own_templates(tx, account, after=after, limit=most)
        )
        if shows_public:
            others = await every(
                lambda after, most: actions.public_templates(tx, after=after, limit=most)
            )
            found += [each for each in others if each.account != account]
    if shows_official:
        found += actions.official_templates()
    return [template_v1(each) for each in found]


@router.post("")
async def create_template(body: CreateTemplateV1, market: ThisMarket, caller: Renter) -> TemplateV1:
    """Make a template."""
    wish = template_wish(body)
    async with writing(market) as tx:
        return template_v1(await actions.create_template(tx, market.world, caller.account.id, wish))


@router.get("/{template}")
async def get_template(template: Id, market: ThisMarket, caller: Renter) -> TemplateV1:
    """One template that the account may use."""
    async with reading(market) as tx:
        return template_v1(await actions.template_of(tx, caller.account.id, template))


@router.patch("/{template}")
@router.post("/{template}/update")
async def update_template(
    template: Id, body: UpdateTemplateV1, market: ThisMarket, caller: Renter
) -> TemplateV1:
    """Change a template of the account's own."""
    account = caller.account.id
    async with writing(market) as tx:
        before = await actions.own_template(tx, account, template)
        wish = template_change(body, before.wish)
        return template_v1(await actions.update_template(tx, account, template, wish))


@router.delete("/{template}", status_code=HTTPStatus.NO_CONTENT)
async def delete_template(template: Id, market: ThisMarket, caller: Renter) -> None:
    """Forget a template of the account's own."""
    async with writing(market) as tx:
        found = await actions.own_template(tx, caller.account.id, template)
        await actions.delete_template(tx, caller.account.id, found.id)
