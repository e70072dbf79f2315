"""Templates: the official ones, an account's own, and those that others show."""

from dataclasses import replace

import pytest

from puna.errors import PunaError
from puna.market.actions import templates
from puna.market.actions.registries import RegistryWish, create_registry
from puna.market.actions.renting import Wish, rent_pod
from puna.market.db.accounts import Caller
from puna.market.db.templates import Template
from puna.market.domain.pods import Action
from puna.market.domain.specs import check
from puna.market.domain.templates import InvalidTemplate, Preset, TemplateWish
from puna.wire.agent import Credential
from tests.market.stage import SPEC, Stage
from tests.market.test_sealing import SEAL

WISH = TemplateWish(name="mine", preset=Preset(image="img:1", ports=("8888/http",)))


async def make(market: Stage, caller: Caller, **changes: object) -> Template:
    wish = replace(WISH, **changes)  # type: ignore[arg-type]
    async with market.database.transaction() as tx:
        return await templates.create_template(tx, market.world, caller.account.id, wish)


def test_pods_can_be_made_of_every_official_template() -> None:
    names = {each.name for each in templates.official_templates()}
    own = {"puna", "Ollama", "vLLM", "Ubuntu", "PyTorch", "JupyterLab"}
    assert names == own | {"RunPod PyTorch 2.1"}
    for each in templates.official_templates():
        check(replace(each.preset.to_spec(), cards=1))


async def test_a_template_comes_back_as_it_was_made(market: Stage) -> None:
    ann = await market.account("ann@example.org")
    made = await make(market, ann)
    async with market.database.transaction() as tx:
        found = await templates.template_of(tx, ann.account.id, made.id)
        official = await templates.template_of(tx, ann.account.id, "ollama")
    assert found == made
    assert found.wish == WISH
    assert not found.is_official
    assert official.is_official


async def test_others_see_a_template_only_if_it_is_public(market: Stage) -> None:
    ann, bob = [await market.account(f"{name}@example.org") for name in ("ann", "bob")]
    private, public = await make(market, ann), await make(market, ann, name="two", is_public=True)
    async with market.database.transaction() as tx:
        assert await templates.public_templates(tx) == [public]
        assert await templates.template_of(tx, bob.account.id, public.id) == public
        assert await templates.own_templates(tx, bob.account.id) == []
        with pytest.raises(templates.NoSuchTemplate):
            await templates.template_of(tx, bob.account.id, private.id)


async def test_only_its_owner_changes_a_template(market: Stage) -> None:
    ann, bob = [await market.account(f"{name}@example.org") for name in ("ann", "bob")]
    made = await make(market, ann, is_public=True)
    changed = replace(WISH, name="other", preset=Preset(image="img:2"))
    async with market.database.transaction() as tx:
        found = await templates.update_template(tx, ann.account.id, made.id, changed)
        assert (found.id, found.wish) == (made.id, changed)
        for caller, which in ((bob, made.id), (ann, "ollama")):
            with pytest.raises(templates.NoSuchTemplate):
                await templates.update_template(tx, caller.account.id, which, changed)
            with pytest.raises(templates.NoSuchTemplate):
                await templates.delete_template(tx, caller.account.id, which)


async def test_names_are_taken_once_in_an_account(market: Stage) -> None:
    ann, bob = [await market.account(f"{name}@example.org") for name in ("ann", "bob")]
    await make(market, ann)
    await make(market, bob)
    other = await make(market, ann, name="other")
    with pytest.raises(templates.TemplateTaken):
        await make(market, ann)
    async with market.database.transaction() as tx:
        with pytest.raises(templates.TemplateTaken):
            await templates.update_template(tx, ann.account.id, other.id, WISH)


async def test_a_template_in_use_stays(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    await market.host()
    made = await make(market, ann)
    async with market.database.transaction() as tx:
        wish = Wish(name="pod", spec=SPEC, template=made.id)
        pod = await rent_pod(tx, market.world, ann, wish)
    async with market.database.transaction() as tx:
        with pytest.raises(templates.TemplateUsed, match="in use"):
            await templates.delete_template(tx, ann.account.id, made.id)
    await market.act(ann, pod, Action.TERMINATE)
    async with market.database.transaction() as tx:  # at once, as SkyPilot does
        await templates.delete_template(tx, ann.account.id, made.name)
        assert await templates.own_templates(tx, ann.account.id) == []


async def test_templates_are_paged_by_id(market: Stage) -> None:
    ann = await market.account("ann@example.org")
    made = sorted([(await make(market, ann, name=f"t{n}", is_public=True)).id for n in range(5)])
    async with market.database.transaction() as tx:
        first = await templates.own_templates(tx, ann.account.id, limit=3)
        rest = await templates.public_templates(tx, after=first[-1].id, limit=3)
    assert [each.id for each in (*first, *rest)] == made


async def test_a_template_with_a_credential_names_one_of_its_owner(market: Stage) -> None:
    ann, bob = [await market.account(f"{name}@example.org") for name in ("ann", "bob")]
    async with market.database.transaction() as tx:
        wish = RegistryWish("hub", Credential(username="u", password="p"))
        registry = await create_registry(tx, market.world, SEAL, ann.account.id, wish)
    assert (await make(market, ann, registry=registry.id)).registry == registry.id
    with pytest.raises(PunaError, match="no registry credential"):
        await make(market, bob, registry=registry.id)


@pytest.mark.parametrize(
    ("wish", "complaint"),
    [
        (replace(WISH, name=" "), "name"),
        (replace(WISH, preset=Preset(image="")), "image"),
        (replace(WISH, preset=Preset(image="i", category="TPU")), "category"),
        (replace(WISH, preset=Preset(image="i", readme="x" * 70_000)), "readme"),
        (replace(WISH, preset=Preset(image="i", is_serverless=True, volume_gb=1)), "serverless"),
        (replace(WISH, preset=Preset(image="i", ports=("1/udp",))), "not a port"),
        (replace(WISH, preset=Preset(image="i", cuda_versions=("new",))), "version of CUDA"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_be_a_template_is_refused(
    market: Stage, wish: TemplateWish, complaint: str
) -> None:
    ann = await market.account("ann@example.org")
    async with market.database.transaction() as tx:
        with pytest.raises(InvalidTemplate, match=complaint):
            await templates.create_template(tx, market.world, ann.account.id, wish)
