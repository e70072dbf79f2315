"""A server that speaks OpenAI's API and nothing else, with as much of it as the test wants."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from zlib import crc32

from aiohttp import web

_KEYS = "ABCDEFGHIJKLMNOPQRST"


@dataclass
class OpenAIServer:
    """What it can, what it was asked, and what it does wrong on purpose."""

    has_logprobs: bool = True
    has_schema: bool = True
    wants_newer_limit: bool = False
    key: str = ""
    model: str = "m"
    longest: int = 2000
    before: Callable[[int], tuple[int, dict[str, str]] | None] = lambda _: None
    """From the number of a request to a status and headers, if it is to fail."""
    gate: asyncio.Event | None = None
    """Where requests wait, if they do."""
    url: str = ""
    asked: list[dict[str, object]] = field(default_factory=list)
    under_way: int = 0
    most: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        number = len(self.asked)
        body = await request.json()
        self.asked.append(body)
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            return _error(401, "Incorrect API key provided")
        if failing := self.before(number):
            status, headers = failing
            return _error(status, "not now", headers)
        if body["model"] != self.model:
            return _error(404, f"The model `{body['model']}` does not exist")
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if self.gate is not None:
                await self.gate.wait()
            if "count to" in str(body.get("messages")):
                await asyncio.Event().wait()  # as good as for ever
            return self._reply(request.path, body)
        finally:
            self.under_way -= 1

    def _reply(self, path: str, body: dict[str, object]) -> web.Response:
        if path.endswith("embeddings"):
            return self._vectors(body["input"])
        if self.wants_newer_limit and "max_tokens" in body:
            return _error(400, "Use 'max_completion_tokens' instead of 'max_tokens'")
        asked = str(body["messages"][-1]["content"])  # type: ignore[index]
        if len(asked) > self.longest:
            return _error(400, "maximum context length exceeded")
        if "Categories:" in asked and "response_format" in body and not self.has_schema:
            return _error(400, "response_format is not supported")
        return self._chat(asked, body)

    def _vectors(self, texts: object) -> web.Response:
        assert isinstance(texts, list)
        if any(len(each) > self.longest for each in texts):
            return _error(400, "maximum context length exceeded")
        data = [
            {"index": n, "embedding": [1.0, crc32(each.encode()) % 9]}
            for n, each in enumerate(texts)
        ]
        return web.json_response({"data": data[::-1]})

    def _chat(self, asked: str, body: dict[str, object]) -> web.Response:
        choice: dict[str, object] = {"index": 0, "finish_reason": "stop"}
        text = asked
        if "response_format" in body:
            text = json.dumps(_example(body["response_format"]))
        elif "Categories:" in asked:
            text = asked.partition("- ")[2].partition("\n")[0]
        choice["message"] = {"role": "assistant", "content": text}
        if body.get("logprobs") and self.has_logprobs:
            tops = [
                {"token": key, "logprob": -math.log(2) * (n + 1)} for n, key in enumerate(_KEYS)
            ]
            choice["logprobs"] = {"content": [{"top_logprobs": tops}]}
        usage = {"prompt_tokens": len(asked), "completion_tokens": len(text)}
        return web.json_response({"choices": [choice], "usage": usage})


@asynccontextmanager
async def an_openai_server(server: OpenAIServer | None = None) -> AsyncIterator[OpenAIServer]:
    """Run it on a port of this machine."""
    made = server or OpenAIServer()
    app = web.Application()
    for path in ("/v1/chat/completions", "/v1/embeddings"):
        app.router.add_post(path, made.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status, headers=headers)


def _example(wanted: object) -> object:
    schema = wanted["json_schema"]["schema"]  # type: ignore[index]
    field = schema["properties"].get("label")
    if field is None:
        return dict.fromkeys(schema["properties"], "x")
    choices = field.get("items", field)["enum"]
    return {"label": choices[:1] if field["type"] == "array" else choices[0]}
