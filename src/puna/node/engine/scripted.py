"""An engine without weights: deterministic, quick, and as strict as the real one.

It keeps the promise of `Engine` for everything that can be seen from outside (context, stop
strings, limits, grammars, log probabilities, death), so a program that talks to puna can be tested
without a model. It ships with puna: `PUNA_ENGINE=scripted puna serve` answers every chat with an
echo.

Tokens are pieces of up to five bytes of UTF-8, packed into the token's number. So there is no
vocabulary to keep: every text has tokens, every token has a text, and a conversation's tokens stay
valid after a restart.
"""

import asyncio
import contextlib
import itertools
import json
import math
import re
from array import array
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from zlib import crc32

from puna.chat.images import Image
from puna.chat.marks import Illustrated
from puna.chat.messages import NO_TOOLS, Message, Think, ToolUse
from puna.errors import Invalid, PunaError
from puna.models.gguf import read_header
from puna.node.engine.cards import CardFull, shares_held
from puna.node.engine.engine import EngineDied, EngineFactory, LoadFailed
from puna.node.engine.request import (
    ChosenToken,
    Completion,
    EngineFacts,
    Finish,
    Grammar,
    LoadSpec,
    Piece,
    StopReason,
    TokenProbability,
)
from puna.node.engine.scores import Scored, ScoreQuestion
from puna.node.engine.vectors import Embedded, Input, Ranked, Vector, normalized
from puna.units import Span
from puna.world import World

_BOS = 1
_SPECIAL = {_BOS: "<s>", 2: "</s>"}
_CHUNK_BYTES = 5
_VOCABULARY = 1 << 48
_WORD = re.compile(r" ?\w+|[^\w]", re.DOTALL)
_SAY = re.compile(r"say: ?(.*)", re.DOTALL)
_TURN = re.compile(r"<\|(?:system|user|assistant|tool)\|>\n")
_COUNT = re.compile(r"count to (\d{1,6})", re.IGNORECASE)
_PAUSE_EVERY = 8
_NOTHING = Span(0)
_DEEPEST_SCHEMA = 32
_DIMENSIONS = 64
_TILE = 32


def echo(prompt: str) -> str:
    """Answer `echo: ` and the last turn; `count to 5` is answered with the numbers.

    `say: TEXT` is answered with TEXT, be it tags of thoughts and calls that a model would write.
    """
    turns = [turn.strip() for turn in _TURN.split(prompt) if turn.strip()]
    last = turns[-1] if turns else ""
    if count := _COUNT.fullmatch(last):
        return " ".join(str(number) for number in range(1, int(count[1]) + 1))
    if said := _SAY.fullmatch(last):
        return said[1]
    return f"echo: {last}"


@dataclass(frozen=True, slots=True)
class Script:
    """How a scripted engine behaves."""

    answer: Callable[[str], str] = echo
    """From the prompt's text to the answer's."""
    load_span: Span = _NOTHING
    token_span: Span = _NOTHING
    """How long one token takes, by the World's clock."""
    load_failure: str = ""
    """Not empty: every load fails with this message."""
    card_room: Mapping[str, int] = field(default_factory=dict)
    """What cards really have room for, where that is less than they say."""
    dies_after: int | None = None
    """The engine dies after so many tokens of its first answer."""
    has_chat_template: bool = True
    chat_template: str = ""
    """The text of its template, which tells how it marks thoughts and calls; what `render` makes
    stays the same. Empty takes the text in the model's file."""


def scripted_factory(
    world: World, script: Script | Callable[[LoadSpec], Script] = Script()
) -> EngineFactory:
    """Return a factory of scripted engines; `script` may depend on what is loaded."""

    async def load(spec: LoadSpec) -> ScriptedEngine:
        chosen = script if isinstance(script, Script) else script(spec)
        if chosen.load_span:
            await world.wait(chosen.load_span)
        if chosen.load_failure:
            raise LoadFailed(chosen.load_failure)
        for each in spec.shares:
            if each.memory > chosen.card_room.get(each.name, each.memory):
                raise CardFull(f"{spec.weights.name} could not be loaded: {each.name} is full")
        return ScriptedEngine(spec, chosen, world)

    return load


