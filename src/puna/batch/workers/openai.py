"""A server that speaks OpenAI's API, as a worker: prompts, schemas, vectors, and labels somehow.

Which way to labels a server offers is found out by trying, the best first, and a job keeps to the
way that it began with. Rows go one by one; whoever wants more at once calls `compute` side by side.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from puna.batch.shards import Shard
from puna.batch.spec import EmbedTask, LabelTask, Spec
from puna.batch.workers.foreign import (
    MOST_KEYS,
    REASONS,
    Manner,
    Way,
    chat_body,
    embed_body,
    label_bodies,
    read_chat,
    read_labels,
    read_vectors,
)
from puna.batch.workers.node import row_seed
from puna.batch.workers.replying import EndpointRefused, read_reply, wait_in
from puna.batch.workers.worker import Answer, Identity, Refused, WorkerGone
from puna.errors import Invalid
from puna.net import named_session
from puna.node.replies import Fields
from puna.world import World

if TYPE_CHECKING:
    import aiohttp

_T = TypeVar("_T")
_TRIAL = "A horse is in the stable."
_ENGINE = "openai"
_CHAT, _EMBED = "chat/completions", "embeddings"
_NEWER = "max_completion_tokens"
_LEAST_LIMIT = 16


class NoProbabilities(Invalid):
    """The task needs to know how likely a label is, and the endpoint does not tell."""

    code = "no_probabilities"


class OpenAIWorker:
    """Asks one server. `address` ends where OpenAI's own ends in `/v1`."""

    def __init__(
        self, address: str, world: World, *, headers: Mapping[str, str], name: str = ""
    ) -> None:
        self._address, self._world, self._headers = address.rstrip("/"), world, headers
        self._name = name or address
        self._session: aiohttp.ClientSession | None = None  # noqa: TID251 - the type only
        self._spec: Spec | None = None
        self._manner = Manner()

    @property
    def name(self) -> str:
        """The address."""
        return self._name

    @property
    def places(self) -> int:
        """One shard, in which rows go one by one."""
        return 1

    async def prepare(self, spec: Spec) -> Identity:
        """Make one trial, which finds the way to labels. Raises `WorkerGone`, `EndpointRefused`."""
        await self.close()
        self._session = named_session(f"{self._address}/", self._headers)
        self._spec, self._manner = spec, Manner()
        if not isinstance(spec.task, LabelTask):
            await self._learn_limit(spec)
            return Identity("", _ENGINE)
        way = await self._find_way(spec, spec.task)
        return Identity("", _ENGINE, way.value, REASONS[way])

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        """Answer the rows of a shard."""
        spec = self._prepared()
        answers: list[Answer] = []
        for batch in shard.batches():
            if isinstance(spec.task, EmbedTask):
                answers += await self._embed(batch.texts)
                continue
            for place, text in enumerate(batch.texts, batch.first):
                answers.append(await self._row(spec, text, place))
        return answers

    async def close(self) -> None:
        """Drop the connections, which ends what the server does for this worker."""
        session, self._session = self._session, None
        if session:
            await session.close()

    async def _row(self, spec: Spec, text: str, place: int) -> Answer:
        try:
            if isinstance(spec.task, LabelTask):
                return await self._label(spec, spec.task, text, self._manner)
            body = chat_body(spec, text, row_seed(spec, place), self._manner)
            return read_chat(await self._ask(_CHAT, body))
        except EndpointRefused as error:
            if error.is_row_fault:
                return Refused(error.message)
            raise

    async def _label(self, spec: Spec, task: LabelTask, text: str, manner: Manner) -> Answer:
        replies = [await self._ask(_CHAT, body) for body in label_bodies(spec, text, manner)]
        return read_labels(task, replies, manner.way)

    async def _embed(self, texts: Sequence[str]) -> Sequence[Answer]:
        """Ask about all texts at once; where that is refused, about each."""
        spec = self._prepared()
        dimensions = spec.task.dimensions if isinstance(spec.task, EmbedTask) else None
        try:
            answers = read_vectors(await self._ask(_EMBED, embed_body(spec, texts, dimensions)))
        except EndpointRefused as error:
            if not error.is_row_fault:
                raise
            if len(texts) == 1:
                return [Refused(error.message)]
            answers = []
        if len(answers) == len(texts):
            return answers
        if len(texts) == 1:
            return [Refused("the endpoint gave no vector for it")]
        return [answer for text in texts for answer in await self._embed([text])]

    async def _learn_limit(self, spec: Spec) -> None:
        """Ask once, so that what no row can get right ends the job and not row after row."""
        if isinstance(spec.task, EmbedTask):
            await self._ask(_EMBED, embed_body(spec, [_TRIAL], spec.task.dimensions))
            return
        await self._try(lambda manner: self._one_word(spec, manner))

    async def _one_word(self, spec: Spec, manner: Manner) -> Fields:
        body = chat_body(spec, _TRIAL, 0, manner)
        return await self._ask(_CHAT, {**body, manner.limit_name: _LEAST_LIMIT})

    async def _find_way(self, spec: Spec, task: LabelTask) -> Way:
        """Return the best way to labels that the server offers, or the one that the job began with.

        Raises `NoProbabilities` where the task needs some and the server tells none.
        """
        ways = [Way(spec.path)] if spec.path in set(Way) else list(Way)
        for way in ways:
            self._manner = replace(self._manner, way=way)
            if await self._offers(spec, task, way):
                _check_needs(task, way, self._name)
                return way
        raise EndpointRefused(
            f"{self._name} names none of the labels, asked by {', '.join(ways)}", reply_status=0
        )

    async def _offers(self, spec: Spec, task: LabelTask, way: Way) -> bool:
        if way is Way.LOGPROBS and len(task.labels) > MOST_KEYS and not task.multi:
            return False
        try:
            answer = await self._try(lambda manner: self._label(spec, task, _TRIAL, manner))
        except EndpointRefused as error:
            if error.is_row_fault and way is not Way.WORDS:
                return False
            raise
        return way is Way.WORDS or not isinstance(answer, Refused)

    async def _try(self, ask: Callable[[Manner], Awaitable[_T]]) -> _T:
        """Ask, and where the server wants the newer word for the most tokens, with that."""
        try:
            return await ask(self._manner)
        except EndpointRefused as error:
            if _NEWER not in error.message or self._manner.limit_name == _NEWER:
                raise
        self._manner = replace(self._manner, limit_name=_NEWER)
        return await ask(self._manner)

    async def _ask(self, path: str, body: Mapping[str, object]) -> Fields:
        import aiohttp  # noqa: PLC0415 - 0.4 s to import, and labels here need none of it

        if self._session is None:
            raise WorkerGone(f"{self._name} was left")
        try:
            async with self._session.post(path, json=body, allow_redirects=False) as answer:
                content = await answer.read()
                after = answer.headers.get("retry-after", "")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise WorkerGone(f"{self._name} does not answer: {error}") from error
        return read_reply(self._name, answer.status, content, wait_in(after, self._world.now()))

    def _prepared(self) -> Spec:
        if self._spec is None:
            raise WorkerGone(f"{self._name} is not ready")
        return self._spec


def _check_needs(task: LabelTask, way: Way, name: str) -> None:
    if way is not Way.LOGPROBS and (task.abstain_below or task.calibrate):
        raise NoProbabilities(
            f"{name} tells no probabilities of labels, and the task needs them",
            hint="leave out --abstain-below and --calibrate, or use an endpoint that runs puna",
        )
