"""Pods in RunPod's version 1."""

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus

from fastapi import APIRouter, Request

from puna.market.actions.bids import with_bid
from puna.market.actions.editing import edit_pod, reset_pod
from puna.market.actions.extras import change_extras
from puna.market.actions.renting import act_on_pod, must_have, rent_pod
from puna.market.actions.templates import NoSuchTemplate, template_of
from puna.market.db.accounts import Caller
from puna.market.db.database import Transaction
from puna.market.domain.pods import Action
from puna.market.http.auth import Renter, ThisMarket, reading, writing
from puna.market.http.ids import Id
from puna.market.http.pods import PodFacts, all_facts, fact_of
from puna.market.http.rest_v1.words import change_of, matches, pod_v1, template_v1, wish_of
from puna.market.http.rest_v2.words import extras_change
from puna.wire.runpod_v1 import CreatePodV1, PodV1, TemplateV1, UpdatePodV1

router = APIRouter(prefix="/v1/pods", tags=["v1 pods"])
_TRUE = {"true", "1", ""}


@router.get("")
async def list_pods(request: Request, market: ThisMarket, caller: Renter) -> list[PodV1]:
    """Every pod of the account that is not terminated, or those that the query names."""
    query = request.query_params
    wanted = {
        name: [part for text in query.getlist(name) for part in text.split(",") if part]
        for name in query
    }
    async with reading(market) as tx:
        found = await all_facts(tx, market, caller.account.id)
        chosen = [each for each in found if matches(each, wanted)]
        return [await _told(tx, caller, each, query) for each in chosen]


@router.post("", status_code=HTTPStatus.CREATED)
async def create_pod(body: CreatePodV1, market: ThisMarket, caller: Renter) -> PodV1:
    """Rent a pod."""
    account = caller.account.id
    async with writing(market) as tx:
        template = await template_of(tx, account, body.template_id) if body.template_id else None
        wish = wish_of(body, template)
        wish = replace(wish, spec=await with_bid(tx, market.world, wish.spec))
        pod = await rent_pod(tx, market.world, caller, wish)
        return pod_v1(await fact_of(tx, market, pod))


@router.get("/{pod}")
async def get_pod(pod: Id, request: Request, market: ThisMarket, caller: Renter) -> PodV1:
    """One pod."""
    async with reading(market) as tx:
        found = await must_have(tx, pod, caller.account.id)
        facts = await fact_of(tx, market, found)
        return await _told(tx, caller, facts, request.query_params)


@router.patch("/{pod}")
@router.put("/{pod}")  # as one provider of Terraform asks
@router.post("/{pod}/update")
async def update_pod(pod: Id, body: UpdatePodV1, market: ThisMarket, caller: Renter) -> PodV1:
    """Change a pod: name and lock in place, anything else resets it."""
    async with writing(market) as tx:
        await change_extras(tx, market.world, caller, pod, extras_change(body.puna))
        found = await edit_pod(tx, market.world, caller, pod, change_of(body))
        return pod_v1(await fact_of(tx, market, found))


@router.delete("/{pod}", status_code=HTTPStatus.NO_CONTENT)
async def delete_pod(pod: Id, market: ThisMarket, caller: Renter) -> None:
    """Terminate a pod."""
    async with writing(market) as tx:
        await act_on_pod(tx, market.world, caller, pod, Action.TERMINATE)


def _add(action: Action, told: str) -> None:
    async def act(pod: Id, market: ThisMarket, caller: Renter) -> PodV1:
        async with writing(market) as tx:
            found = await act_on_pod(tx, market.world, caller, pod, action)
            return pod_v1(await fact_of(tx, market, found))

    router.add_api_route(
        f"/{{pod}}/{action}", act, methods=["POST"], name=f"{action}_pod", description=told
    )


_add(Action.START, "Start a pod that is stopped.")
_add(Action.STOP, "Stop a pod and keep its volume.")
_add(Action.RESTART, "Restart the container of a pod.")


@router.post("/{pod}/reset")
async def anew(pod: Id, market: ThisMarket, caller: Renter) -> PodV1:
    """Make the container of a pod anew; everything outside its volume is lost."""
    async with writing(market) as tx:
        found = await reset_pod(tx, market.world, caller, pod)
        return pod_v1(await fact_of(tx, market, found))


async def _told(
    tx: Transaction, caller: Caller, facts: PodFacts, query: Mapping[str, str]
) -> PodV1:
    """Return a pod with what the query wants included."""
    told = pod_v1(facts, shows_machine=_asks(query, "includeMachine"))
    if not _asks(query, "includeTemplate") or not facts.pod.template:
        return told
    return told.model_copy(
        update={"template": await _template(tx, caller.account.id, facts.pod.template)}
    )


def _asks(query: Mapping[str, str], name: str) -> bool:
    return name in query and query[name].lower() in _TRUE


async def _template(tx: Transaction, account: str, template: str) -> TemplateV1 | None:
    """Return a pod's template; None where its owner has taken it away."""
    try:
        return template_v1(await template_of(tx, account, template))
    except NoSuchTemplate:
        return None
