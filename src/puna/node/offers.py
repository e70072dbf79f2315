"""What could be run here: each size of the curated list with the verdict on this machine.

The verdict is that of `puna fit` for one conversation in the context that the server takes, said
before anything is downloaded. The model's shape comes from the list instead of the file's header,
so it is right to about one part in ten; after the pull `puna fit` says it from the file.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from puna.models.fit import Plan, Room, Verdict, fit_plan
from puna.models.listed import Catalog, ListedModel, ListedSize, header_of
from puna.node.placing import DEFAULT_BATCH, DEFAULT_CONTEXT
from puna.node.rooms import verdict_words
from puna.settings import NodeSettings


@dataclass(frozen=True, slots=True)
class Offer:
    """One size of a listed model, and where it would fit best."""

    model: ListedModel
    size: ListedSize
    verdict: Verdict
    context: int
    """The context that the verdict is for."""

    @property
    def name(self) -> str:
        """What to type for it: `bielik:11b`."""
        return f"{self.model.name}:{self.size.tag}"

    @property
    def words(self) -> str:
        """The verdict, with the card's name where it is about a card."""
        words = verdict_words(self.verdict)
        return words if self.verdict.where == "memory" else f"{self.verdict.where}: {words}"


def offers_of(catalog: Catalog, rooms: Sequence[Room], settings: NodeSettings) -> tuple[Offer, ...]:
    """Return every size of every model of the list. Takes some milliseconds."""
    return tuple(_offers(catalog, rooms, settings))


def _offers(catalog: Catalog, rooms: Sequence[Room], settings: NodeSettings) -> Iterator[Offer]:
    for model in catalog.models:
        for size in model.sizes:
            context = min(settings.context_length or DEFAULT_CONTEXT, size.context)
            plan = Plan(context, 1, settings.kv_cache_type, min(DEFAULT_BATCH, context))
            verdicts = fit_plan(header_of(size), plan, rooms).verdicts
            yield Offer(model, size, _best(verdicts), context)


def _best(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the last place where it fits (cards come after memory), else the least lack."""
    fitting = [verdict for verdict in verdicts if verdict.fits]
    return fitting[-1] if fitting else min(verdicts, key=lambda verdict: verdict.short_by)
