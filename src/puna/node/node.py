"""A node: library, scheduler and settings, composed once, with the verbs that use them.

Free of any dialect and of HTTP: the API's routes and a program that embeds puna call the same
verbs.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path

from puna.errors import Denied, PunaError
from puna.hardware.memory import available_memory
from puna.library.create import Recipe
from puna.library.library import Library, open_library
from puna.library.local import LocalModel
from puna.models.fit_offload import CardRoom
from puna.models.name import ModelName
from puna.models.old_blobs import check_loadable, check_projector
from puna.models.options import Loading, ParsedOptions, parse_options
from puna.models.reference import parse_reference
from puna.node.answer import Ask, Ended, Event, answer, frame_for
from puna.node.cards import CardWatch, held_on_cards, offloading
from puna.node.checking import checked
from puna.node.embedding import EmbedAsk, Embedding, embed
from puna.node.engine.asking_cards import engine_cards
from puna.node.engine.engine import EngineFactory
from puna.node.engine.process import engine_factory
from puna.node.engine.request import Finish, LoadSpec, Purpose
from puna.node.placing import LoadWish, Plans, can_guess, plan_load, without_effect
from puna.node.prompt import count, prepare
from puna.node.recasting import recasting
from puna.node.reranking import RerankAsk, Reranking, rerank
from puna.node.scheduler.crowd import Crowd
from puna.node.scheduler.scheduler import Scheduler
from puna.node.scheduler.state import AUTOMATIC_MAX_LOADED, Limits, Running, Wanted
from puna.node.scoring import ScoreAsk, Scores, score
from puna.node.served import ServedModel, ServedModels
from puna.node.tokens import TokenAsk, Tokenized
from puna.node.trials import SpeedTrials
from puna.node.usage import note_reading, noted
from puna.progress import Done, Progress
from puna.settings import NodeSettings
from puna.units import Size, Span
from puna.world import World

_LOG = logging.getLogger("puna.node")


class FilesAreLocal(Denied):
    """A node that others can reach opens no files by path."""

    code = "files_are_local"


class Node:
    """Runs models on this machine. What is no coroutine blocks for milliseconds."""

    def __init__(
        self,
        settings: NodeSettings,
        library: Library,
        factory: EngineFactory,
        world: World,
        cards: CardWatch | None = None,
    ) -> None:
        self.settings = settings
        self.library = library
        self.world = world
        self.cards = cards or CardWatch()
        several = AUTOMATIC_MAX_LOADED * len(self.cards.engine.cards)
        limits = Limits(
            memory=Size(0),
            max_loaded=settings.max_loaded_models or several,
            max_queue=settings.max_queue,
            keep_alive=settings.keep_alive,
            load_timeout=settings.load_timeout,
        )
        self._scheduler = Scheduler(
            offloading(factory, self.cards, self._held_by_others, self._plan_again),
            limits,
            world,
            memory=self.memory,
            cards=lambda: self.cards.most,
        )
        self._served = ServedModels(library, world, prefers_go=settings.go_template)
        self._plans = Plans(settings, self.memory, self.card_rooms)
        self.trials = SpeedTrials()
        self._models: dict[Path, LocalModel] = {}
        self._wishes: dict[tuple[Path, Purpose], LoadWish] = {}

    @property
    def truncates(self) -> bool:
        """Whether a prompt that is too long is cut where a request does not say."""
        return self.settings.truncate

    def memory(self) -> Size:
        """Return how many bytes all models together may take now."""
        if self.settings.memory_limit:
            return self.settings.memory_limit
        held = sum(_own_bytes(each) for each in self._scheduler.running())
        return Size(available_memory().available + held)

    def card_rooms(self) -> tuple[CardRoom, ...]:
        """Return the cards that models can be loaded onto, with what is free on each."""
        planned: dict[str, int] = {}
        for each in self._scheduler.running():
            held_on_cards(each.spec.shares, planned)
        return self.cards.rooms(planned)

    def _held_by_others(self, spec: LoadSpec) -> dict[str, int]:
        """Return what other models than one that is being loaded hold on each card."""
        held: dict[str, int] = {}
        for each in self._scheduler.running():
            if each.facts is not None and each.spec.key != spec.key:
                held_on_cards(each.facts.shares, held)
        return held

    def _plan_again(self, spec: LoadSpec) -> LoadSpec:
        """Return how to load a model with the room that is there now. Raises `TooBig`."""
        wish = self._wishes.get(spec.key)
        if wish is None:
            return spec
        rooms = self.cards.rooms(self._held_by_others(spec))
        cards = [replace(each, most=each.free) for each in rooms]
        running = self._scheduler.running()
        taken = sum(each.spec.memory for each in running if each.spec.key != spec.key)
        limit = self.settings.memory_limit
        free = Size(limit - taken if limit else available_memory().available)
        return plan_load(wish, self.settings, loaded=None, free=lambda: free, cards=cards).spec

    def find(self, name: str) -> ServedModel:
        """Return the model that a client names: a model's name, or the absolute path of a file.

        Raises `InvalidName`, `ModelNotFound`, `FilesAreLocal`, and what a damaged model raises.
        """
        if not name.startswith("/") or "\0" in name:
            return self._served.named(name)
        if not self.settings.host.is_loopback:
            raise FilesAreLocal(
                "this node opens no files by path, since others can reach it",
                hint="give the model a name on that machine",
            )
        return self._served.in_file(Path(name))

    def options(self, model: ServedModel, given: Mapping[str, object]) -> ParsedOptions:
        """Return the options of a request over the model's own, and the names without effect."""
        parsed = parse_options(given, over=model.options)
        has_draft, has_cards = model.draft is not None, bool(self.cards.engine.cards)
        unused = without_effect(given, has_draft=has_draft, has_cards=has_cards)
        return ParsedOptions(parsed.options, (*parsed.ignored, *unused))

    def plan(
        self, model: ServedModel, loading: Loading, purpose: Purpose = Purpose.ANSWER
    ) -> Wanted:
        """Return how to load a model. Raises `TooBig` if it would never fit."""
        check_loadable(model.header, model.label)
        if model.projector is not None:
            check_projector(model.projector, model.label)
        guesses = (
            purpose is Purpose.ANSWER
            and can_guess(self.settings, has_draft=model.draft is not None)
            and self._guesses(model.weights)
        )
        wish = LoadWish(
            model.label,
            model.header,
            loading,
            purpose,
            draft=model.draft,
            guesses=guesses,
            adapters=model.adapters,
            projector=model.projector if purpose is Purpose.ANSWER else None,
        )
        self._wishes[model.weights, purpose] = wish
        wanted = self._plans.plan(wish, loaded=self._scheduler.loaded(model.weights, purpose))
        self._models[model.weights] = model.local
        return wanted

    def answer(self, ask: Ask) -> AsyncGenerator[Event, None]:
        """Generate. Closing the iterator stops the computation and frees the model."""
        told = answer(self._scheduler, ask, self.world)
        events = noted(told, ask.wanted.label, self.world)
        spec = ask.wanted.spec
        is_tried = spec.speculation is not None or self.trials.is_open(spec.weights)
        return self._timed(spec.weights, events) if is_tried else events

    async def _timed(
        self, weights: Path, events: AsyncGenerator[Event, None]
    ) -> AsyncGenerator[Event, None]:
        """Pass an answer on, and let the trial of its model's speculation know how fast it was."""
        async with aclosing(events):
            async for event in events:
                if isinstance(event, Ended):
                    self._note_pace(weights, event.finish)
                yield event

    def _note_pace(self, weights: Path, finish: Finish) -> None:
        running = self._running(weights)
        if running is None or running.in_use != 1:
            return
        guessing = running.spec.speculation is not None
        verdict = self.trials.told(
            weights, guessing=guessing, tokens=finish.output_tokens, span=finish.output_span
        )
        if verdict is not None and not verdict.pays:
            _LOG.warning('"%s" guesses no tokens ahead any more: %s', running.label, verdict)

    def _guesses(self, weights: Path) -> bool:
        """Tell whether a model should guess ahead; what is in use stays as it is."""
        running = self._running(weights)
        if running is not None and running.in_use:
            return running.spec.speculation is not None
        return self.trials.is_on(weights)

    def _running(self, weights: Path) -> Running | None:
        key = weights, Purpose.ANSWER
        return next((each for each in self._scheduler.running() if each.spec.key == key), None)

    async def embed(self, ask: EmbedAsk) -> Embedding:
        """Return the vectors of texts. Cancelling it stops the computation."""
        found = await embed(self._scheduler, ask, self.world)
        note_reading(found.tokens)
        return found

    async def score(self, ask: ScoreAsk) -> Scores:
        """Tell how likely given answers are. Cancelling it gives up what is not begun."""
        found = await score(self._scheduler, ask, self.world)
        note_reading(found.tokens)
        return found

    async def rerank(self, ask: RerankAsk) -> Reranking:
        """Tell how well documents fit a query. Cancelling it stops the computation."""
        found = await rerank(self._scheduler, ask, self.world)
        note_reading(found.tokens)
        return found

    async def tokenize(self, ask: TokenAsk, text: str, *, add_special: bool) -> Tokenized:
        """Return the tokens of a text, by the model's own tokenizer."""
        async with self._scheduler.lease(ask.wanted, keep_alive=ask.keep_alive) as lease:
            tokens = await lease.engine.tokenize(text, add_special=add_special)
            return Tokenized(text, tokens, lease.load_span)

    async def detokenize(self, ask: TokenAsk, tokens: tuple[int, ...]) -> Tokenized:
        """Return the text of tokens. Raises `Invalid` for a number that is none."""
        async with self._scheduler.lease(ask.wanted, keep_alive=ask.keep_alive) as lease:
            text = await lease.engine.detokenize(tokens)
            return Tokenized(text, tokens, lease.load_span)

    async def render(self, ask: Ask) -> str:
        """Return the text of the prompt that `answer` would compute."""
        async with self._scheduler.lease(ask.wanted, keep_alive=ask.keep_alive) as lease:
            prompt = await prepare(lease.engine, ask.subject, frame_for(lease.engine, ask))
            before = ask.subject.before
            return await lease.engine.detokenize(before) + prompt.text if before else prompt.text

    async def count(self, ask: Ask) -> int:
        """Return how many tokens the prompt of `ask` has; nothing is cut."""
        async with self._scheduler.lease(ask.wanted, keep_alive=ask.keep_alive) as lease:
            return await count(lease.engine, ask.subject)

    async def load(self, wanted: Wanted, *, keep_alive: Span | None = None) -> Span:
        """Load a model and leave it loaded."""
        return await self._scheduler.load(wanted, keep_alive=keep_alive)

    async def unload(self, model: ServedModel) -> None:
        """Take a model out of memory once nobody uses it; do nothing if it is not there."""
        await self._scheduler.unload(model.weights)

    def crowd(self, model: ServedModel, purpose: Purpose) -> Crowd:
        """Tell how busy others keep a model, for work in the background."""
        return self._scheduler.crowd(model.weights, purpose)

    @property
    def waiting(self) -> int:
        """How many requests wait for a model."""
        return self._scheduler.waiting

    @property
    def engine_deaths(self) -> int:
        """How many engines have ended by themselves."""
        return self._scheduler.deaths

    def running(self) -> tuple[tuple[Running, LocalModel], ...]:
        """List what is in memory, longest expiry first, each with the model that it is."""
        return tuple(
            (each, self._models[each.spec.weights])
            for each in self._scheduler.running()
            if each.spec.weights in self._models
        )

    async def copy(self, source: ModelName, destination: ModelName, *, typed: str) -> None:
        """Give a model a second name in the store."""
        await asyncio.to_thread(self.library.copy, source, destination, typed=typed)
        self._served.forget()

    async def remove(self, name: ModelName, *, typed: str) -> None:
        """Remove a name from the library, and its engine if no other name has the same weights."""
        weights = _weights(self.library.find(name, typed=typed))
        await asyncio.to_thread(self.library.remove, name, typed=typed)
        self._served.forget()
        if weights is not None and not weights.exists():
            await self._scheduler.unload(weights)

    async def create(self, recipe: Recipe, source: str) -> AsyncGenerator[Progress, None]:
        """Make a model by a recipe, from the model `source` if one is named."""
        async with aclosing(self.library.create(recipe, source)) as events:
            async for event in events:
                if isinstance(event, Done):
                    self._served.forget()
                yield event

    def pull(self, text: str, *, insecure: bool = False) -> AsyncGenerator[Progress, None]:
        """Fetch a model, telling how far it is. Closing the iterator calls it off."""
        return self.library.pull(parse_reference(text, cwd=Path("/")), insecure=insecure)

    def push(self, text: str, *, insecure: bool = False) -> AsyncGenerator[Progress, None]:
        """Send a model to its registry, telling how far it is. Closing it calls that off."""
        return self.library.push(ModelName.parse(text), insecure=insecure)

    async def close(self, *, limit: Span) -> None:
        """End every engine; what still computes may finish within `limit`."""
        await self._scheduler.close(limit=limit)


async def open_node(settings: NodeSettings, world: World) -> Node:
    """Compose a node from its settings, and clear its store of what no model uses."""
    library = open_library(settings, world)
    if not settings.no_prune:
        await asyncio.to_thread(library.prune)
    translated = recasting(engine_factory(settings, world), library.store)
    factory = checked(translated, library.store)
    cards = CardWatch(partial(engine_cards, settings), overhead=settings.gpu_overhead)
    await asyncio.to_thread(cards.measure, {})
    return Node(settings, library, factory, world, cards)


def _own_bytes(running: Running) -> Size:
    """Return what an engine holds beside its mapped file, whose pages count as available."""
    try:
        mapped = running.spec.weights.stat().st_size
    except OSError:
        mapped = 0
    return Size(max(0, running.facts.memory - mapped) if running.facts else 0)


def _weights(model: LocalModel) -> Path | None:
    """Return the weights of a model; none for one of a kind that puna cannot run."""
    try:
        return model.weights
    except PunaError:
        return None