class ScriptedEngine:
    """One loaded script. Satisfies `Engine`."""

    def __init__(self, spec: LoadSpec, script: Script, world: World) -> None:
        self._script = script
        self._world = world
        self._end = asyncio.Event()
        self._last_words = ""
        self._facts = EngineFacts(
            context=spec.context,
            slots=spec.slots,
            memory=spec.memory,
            threads=spec.threads or 1,
            has_chat_template=script.has_chat_template,
            chat_template=script.chat_template or _template_in(spec),
            vocabulary=_VOCABULARY,
            shares=shares_held(spec, None),
            gpu_layers=spec.gpu_layers,
            all_layers=spec.all_layers,
            image_mark="<image>" if spec.projector else "",
        )

    @property
    def facts(self) -> EngineFacts:
        """What was loaded."""
        return self._facts

    async def render(
        self,
        messages: Sequence[Message],
        *,
        tools: ToolUse = NO_TOOLS,  # noqa: ARG002 - the script calls no functions
        think: Think | None = None,  # noqa: ARG002 - and does not think
    ) -> str:
        """Return the turns one after another, each below a line with its role."""
        self._check_alive()
        turns = "".join(f"<|{message.role}|>\n{message.content}\n" for message in messages)
        return f"{turns}<|assistant|>\n"

    async def tokenize(self, text: str, *, add_special: bool) -> tuple[int, ...]:
        """Return the tokens of `text`: a word of up to five bytes is one."""
        self._check_alive()
        tokens = tuple(_tokens_of(text))
        return (_BOS, *tokens) if add_special else tokens

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """Return the text of token ids. Raises `Invalid` for a number that is no token."""
        self._check_alive()
        return "".join(_text_of(token) for token in tokens)

    async def image_tokens(self, image: Image) -> int:
        """Return a token for each tile of 32 by 32 pixels."""
        self._check_alive()
        return -(-image.width // _TILE) * -(-image.height // _TILE)

    async def complete(self, completion: Completion) -> AsyncGenerator[Piece | Finish, None]:
        """Answer by the script, one piece a token."""
        self._check_alive()
        if not completion.prompt:
            raise Invalid("the prompt is empty")
        prompt, count = await self._read(completion.prompt)
        room = self._facts.context - count
        if room <= 0:
            raise Invalid(f"the prompt has {count} tokens, the context {self._facts.context}")
        text, stop_word = self._answer(completion, prompt)
        reason = StopReason.STOP
        shifts = completion.shift and not self._facts.sees_images
        limit = completion.max_tokens if shifts else min(completion.max_tokens, room)
        tokens = tuple(itertools.islice(_tokens_of(text), limit + 1))
        if len(tokens) > limit:
            tokens, reason, stop_word = tokens[:limit], StopReason.LENGTH, ""
        began = self._world.elapsed()
        for number, token in enumerate(tokens):
            await self._spend_time(number)
            yield _piece(token, completion.logprobs)
        yield Finish(
            reason=reason,
            prompt_tokens=count,
            output_tokens=len(tokens),
            prompt_span=_NOTHING,
            output_span=Span(self._world.elapsed() - began),
            shifted=len(tokens) > room,
            stop_word=stop_word,
        )

    async def _read(self, prompt: tuple[int, ...] | str | Illustrated) -> tuple[str, int]:
        """Return the text of a prompt, with words for its images, and how many tokens it has."""
        if isinstance(prompt, Illustrated):
            if not self._facts.sees_images:
                raise Invalid("this model sees no images")
            counts = [await self.image_tokens(each) for each in prompt.images]
            counts += [len(tuple(_tokens_of(text))) for text in prompt.texts]
            seen = (f"<{part}>" if isinstance(part, Image) else part for part in prompt.parts)
            return "".join(seen), 1 + sum(counts)
        tokens = (
            await self.tokenize(prompt, add_special=True) if isinstance(prompt, str) else prompt
        )
        return "".join(_text_of(token) for token in tokens if token not in _SPECIAL), len(tokens)

    async def embed(self, inputs: Sequence[Input], *, normalize: bool = True) -> Embedded:
        """Return how often each word occurs, so texts with the same words have the same vector."""
        self._check_alive()
        counted = [await self._counted(each) for each in inputs]
        vectors = (words_vector(text) for text, _ in counted)
        return Embedded(
            tuple(normalized(each) if normalize else each for each in vectors),
            sum(tokens for _, tokens in counted),
        )

    async def rerank(self, query: str, documents: Sequence[str]) -> Ranked:
        """Count the words that a document shares with the query."""
        self._check_alive()
        wanted = set(query.lower().split())
        shared = tuple(float(len(wanted & set(each.lower().split()))) for each in documents)
        counted = [await self._counted(f"{query} {each}") for each in documents]
        return Ranked(shared, sum(tokens for _, tokens in counted))

    async def score(self, question: ScoreQuestion) -> Scored:
        """Give a candidate half the probability for each of its letters that the text has not."""
        self._check_alive()
        tokens = 0
        rows = []
        for text in question.texts:
            tokens += (await self._counted(question.prefix + text))[1]
            strange = (sum(letter not in text for letter in each) for each in question.candidates)
            rows.append(tuple(-math.log(2) * (1 + count) for count in strange))
        return Scored(tuple(rows), tokens)

    async def _counted(self, given: Input) -> tuple[str, int]:
        """Return a text and how many tokens it has. Raises `Invalid` for one that is too long."""
        await self._world.wait(_NOTHING)
        tokens = await self.tokenize(given, add_special=True) if isinstance(given, str) else given
        if len(tokens) > self._facts.context:
            raise Invalid(f"the text has {len(tokens)} tokens, the context {self._facts.context}")
        return "".join(_text_of(each) for each in tokens if each not in _SPECIAL), len(tokens)

    async def stop(self) -> None:
        """End the engine."""
        self.die("stopped")

    async def died(self) -> EngineDied:
        """Return when the engine has ended."""
        await self._end.wait()
        return EngineDied(self._last_words)

    def die(self, last_words: str) -> None:
        """End as a crashed process would: every request in flight fails with these words."""
        self._last_words = self._last_words or last_words
        self._end.set()

    def _check_alive(self) -> None:
        if self._end.is_set():
            raise EngineDied(self._last_words)

    def _answer(self, completion: Completion, prompt: str) -> tuple[str, str]:
        """Return the answer, and the stop string at which it ends."""
        if completion.grammar is not None:
            return _fitting(completion.grammar), ""
        text = self._script.answer(prompt)
        ends = [(text.find(stop), stop) for stop in completion.sampling.stop if stop]
        end, stop = min((each for each in ends if each[0] >= 0), default=(len(text), ""))
        return text[:end], stop

    async def _spend_time(self, number: int) -> None:
        if self._script.dies_after is not None and number >= self._script.dies_after:
            self.die("the script says so")
        self._check_alive()
        if self._script.token_span:
            await self._wait_or_die(self._script.token_span)
        elif number % _PAUSE_EVERY == 0:
            await self._world.wait(_NOTHING)
        self._check_alive()

    async def _wait_or_die(self, span: Span) -> None:
        tasks = {
            asyncio.ensure_future(self._world.wait(span)),
            asyncio.ensure_future(self._end.wait()),
        }
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


def words_vector(text: str) -> Vector:
    """Return how often the words of a text fall into each of 64 bins, and 1 for no words."""
    bins = [0.0] * _DIMENSIONS
    for word in text.lower().split() or [""]:
        bins[crc32(word.encode(errors="replace")) % _DIMENSIONS] += 1
    return array("f", bins)


def _template_in(spec: LoadSpec) -> str:
    """Return the template in a model's file; there need be no file, nor one that can be read."""
    try:
        return read_header(spec.weights).text("tokenizer.chat_template") or ""
    except PunaError:
        return ""


def _tokens_of(text: str) -> Iterator[int]:
    for word in _WORD.finditer(text.encode(errors="replace").decode()):
        chunk = b""
        for char in word[0]:
            code = char.encode()
            if len(chunk) + len(code) > _CHUNK_BYTES:
                yield int.from_bytes(b"\1" + chunk)
                chunk = b""
            chunk += code
        yield int.from_bytes(b"\1" + chunk)


def _text_of(token: int) -> str:
    if token in _SPECIAL:
        return _SPECIAL[token]
    if 0 < token < _VOCABULARY:
        packed = token.to_bytes((token.bit_length() + 7) // 8)
        if packed[0] == 1 and len(packed) > 1:
            with contextlib.suppress(UnicodeDecodeError):
                return packed[1:].decode()
    raise Invalid(f"token {token} is not in the vocabulary")


def _piece(token: int, logprobs: int | None) -> Piece:
    text = _text_of(token)
    if logprobs is None:
        return Piece(text, (token,))
    ranked = [text, *(letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter != text)]
    likely = [
        TokenProbability(each, -math.log(2) * (rank + 1), each.encode())
        for rank, each in enumerate(ranked[: max(1, logprobs)])
    ]
    return Piece(text, (token,), (ChosenToken(likely[0], tuple(likely[:logprobs])),))


def _fitting(grammar: Grammar) -> str:
    if grammar.schema is None:
        return "{}"
    try:
        schema: object = json.loads(grammar.schema)
    except ValueError as error:
        raise Invalid(f"the JSON schema is not JSON: {error}") from error
    return json.dumps(_example(schema, _DEEPEST_SCHEMA))


_EXAMPLES: Mapping[str, object] = {
    "string": "text",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "null": None,
}


def _example(schema: object, depth: int) -> object:
    """Return a value that fits a simple schema: types, properties, items, enum and const."""
    if not isinstance(schema, dict) or depth == 0:
        return {}
    if isinstance(forms := schema.get("anyOf"), list) and forms:
        return _example(forms[0], depth - 1)
    if isinstance(choices := schema.get("enum", [schema.get("const")]), list) and any(choices):
        return choices[0]
    kind = schema.get("type")
    if kind == "array":
        return [_example(schema.get("items"), depth - 1)]
    if isinstance(kind, str) and kind in _EXAMPLES:
        return _EXAMPLES[kind]
    return _example_object(schema.get("properties"), depth)


def _example_object(properties: object, depth: int) -> object:
    if not isinstance(properties, dict):
        return {}
    return {name: _example(each, depth - 1) for name, each in properties.items()}
