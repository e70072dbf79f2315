"""llama.cpp in a child process, as an `Engine`; and the choice of engine that settings make.

The child can be killed or crash; then every request in flight raises `EngineDied` with its last
words, and the node goes on.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil

from puna.chat.images import Image
from puna.chat.marks import Illustrated
from puna.chat.messages import NO_TOOLS, Json, Message, Think, ToolUse
from puna.errors import PunaError
from puna.hardware.processor import detect_processor
from puna.models.gguf import read_header
from puna.models.regular_file import UnusableFile, open_regular
from puna.node.engine.cards import CardFull, is_card_full, shares_held
from puna.node.engine.child import Child, Report
from puna.node.engine.choosing import choice_question, read_choice
from puna.node.engine.connection import Connection
from puna.node.engine.den import Den, has_unix_sockets, sweep_dens
from puna.node.engine.engine import Engine, EngineDied, EngineFactory, LoadFailed
from puna.node.engine.events import EngineFailed, EventReader
from puna.node.engine.last_words import load_failure
from puna.node.engine.line import Door
from puna.node.engine.loading import loaded
from puna.node.engine.parameters import (
    InvalidSchema,
    Place,
    check_length,
    check_tokens,
    completion_parameters,
    load_parameters,
    score_parameters,
)
from puna.node.engine.rendering import Renderings
from puna.node.engine.request import (
    Completion,
    EngineFacts,
    Finish,
    LoadSpec,
    Piece,
    Purpose,
)
from puna.node.engine.scores import NotLoadedFor, Scored, ScoreQuestion
from puna.node.engine.scoring import ScoringEngine
from puna.node.engine.scripted import scripted_factory
from puna.node.engine.seeing import Eyes
from puna.node.engine.templating import template_question
from puna.node.engine.vectors import (
    Embedded,
    Input,
    Ranked,
    embed_question,
    read_ranking,
    read_vectors,
)
from puna.settings import NodeSettings
from puna.units import Size
from puna.world import World

_LOOPBACK = "127.0.0.1"
_LAST_WORDS_S = 2.0
_MOURNING_S = 5.0
"""How long after its connections break a process may take to end."""
_KNOWN_SCHEMAS = 64


class SchemaLost(InvalidSchema):
    """llama.cpp gave up a JSON schema during the answer, and would have gone on without it."""

    code = "schema_lost"


def engine_factory(settings: NodeSettings, world: World) -> EngineFactory:
    """Return what loads models, by the engine that the settings name."""
    if settings.engine == "scripted":
        return scripted_factory(world)
    return llama_factory(world, threads=settings.threads or detect_processor().best_threads)


def llama_factory(
    world: World,
    *,
    threads: int,
    use_sockets: bool = has_unix_sockets(),
    dens: Path | None = None,
) -> EngineFactory:
    """Return what loads models with llama.cpp. `threads` counts where a spec leaves it open.

    The directories of the sockets are made in `dens`, or where the system keeps such things.
    """
    if use_sockets:
        sweep_dens(dens)

    async def load(spec: LoadSpec) -> Engine:
        _check_file(spec)
        if spec.purpose is Purpose.SCORE:
            return await _load_to_score(spec, threads)
        den = Den.dig(dens) if use_sockets else None
        return await _load_to_answer(replace(spec, threads=spec.threads or threads), world, den)

    return load


async def load_llama(spec: LoadSpec, world: World) -> "LlamaEngine":
    """Load one model with llama.cpp to answer, on as many threads as the spec says."""
    _check_file(spec)
    den = None
    if has_unix_sockets():
        sweep_dens()
        den = Den.dig(None)
    return await _load_to_answer(spec, world, den)


async def _load_to_answer(spec: LoadSpec, world: World, den: Den | None) -> "LlamaEngine":
    async with AsyncExitStack() as stack:
        leave = den.fill if den else _nothing
        stack.callback(leave)
        place = Place(str(den.socket)) if den else Place(_LOOPBACK, key=world.token())
        child = await _start(load_parameters(spec, place, threads=spec.threads or 1), leave)
        stack.push_async_callback(child.stop)
        report = await _loaded(child, spec)
        connection = _connect(child, den, place, str(report["ready"]))
        stack.push_async_callback(connection.close)
        facts = await _facts(connection, child, spec)
        facts = replace(facts, shares=shares_held(spec, report.get("taken")))
        stack.pop_all()
    return LlamaEngine(child, connection, replace(facts, threads=spec.threads or 1))


class LlamaEngine:
    """One model in one child. Satisfies `Engine`."""

    def __init__(self, child: Child, connection: Connection, facts: EngineFacts) -> None:
        self._child = child
        self._connection = connection
        self._facts = facts
        self._eyes = Eyes(child, connection, facts.image_mark)
        self._renderings = Renderings(child.stop)
        self._ignored_by_schema: dict[str, tuple[str, ...]] = {}

    @property
    def facts(self) -> EngineFacts:
        """What was loaded."""
        return self._facts

    @property
    def pid(self) -> int:
        """The number of the child process."""
        return self._child.pid

    async def render(
        self, messages: Sequence[Message], *, tools: ToolUse = NO_TOOLS, think: Think | None = None
    ) -> str:
        """Return the prompt that the model's own chat template makes."""
        question = template_question(messages, tools=tools, think=think)
        return await self._renderings.prompt(partial(self._ask, "/apply-template", question))

    async def tokenize(self, text: str, *, add_special: bool) -> tuple[int, ...]:
        """Return the token ids of `text`."""
        self._check_alive()
        return await self._connection.tokenize(text, add_special=add_special)

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids. Raises `Invalid` for an id outside the vocabulary."""
        check_tokens(tokens, self._facts)
        answer = await self._ask("/detokenize", {"tokens": tokens})
        return str(answer["content"])

    async def image_tokens(self, image: Image) -> int:
        """Return how many tokens an image takes. Raises `Invalid` if it cannot be decoded."""
        self._check_alive()
        return await self._eyes.tokens(image)

    async def complete(self, completion: Completion) -> AsyncGenerator[Piece | Finish, None]:
        """Generate. Closing the iterator closes the connection, which stops the computation."""
        self._check_alive()
        if isinstance(completion.prompt, Illustrated):
            completion = replace(completion, prompt=await self._eyes.prepared(completion.prompt))
        question = completion_parameters(completion, self._facts)
        ignored = await self._check_schema(question.get("json_schema"))
        events = EventReader(context=self._facts.context, alternatives=completion.logprobs or 0)
        lost_before = self._child.lost_schemas
        stream = self._connection.stream(question, events)
        async with self._eyes.blaming(completion.prompt), aclosing(stream) as parts:
            async for part in parts:
                # The log does not say whose schema it was, so it is everybody's with one.
                if completion.grammar is not None and self._child.lost_schemas > lost_before:
                    raise SchemaLost("the JSON schema became too complex in the middle")
                if isinstance(part, Finish):
                    # Asked for none, llama.cpp generates one token all the same.
                    count = min(part.output_tokens, completion.max_tokens)
                    yield replace(part, ignored=ignored, output_tokens=count)
                elif completion.max_tokens > 0:
                    yield part

    async def embed(self, inputs: Sequence[Input], *, normalize: bool = True) -> Embedded:
        """Return a vector for each text; llama.cpp computes as many together as it has slots."""
        for each in inputs:
            if not isinstance(each, str):
                check_tokens(each, self._facts)
                check_length(each, self._facts)
        answer = await self._ask("/v1/embeddings", embed_question(inputs, normalize=normalize))
        return read_vectors(answer, len(inputs))

    async def rerank(self, query: str, documents: Sequence[str]) -> Ranked:
        """Tell how well each document fits the query."""
        question: Mapping[str, Json] = {"query": query, "documents": documents}
        return read_ranking(await self._ask("/v1/rerank", question), len(documents))

    async def score(self, question: ScoreQuestion) -> Scored:
        """Refuse: that is another load."""
        del question
        raise NotLoadedFor("score")

    async def choose(self, prompt: Sequence[int], among: Sequence[int]) -> dict[int, float]:
        """Return the probabilities of some tokens behind a prompt; they add up to 1."""
        answer = await self._ask("/completion", choice_question(prompt, among))
        return read_choice(answer)

    async def stop(self) -> None:
        """End the process and release its memory. Calling it again does nothing."""
        await self._renderings.close()
        await self._child.stop()
        await self._connection.close()

    async def died(self) -> EngineDied:
        """Return when the process has ended, with the reason."""
        await self._child.ended()
        return EngineDied(self._child.epitaph)

    async def _ask(self, path: str, question: Mapping[str, Json]) -> Mapping[str, object]:
        self._check_alive()
        return await self._connection.ask(path, question)

    def _check_alive(self) -> None:
        if self._child.has_ended:
            raise EngineDied(self._child.epitaph)

    async def _check_schema(self, schema: Json) -> tuple[str, ...]:
        """Return what of a schema the engine will not enforce. Raises `InvalidSchema`."""
        if not isinstance(schema, Mapping):
            return ()
        key = json.dumps(schema)
        if key not in self._ignored_by_schema:
            opinion = await self._child.check(schema)
            if not opinion:
                raise EngineDied((await self.died()).message)
            if opinion["refusal"]:
                raise InvalidSchema(f"the JSON schema cannot be followed: {opinion['refusal']}")
            if len(self._ignored_by_schema) >= _KNOWN_SCHEMAS:
                self._ignored_by_schema.clear()
            ignored = opinion["ignored"]
            self._ignored_by_schema[key] = (
                tuple(map(str, ignored)) if isinstance(ignored, list) else ()
            )
        return self._ignored_by_schema[key]


async def _load_to_score(spec: LoadSpec, threads: int) -> ScoringEngine:
    child = await _start(score_parameters(spec, threads=threads), _nothing)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(child.stop)
        await _loaded(child, spec)
        facts = (await child.ready())["facts"]
        memory = psutil.Process(child.pid).memory_info().rss
        stack.pop_all()
    return ScoringEngine(
        child,
        EngineFacts(
            context=_number_at(facts, "context"),
            slots=1,
            memory=Size(memory),
            threads=spec.threads or threads,
            has_chat_template=False,
            vocabulary=_number_at(facts, "vocabulary"),
            shares=shares_held(spec, None),
            gpu_layers=spec.gpu_layers if spec.shares else 0,
            all_layers=spec.all_layers,
        ),
    )


def _nothing() -> None:
    pass


def _check_file(spec: LoadSpec) -> None:
    # llama.cpp would wait for ever at a named pipe.
    try:
        for path in (spec.weights, *spec.adapters, spec.projector):
            if path is not None:
                open_regular(path).close()
    except UnusableFile as error:
        raise LoadFailed(error.message, hint=error.hint) from error


async def _start(parameters: Mapping[str, Json], leave: Callable[[], None]) -> Child:
    try:
        return await Child.start(parameters, at_end=leave)
    except OSError as error:
        raise LoadFailed(f"the engine's process does not start: {error}") from error


async def _loaded(child: Child, spec: LoadSpec) -> Report:
    """Wait for the load and return its report. Raises `LoadFailed`, `CardFull`."""
    report = await loaded(child, spec)
    if "ready" in report:
        return report
    has_reason = "failed" in report and await child.ended(within_s=_LAST_WORDS_S)
    reason = load_failure(child.log) if has_reason else child.epitaph
    if spec.shares and is_card_full(child.log):
        raise CardFull(f"{spec.weights.name} could not be loaded: {reason}")
    raise LoadFailed(f"{spec.weights.name} could not be loaded: {reason}")


def _connect(child: Child, den: Den | None, place: Place, address: str) -> Connection:
    async def lost() -> PunaError:
        if await child.ended(within_s=_MOURNING_S):
            return EngineDied(child.epitaph)
        return EngineFailed("the engine broke off the connection")

    if den:
        return Connection(Door(path=den.socket), lost=lost)
    return Connection(Door.at(address, key=place.key), lost=lost)


async def _facts(connection: Connection, child: Child, spec: LoadSpec) -> EngineFacts:
    try:
        header = await asyncio.to_thread(read_header, spec.weights)
        settings = await connection.ask("/props")
        models = await connection.ask("/v1/models")
        memory = psutil.Process(child.pid).memory_info().rss
    except (UnusableFile, EngineDied, EngineFailed, psutil.Error) as error:
        raise LoadFailed(f"{spec.weights.name} was loaded and then lost: {error}") from error
    slot = _number_at(settings, "default_generation_settings", "n_ctx")
    template = header.text("tokenizer.chat_template") or ""
    senses = settings.get("modalities")
    sees = isinstance(senses, Mapping) and senses.get("vision") is True
    return EngineFacts(
        context=min(spec.context, slot),
        slots=_number_at(settings, "total_slots"),
        memory=Size(memory),
        threads=0,
        has_chat_template=bool(template),
        chat_template=template,
        adapters=spec.adapters,
        gpu_layers=spec.gpu_layers if spec.shares else 0,
        all_layers=spec.all_layers,
        vocabulary=_number_at(models, "data", 0, "meta", "n_vocab"),
        image_mark=str(settings.get("media_marker") or "") if sees else "",
    )


def _number_at(answer: object, *path: str | int) -> int:
    for step in path:
        if isinstance(answer, Mapping | list):
            answer = answer[step]  # type: ignore[index]
    if not isinstance(answer, int):
        raise LoadFailed(f"the engine does not say its {'.'.join(map(str, path))}")
    return answer
