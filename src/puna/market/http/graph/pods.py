"""Pods: rented, looked at, started, stopped, changed, terminated."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from puna.market.actions.bidding import bid_again
from puna.market.actions.editing import PodChange, edit_pod
from puna.market.actions.renting import NoSuchPod, Wish, act_on_pod, find_place, must_have, rent_pod
from puna.market.actions.templates import template_of
from puna.market.db import pods as db
from puna.market.db.database import Transaction
from puna.market.db.pods import Pod
from puna.market.domain.pods import Action, Desired
from puna.market.domain.specs import PodSpec
from puna.market.http.graph.asked import Asked, Field, Shape, Words
from puna.market.http.graph.podshapes import pod_shape
from puna.market.http.graph.wishes import (
    SDKS_TEMPLATE,
    bare,
    env_of,
    extras_of,
    ports_of,
    price_of,
    spec_of,
)
from puna.market.http.pods import PodFacts, all_facts, fact_of
from puna.market.http.rest_v2.words import InvalidWish, money_of

_LONGEST_NAME = 191


async def pods_of_account(asked: Asked) -> Sequence[PodFacts]:
    """Return every pod that is not terminated; looked up once for a request."""

    async def look() -> Sequence[PodFacts]:
        async with asked.reading() as tx:
            return await all_facts(tx, asked.market, asked.account)

    return await asked.once("pods", look)


async def _pods(_user: object, asked: Asked, _words: Words) -> Sequence[Shape]:
    return [pod_shape(each) for each in await pods_of_account(asked)]


async def _pod(asked: Asked, words: Words) -> Shape | None:
    """Return a pod, null where the account has none of this id, or has terminated it."""
    async with asked.reading() as tx:
        found = await db.pod_of(tx, words.get("podId") or "", asked.account)
        if found is None or found.state.desired is Desired.TERMINATE:
            return None
        return await _shape(asked, tx, found)


async def _pod_of_user(_user: object, asked: Asked, words: Words) -> Shape | None:
    return await _pod(asked, words)


async def _rent(asked: Asked, words: Words) -> Shape:
    async with asked.writing() as tx:
        wish = await _wish(asked, tx, words)
        pod = await rent_pod(tx, asked.market.world, asked.caller, wish)
        return await _shape(asked, tx, pod)


async def _rent_spot(asked: Asked, words: Words) -> Shape:
    if not words.get("bidPerGpu"):
        raise InvalidWish("a pod that may be interrupted needs bidPerGpu")
    return await _rent(asked, words)


async def _rent_without_card(asked: Asked, words: Words) -> Shape:
    return await _rent(asked, {**words, "computeType": "CPU"})


async def _wish(asked: Asked, tx: Transaction, words: Words) -> Wish:
    """Return what is asked for, filled up from its template.

    The Python SDK asks for a public address whether its user did or not, so from it that is a
    wish: a host without one will do, whose ports are reached through the market's gateway.
    """
    template, registry, start = await _start(asked, tx, words)
    spec = spec_of(words, start, asked.market.world.now())
    if words.get("supportPublicIp") and asked.is_sdk:
        spec = await _in_public(asked, tx, spec)
    name = words.get("name") or spec.image.rpartition("/")[2] or "pod"
    if len(name) > _LONGEST_NAME:
        raise InvalidWish(f"a pod's name has at most {_LONGEST_NAME} characters")
    registry = words.get("containerRegistryAuthId") or registry
    extras = extras_of(words)
    return Wish(
        name=name,
        spec=spec,
        project=extras.project,
        template=template,
        registry=registry,
        budget=None if extras.budget is None else money_of(extras.budget),
    )


async def _start(
    asked: Asked, tx: Transaction, words: Words
) -> tuple[str | None, str | None, PodSpec]:
    named = words.get("templateId") or ""
    if named == SDKS_TEMPLATE:
        named = "" if words.get("imageName") else "ubuntu"
    if not named:
        return None, None, bare()
    template = await template_of(tx, asked.account, named)
    if template.preset.is_serverless:
        raise InvalidWish(f'"{template.name}" is a template of endpoints, not of pods')
    return template.id, template.registry, template.preset.to_spec()


async def _in_public(asked: Asked, tx: Transaction, spec: PodSpec) -> PodSpec:
    placement = await find_place(tx, asked.market.world, spec)
    return spec if placement.seat else replace(spec, needs_public_ip=False)


async def _resume(asked: Asked, words: Words) -> Shape:
    async with asked.writing() as tx:
        pod = await must_have(tx, words["podId"], asked.account)
        _check_cards(pod, words.get("gpuCount"))
        started = await act_on_pod(tx, asked.market.world, asked.caller, pod.id, Action.START)
        return await _shape(asked, tx, started)


async def _bid(asked: Asked, words: Words) -> Shape:
    async with asked.writing() as tx:
        pod = await must_have(tx, words["podId"], asked.account)
        _check_cards(pod, words.get("gpuCount"))
        bid = price_of(words["bidPerGpu"])
        started = await bid_again(tx, asked.market.world, asked.caller, pod.id, bid)
        return await _shape(asked, tx, started)


def _check_cards(pod: Pod, cards: int | None) -> None:
    """Refuse another number of cards: a pod keeps what it was rented with."""
    if cards is not None and cards != pod.spec.cards and (pod.spec.cards or cards > 1):
        raise InvalidWish(
            f"the pod has {pod.spec.cards} cards and cannot start with {cards}",
            hint="rent another pod",
        )


async def _act(asked: Asked, words: Words, action: Action) -> Shape:
    async with asked.writing() as tx:
        pod = await act_on_pod(tx, asked.market.world, asked.caller, words["podId"], action)
        return await _shape(asked, tx, pod)


async def _stop(asked: Asked, words: Words) -> Shape:
    return await _act(asked, words, Action.STOP)


async def _restart(asked: Asked, words: Words) -> Shape:
    return await _act(asked, words, Action.RESTART)


async def _terminate(asked: Asked, words: Words) -> None:
    try:
        await _act(asked, words, Action.TERMINATE)
    except NoSuchPod as error:  # dstack compares these words
        raise NoSuchPod("pod not found to terminate") from error


async def _edit(asked: Asked, words: Words) -> Shape:
    async with asked.writing() as tx:
        change = change_of(words)
        pod = await edit_pod(tx, asked.market.world, asked.caller, words["podId"], change)
        return await _shape(asked, tx, pod)


def change_of(words: Words) -> PodChange:
    """Return what `podEditJob` changes: what was sent, and an empty text or list clears."""
    has_ports = words.get("ports") is not None or words.get("port")
    return PodChange(
        name=words.get("name") or None,
        is_locked=words.get("locked"),
        image=words.get("imageName") or None,
        args=words.get("dockerArgs"),
        env=env_of(words) if words.get("env") is not None else None,
        ports=ports_of(words) if has_ports else None,
        disk_gb=words.get("containerDiskInGb") or None,
        volume_gb=words.get("volumeInGb"),
        volume_path=words.get("volumeMountPath") or None,
        registry=words.get("containerRegistryAuthId"),
    )


async def _shape(asked: Asked, tx: Transaction, pod: Pod) -> Shape:
    return pod_shape(await fact_of(tx, asked.market, pod))


FIELDS: Mapping[str, Field] = {
    "User.pods": _pods,
    "User.pod": _pod_of_user,
    "Query.pod": _pod,
    "Mutation.podFindAndDeployOnDemand": _rent,
    "Mutation.podRentInterruptable": _rent_spot,
    "Mutation.deployCpuPod": _rent_without_card,
    "Mutation.podResume": _resume,
    "Mutation.podBidResume": _bid,
    "Mutation.podStop": _stop,
    "Mutation.podRestart": _restart,
    "Mutation.podTerminate": _terminate,
    "Mutation.podEditJob": _edit,
}
