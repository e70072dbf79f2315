"""Templates in RunPod's version 1."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query

from puna.market.actions.templates import official_templates
from puna.market.http import kept
from puna.market.http.auth import Renter, ThisMarket
from puna.market.http.ids import Id
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
    found = await kept.own_templates(market, caller)
    if shows_public:
        found += await kept.others_templates(market, caller)
    if shows_official:
        found += official_templates()
    return [template_v1(each) for each in found]


@router.post("")
async def create_template(body: CreateTemplateV1, market: ThisMarket, caller: Renter) -> TemplateV1:
    """Make a template."""
    return template_v1(await kept.make_template(market, caller, template_wish(body)))


@router.get("/{template}")
async def get_template(template: Id, market: ThisMarket, caller: Renter) -> TemplateV1:
    """One template that the account may use."""
    return template_v1(await kept.see_template(market, caller, template))


@router.patch("/{template}")
@router.post("/{template}/update")
async def update_template(
    template: Id, body: UpdateTemplateV1, market: ThisMarket, caller: Renter
) -> TemplateV1:
    """Change a template of the account's own."""
    changed = await kept.change_template(
        market, caller, template, lambda before: template_change(body, before)
    )
    return template_v1(changed)


@router.delete("/{template}", status_code=HTTPStatus.NO_CONTENT)
async def delete_template(template: Id, market: ThisMarket, caller: Renter) -> None:
    """Forget a template of the account's own."""
    await kept.forget_template(market, caller, template)
