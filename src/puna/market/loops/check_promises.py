"""What must never be false is looked at again and again, in production, by other means.

The ledger sums to zero; spent and held never pass a budget; each container has one owner, or is on
the list of orphans. What is found broken is a notice for the operator that stops renting until he
has cleared it: what runs goes on, the process too, and nothing new is built on wrong books.
"""

from puna.market.db import checks, hosts, orphans, pods
from puna.market.db.checks import Broken
from puna.market.db.database import Database
from puna.market.db.notices import Kind, notice
from puna.world import World

_PAGE = 500


async def check_promises(
    database: Database, world: World, *, thoroughly: bool = False
) -> list[Broken]:
    """Take one turn; return what is broken, which the operator has been told.

    `thoroughly` adds up every posting that there ever was.
    """
    async with database.reading(at_leisure=thoroughly) as tx:
        broken = await checks.ledger_broken(tx, thoroughly=thoroughly)
        broken += await checks.budgets_broken(tx, world.now())
    broken += await _without_owner(database)
    async with database.transaction() as tx:
        for each in broken:
            await notice(tx, each.kind, each.subject, each.text, world.now())
    return broken


async def _without_owner(database: Database) -> list[Broken]:
    """Return containers that no pod owns and that nobody is about to remove."""
    broken: list[Broken] = []
    after = ""
    while True:
        async with database.reading() as tx:
            page = await hosts.containers_on(tx, after=after, limit=_PAGE)
        for host, shown in page:
            if shown and await _unowned(database, host):
                broken += await _unowned(database, host)  # looked at again: hosts report meanwhile
        if len(page) < _PAGE:
            return broken
        after = page[-1][0]


async def _unowned(database: Database, host: str) -> list[Broken]:
    async with database.reading() as tx:
        shown = await hosts.shown_by(tx, host)
        own = {pod.id for pod in await pods.pods_on(tx, host)}
        listed = {each.pod for each in await orphans.orphans_on(tx, host)}
    return [
        Broken(Kind.OWNER, pod, f"nobody owns the container of {pod} on host {host}")
        for pod in sorted(shown - own - listed)
    ]
