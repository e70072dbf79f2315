"""Templates that accounts made."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, exists, insert, or_, select, true, update

from puna.market.db.database import Transaction
from puna.market.db.tables import pods, templates
from puna.market.db.values import from_json, to_json
from puna.market.domain.pods import Desired
from puna.market.domain.templates import Preset, TemplateWish


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A preset with its name. An official one belongs to no account."""

    id: str
    account: str
    name: str
    preset: Preset
    is_public: bool
    registry: str | None
    created: datetime

    @property
    def is_official(self) -> bool:
        """Whether it came with the market."""
        return not self.account

    @property
    def wish(self) -> TemplateWish:
        """What its owner may change, as it is now."""
        return TemplateWish(
            name=self.name, preset=self.preset, is_public=self.is_public, registry=self.registry
        )


async def add_template(tx: Transaction, template: Template) -> None:
    """Keep a new template."""
    await tx.execute(
        insert(templates).values(
            id=template.id,
            account=template.account,
            created=template.created,
            **_columns(template.wish),
        )
    )


async def set_template(tx: Transaction, template: str, wish: TemplateWish) -> None:
    """Replace what a template says."""
    await tx.execute(update(templates).where(templates.c.id == template).values(_columns(wish)))


async def visible_template(tx: Transaction, account: str, template: str) -> Template | None:
    """Return a template that is an account's own, or shown to all."""
    seen = or_(templates.c.account == account, templates.c.is_public)
    row = (await tx.execute(select(templates).where(templates.c.id == template, seen))).first()
    return None if row is None else _template(row)


async def template_named(tx: Transaction, account: str, name: str) -> Template | None:
    """Return an account's template by its name."""
    own = (templates.c.account == account, templates.c.name == name)
    row = (await tx.execute(select(templates).where(*own))).first()
    return None if row is None else _template(row)


async def own_templates(
    tx: Transaction, account: str, *, after: str, limit: int
) -> Sequence[Template]:
    """Return a page of an account's templates, by id."""
    return await _page(tx, templates.c.account == account, after, limit)


async def public_templates(tx: Transaction, *, after: str, limit: int) -> Sequence[Template]:
    """Return a page of what accounts show to all, by id."""
    return await _page(tx, templates.c.is_public.is_(true()), after, limit)


async def remove_template(tx: Transaction, template: str) -> None:
    """Forget a template."""
    await tx.execute(delete(templates).where(templates.c.id == template))


async def is_template_used(tx: Transaction, template: str) -> bool:
    """Tell whether a pod that is not to be terminated was made from it."""
    stays = pods.c.desired != str(Desired.TERMINATE)
    used = exists().where(pods.c.template == template, pods.c.closed.is_(None), stays)
    return bool(await tx.scalar(select(used)))


async def _page(
    tx: Transaction, which: ColumnElement[bool], after: str, limit: int
) -> Sequence[Template]:
    wanted = select(templates).where(which, templates.c.id > after)
    return [
        _template(row) for row in await tx.execute(wanted.order_by(templates.c.id).limit(limit))
    ]


def _columns(wish: TemplateWish) -> dict[str, object]:
    return {
        "name": wish.name,
        "is_public": wish.is_public,
        "registry": wish.registry,
        "preset": to_json(wish.preset),
    }


def _template(row: Row[Any]) -> Template:
    return Template(
        id=row.id,
        account=row.account,
        name=row.name,
        preset=from_json(Preset, row.preset),
        is_public=row.is_public,
        registry=row.registry,
        created=row.created,
    )
