"""A node as a worker: free text, JSON, vectors and labels by its HTTP API.

One row after another, since a model's kernels give other last digits in other company, and a job
must give the same bytes however often it was interrupted.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING

from puna.batch.shards import Shard
from puna.batch.spec import EmbedTask, LabelTask, PromptTask, SchemaTask, Spec
from puna.batch.wording import NOTHING, questions, wording_of
from puna.batch.workers.local import answer_of
from puna.batch.workers.worker import (
    Answer,
    Identity,
    Refused,
    Scored,
    Vector,
    WorkerGone,
    Written,
)
from puna.errors import PunaError
from puna.library.threads import in_thread
from puna.net import named_session
from puna.node.client import NodeRefused
from puna.node.replies import Fields

if TYPE_CHECKING:
    import aiohttp

_SEEDS = 2**31 - 1
_STRIDE = 1_000_003
_TRIAL = "x"
_TOO_BUSY = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
_ROW_FAULTS = {HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}


class NodeWorker:
    """Asks one node. `start` makes sure that it runs and returns its address; it blocks."""

    def __init__(
        self, start: Callable[[], str], *, headers: Mapping[str, str], name: str = ""
    ) -> None:
        self._start, self._headers = start, headers
        self._name = name
        self._session: aiohttp.ClientSession | None = None  # noqa: TID251 - the type only
        self._spec: Spec | None = None
        self._bias: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """The node as people see it."""
        return self._name or "a node"

    @property
    def places(self) -> int:
        """One shard, in which rows go one by one."""
        return 1

    async def prepare(self, spec: Spec) -> Identity:
        """Find the node and the model, and make one trial, which loads it.

        Raises `WorkerGone`, and `NodeRefused` if the trial is refused.
        """
        await self.close()
        try:
            url = await in_thread(self._start)
        except PunaError as error:
            raise WorkerGone(error.message, hint=error.hint) from error
        self._session = named_session(f"{url.rstrip('/')}/", self._headers)
        self._spec = spec
        version = await self._ask("GET", "/api/version", None)
        digest = _digest_in(await self._ask("GET", "/api/tags", None), spec.model)
        await self._try(spec)
        program = version.text("puna")
        engine = f"puna {program}" if program else f"ollama {version.text('version')}"
        return Identity(digest, engine, "", "")

    async def compute(self, shard: Shard) -> Sequence[Answer]:
        """Answer the rows of a shard."""
        assert self._spec is not None  # noqa: S101 - prepared first
        task = self._spec.task
        answers: list[Answer] = []
        for batch in shard.batches():
            if isinstance(task, LabelTask):
                answers += await self._together(batch.texts, self._score)
            elif isinstance(task, EmbedTask):
                answers += await self._together(batch.texts, self._embed)
            else:
                for place, text in enumerate(batch.texts, batch.first):
                    answers.append(await self._write(task, text, place))
        return answers

    async def close(self) -> None:
        """Drop the connections, which ends what the node does for this worker."""
        session, self._session = self._session, None
        if session:
            await session.close()

    async def _try(self, spec: Spec) -> None:
        """Ask once, so that what no row can get right ends the job and not row after row."""
        task = spec.task
        if isinstance(task, LabelTask):
            self._bias = ()
            found = await self._score([NOTHING])
            self._bias = _bias_in(found[0]) if task.calibrate else ()
        elif isinstance(task, EmbedTask):
            await self._embed([_TRIAL])
        else:
            body = self._chat_body(task, _TRIAL, 0)
            body["options"] = {**_mapping(body["options"]), "num_predict": 1}
            await self._ask("POST", "/api/chat", body)

    async def _together(
        self, texts: Sequence[str], ask: "Callable[[Sequence[str]], object]"
    ) -> Sequence[Answer]:
        """Ask about all texts at once; where one is refused, about each."""
        try:
            return await ask(texts)  # type: ignore[misc,no-any-return]
        except NodeRefused as error:
            if error.reply_status not in _ROW_FAULTS:
                raise
            if len(texts) == 1:
                return [Refused(error.message)]
        answers: list[Answer] = []
        for text in texts:
            answers += await self._together([text], ask)
        return answers

    async def _score(self, texts: Sequence[str]) -> list[Answer]:
        spec = self._spec
        assert spec is not None  # noqa: S101 - prepared first
        task = spec.task
        assert isinstance(task, LabelTask)  # noqa: S101 - the caller looked
        words = wording_of(task)
        asked = [questions(task, text) for text in texts]
        body = {
            "model": spec.model,
            "prefix": words.prefix,
            "texts": [each + words.suffix for some in asked for each in some],
            "candidates": list(words.answers),
            **_options(spec, {}),
        }
        reply = await self._ask("POST", "/api/score", body)
        rows = [each.numbers("logprobs") for each in reply.each("scores")]
        width = len(asked[0])
        return [
            answer_of(task, rows[place : place + width], "", self._bias)
            for place in range(0, len(rows), width)
        ]

    async def _embed(self, texts: Sequence[str]) -> list[Answer]:
        spec = self._spec
        assert spec is not None  # noqa: S101 - prepared first
        body = {"model": spec.model, "input": list(texts), "truncate": False, **_options(spec, {})}
        if isinstance(spec.task, EmbedTask) and spec.task.dimensions:
            body["dimensions"] = spec.task.dimensions
        reply = await self._ask("POST", "/api/embed", body)
        return [Vector(row) for row in reply.rows("embeddings")]

    async def _write(self, task: PromptTask | SchemaTask, text: str, place: int) -> Answer:
        try:
            reply = await self._ask("POST", "/api/chat", self._chat_body(task, text, place))
        except NodeRefused as error:
            if error.reply_status in _ROW_FAULTS:
                return Refused(error.message)
            raise
        if reply.fields("truncated").values:
            return Refused("it does not fit into the context")
        return Written(
            reply.fields("message").text("content"),
            reply.text("done_reason") or "stop",
            reply.whole("prompt_eval_count"),
            reply.whole("eval_count"),
        )

    def _chat_body(self, task: PromptTask | SchemaTask, text: str, place: int) -> dict[str, object]:
        spec = self._spec
        assert spec is not None  # noqa: S101 - prepared first
        system = [{"role": "system", "content": task.system}] if task.system else []
        sampling = {
            "temperature": task.temperature,
            "num_predict": task.max_tokens,
            "seed": row_seed(spec, place),
        }
        body: dict[str, object] = {
            "model": spec.model,
            "messages": [*system, {"role": "user", "content": text}],
            "stream": False,
            "think": False,
            "truncate": False,
            "shift": False,
            **_options(spec, sampling),
        }
        if isinstance(task, SchemaTask):
            body["format"] = json.loads(task.schema)
        return body

    async def _ask(self, method: str, path: str, body: Mapping[str, object] | None) -> Fields:
        """Ask the node. Raises `WorkerGone` if it is not there, `NodeRefused` if it will not."""
        import aiohttp  # noqa: PLC0415 - 0.4 s to import, and labels here need none of it

        if self._session is None:
            raise WorkerGone(f"{self.name} was left")
        try:
            async with self._session.request(method, path.lstrip("/"), json=body) as answer:
                content = await answer.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise WorkerGone(f"{self.name} does not answer: {error}") from error
        return _read(answer.status, content, self.name, answer.headers.get("retry-after", ""))


def row_seed(spec: Spec, row: int) -> int:
    """Return the seed of one row: where rows are sampled, each has its own."""
    return (spec.seed * _STRIDE + row) % _SEEDS if spec.samples else spec.seed


def _read(status: int, content: bytes, name: str, retry_after: str) -> Fields:
    try:
        reply = Fields(json.loads(content))
    except ValueError:
        reply = Fields({})
    if status < HTTPStatus.BAD_REQUEST and not reply.text("error"):
        return reply
    message = reply.text("error") or f"HTTP status {status}"
    if status in _TOO_BUSY:
        after = int(retry_after) if retry_after.isdigit() else 1
        raise WorkerGone(f"{name}: {message}", retry_after_s=after)
    raise NodeRefused(message, reply_status=status)


def _options(spec: Spec, sampling: Mapping[str, object]) -> dict[str, object]:
    found = dict(sampling) | ({"num_ctx": spec.context} if spec.context else {})
    return {"options": found} if found else {}


def _digest_in(tags: Fields, model: str) -> str:
    wanted = {model, f"{model}:latest"}
    return next(
        (
            each.text("digest").removeprefix("sha256:")
            for each in tags.each("models")
            if each.text("name") in wanted
        ),
        "",
    )


def _bias_in(answer: Answer) -> tuple[float, ...]:
    return answer.scores if isinstance(answer, Scored) else ()


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
