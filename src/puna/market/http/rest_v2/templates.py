"""Templates in RunPod's version 2: an account's own; those of others and of the market are read."""

from http import HTTPStatus

from fastapi import APIRouter

from puna.market.http import kept
from puna.market.http.auth import Renter, ThisMarket
from puna.market.http.ids import Id
from puna.market.http.rest_v2.changes import template_change, template_told, template_wish
from puna.wire.runpod_rest import CreateTemplate, TemplatesTold, TemplateTold, UpdateTemplate

router = APIRouter(prefix="/v2/templates", tags=["templates"])


@router.get("")
async def list_templates(market: ThisMarket, caller: Renter) -> TemplatesTold:
    """Every template of the account."""
    found = await kept.own_templates(market, caller)
    return TemplatesTold(templates=[template_told(each) for each in found])


@router.post("", status_code=HTTPStatus.CREATED)
async def create_template(body: CreateTemplate, market: ThisMarket, caller: Renter) -> TemplateTold:
    """Make a template."""
    return template_told(await kept.make_template(market, caller, template_wish(body)))


@router.get("/{template}")
async def get_template(template: Id, market: ThisMarket, caller: Renter) -> TemplateTold:
    """One template that the account may use."""
    return template_told(await kept.see_template(market, caller, template))


@router.patch("/{template}")
async def update_template(
    template: Id, body: UpdateTemplate, market: ThisMarket, caller: Renter
) -> TemplateTold:
    """Change a template of the account's own; pods made from it stay as they are."""
    changed = await kept.change_template(
        market, caller, template, lambda before: template_change(body, before)
    )
    return template_told(changed)


@router.delete("/{template}", status_code=HTTPStatus.NO_CONTENT)
async def delete_template(template: Id, market: ThisMarket, caller: Renter) -> None:
    """Forget a template of the account's own."""
    await kept.forget_template(market, caller, template)
