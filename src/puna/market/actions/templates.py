"""Templates: an account's own may be changed, the official and the public ones may be read."""

from collections.abc import Sequence
from datetime import UTC, datetime

from puna.errors import Conflict, NotFound
from puna.market.actions import ids
from puna.market.actions.registries import check_registry
from puna.market.db import templates as db
from puna.market.db.database import Transaction
from puna.market.db.templates import Template
from puna.market.domain.templates import TemplateWish, check_template, official_presets
from puna.world import World

_BORN = datetime(2026, 11, 24, tzinfo=UTC)
"""When the official templates were made."""


class NoSuchTemplate(NotFound):
    """There is no template of this id that the account may see, or may change."""

    code = "no_such_template"


class TemplateTaken(Conflict):
    """The account has a template of this name."""

    code = "template_taken"


class TemplateUsed(Conflict):
    """A pod was made from the template and is still there."""

    code = "template_used"
    status = 400


async def create_template(
    tx: Transaction, world: World, account: str, wish: TemplateWish
) -> Template:
    """Make a template. Raises `InvalidTemplate`, `TemplateTaken`, `NoSuchRegistry`."""
    await _check(tx, account, wish)
    if await db.template_named(tx, account, wish.name) is not None:
        raise TemplateTaken(f'there is a template "{wish.name}" already')
    template = Template(
        id=ids.new_id(world, ids.TEMPLATE),
        account=account,
        name=wish.name,
        preset=wish.preset,
        is_public=wish.is_public,
        registry=wish.registry,
        created=world.now(),
    )
    await db.add_template(tx, template)
    return template


async def own_templates(
    tx: Transaction, account: str, *, after: str = "", limit: int = 100
) -> Sequence[Template]:
    """Return a page of an account's templates, by id."""
    return await db.own_templates(tx, account, after=after, limit=limit)


async def public_templates(
    tx: Transaction, *, after: str = "", limit: int = 100
) -> Sequence[Template]:
    """Return a page of what accounts show to all, by id."""
    return await db.public_templates(tx, after=after, limit=limit)


def official_templates() -> Sequence[Template]:
    """Return those that every market has; they fit on one page."""
    return [_official(each) for each in official_presets()]


async def template_of(tx: Transaction, account: str, template: str) -> Template:
    """Return a template that an account may use. Raises `NoSuchTemplate`."""
    if template in official_presets():
        return _official(template)
    found = await db.visible_template(tx, account, template)
    if found is None:
        raise NoSuchTemplate(f"there is no template {template}")
    return found


async def update_template(
    tx: Transaction, account: str, template: str, wish: TemplateWish
) -> Template:
    """Replace what an account's own template says; pods that were made from it stay as they are.

    Raises `NoSuchTemplate`, `InvalidTemplate`, `TemplateTaken`, `NoSuchRegistry`.
    """
    found = await own_template(tx, account, template)
    await _check(tx, account, wish)
    other = await db.template_named(tx, account, wish.name)
    if other is not None and other.id != found.id:
        raise TemplateTaken(f'there is a template "{wish.name}" already')
    await db.set_template(tx, found.id, wish)
    return await own_template(tx, account, template)


async def delete_template(tx: Transaction, account: str, id_or_name: str) -> None:
    """Forget an account's own template. Raises `NoSuchTemplate`, `TemplateUsed`."""
    named = await db.template_named(tx, account, id_or_name)
    found = named or await own_template(tx, account, id_or_name)
    if await db.is_template_used(tx, found.id):
        raise TemplateUsed(
            f'the template "{found.name}" is in use', hint="terminate the pods made from it first"
        )
    await db.remove_template(tx, found.id)


async def _check(tx: Transaction, account: str, wish: TemplateWish) -> None:
    check_template(wish)
    if wish.registry is not None:
        await check_registry(tx, account, wish.registry)


async def own_template(tx: Transaction, account: str, template: str) -> Template:
    """Return a template that an account may change. Raises `NoSuchTemplate`."""
    found = await db.visible_template(tx, account, template)
    if found is None or found.account != account:
        raise NoSuchTemplate(f"there is no template {template} of this account")
    return found


def _official(template: str) -> Template:
    name, preset = official_presets()[template]
    return Template(
        id=template,
        account="",
        name=name,
        preset=preset,
        is_public=True,
        registry=None,
        created=_BORN,
    )
