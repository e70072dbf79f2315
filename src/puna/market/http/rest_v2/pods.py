"""Pods in RunPod's version 2."""

from http import HTTPStatus

from fastapi import APIRouter
from starlette.responses import Response

from puna.market.actions.editing import edit_pod
from puna.market.actions.extras import change_extras
from puna.market.actions.renting import act_on_pod, must_have, rent_pod
from puna.market.actions.templates import template_of
from puna.market.domain.pods import Action
from puna.market.http.auth import Renter, ThisMarket, reading, writing
from puna.market.http.ids import Id
from puna.market.http.pods import all_facts, fact_of
from puna.market.http.rest_v2.changes import change_of
from puna.market.http.rest_v2.words import extras_change, pod_told, wish_of
from puna.wire.runpod_rest import ActOnPod, CreatePod, PodsTold, PodTold, UpdatePod

router = APIRouter(prefix="/v2/pods", tags=["pods"])
_GONE = HTTPStatus.NO_CONTENT


@router.get("")
async def list_pods(market: ThisMarket, caller: Renter) -> PodsTold:
    """Every pod of the account that is not terminated."""
    async with reading(market) as tx:
        found = await all_facts(tx, market, caller.account.id)
    return PodsTold(pods=[pod_told(each) for each in found])


@router.post("", status_code=HTTPStatus.CREATED)
async def create_pod(body: CreatePod, market: ThisMarket, caller: Renter) -> PodTold:
    """Rent a pod."""
    async with writing(market) as tx:
        account = caller.account.id
        template = await template_of(tx, account, body.template_id) if body.template_id else None
        pod = await rent_pod(tx, market.world, caller, wish_of(body, template))
        return pod_told(await fact_of(tx, market, pod))


@router.get("/{pod}")
async def get_pod(pod: Id, market: ThisMarket, caller: Renter) -> PodTold:
    """One pod."""
    async with reading(market) as tx:
        found = await must_have(tx, pod, caller.account.id)
        return pod_told(await fact_of(tx, market, found))


@router.patch("/{pod}")
async def update_pod(pod: Id, body: UpdatePod, market: ThisMarket, caller: Renter) -> PodTold:
    """Change a pod: name, lock and what is ours in place, anything else resets it."""
    async with writing(market) as tx:
        account = caller.account.id
        template = await template_of(tx, account, body.template_id) if body.template_id else None
        before = await must_have(tx, pod, account, lock=True)
        change = change_of(body, before, template)
        await change_extras(tx, market.world, caller, pod, extras_change(body.puna))
        found = await edit_pod(tx, market.world, caller, pod, change)
        return pod_told(await fact_of(tx, market, found))


@router.delete("/{pod}", status_code=_GONE)
async def delete_pod(pod: Id, market: ThisMarket, caller: Renter) -> None:
    """Terminate a pod."""
    async with writing(market) as tx:
        await act_on_pod(tx, market.world, caller, pod, Action.TERMINATE)


@router.post("/{pod}/action", response_model=PodTold, responses={204: {"description": "Gone."}})
async def act(pod: Id, body: ActOnPod, market: ThisMarket, caller: Renter) -> Response | PodTold:
    """Start, stop or restart a pod; terminating it answers without a body."""
    action = Action(body.action)
    async with writing(market) as tx:
        found = await act_on_pod(tx, market.world, caller, pod, action)
        if action is Action.TERMINATE:
            return Response(status_code=_GONE)
        return pod_told(await fact_of(tx, market, found))
