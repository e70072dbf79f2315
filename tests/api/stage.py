"""A node in this process behind a real socket, with a scripted engine and a clock of its own."""

import asyncio
import io
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
from uvicorn.server import ServerState

from puna.library.library import Library, open_library
from puna.models.digest import Digest
from puna.models.manifest import Layer, MediaType, make_manifest
from puna.models.name import ModelName
from puna.node.api.connection import ClientConnection
from puna.node.api.desk import Desk
from puna.node.api.server import uvicorn_config
from puna.node.cards import CardWatch
from puna.node.engine.request import LoadSpec
from puna.node.engine.scripted import Script, scripted_factory
from puna.node.node import Node
from puna.settings import NodeSettings, load_settings
from puna.units import Size, Span
from tests.builders import LLAMA, LLAMA_TENSORS, a_config, a_gguf
from tests.stores import NOWHERE
from tests.worlds import FakeWorld

ECHO = Script()


@dataclass(frozen=True)
class Reply:
    """An HTTP reply, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.body.splitlines()]

    @property
    def error(self) -> object:
        return self.json["error"]

    @property
    def text(self) -> str:
        """The answer, whatever the path and however many lines."""
        return "".join(str(_said(line)) for line in self.lines)


def _said(line: Mapping[str, object]) -> object:
    message = line.get("message")
    return message["content"] if isinstance(message, dict) else line.get("response", "")


@dataclass
class Stage:
    """One node, and a client of it."""

    node: Node
    desk: Desk
    world: FakeWorld
    library: Library
    port: int
    session: aiohttp.ClientSession
    state: ServerState
    """What the server has under way: connections and tasks."""

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        """Send JSON, or bytes as they are, and read the whole reply."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if content is None else io.BytesIO(content)
        async with self.session.request(method, path, data=data, headers=sent) as reply:
            return Reply(reply.status, reply.headers, await reply.read())

    async def raw(self, request: bytes) -> bytes:
        """Send bytes as they are, and return what comes until the node closes the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        reply = await reader.read()
        writer.close()
        return reply

    async def generate(self, prompt: str = "hello", **fields: object) -> Reply:
        """Ask `/api/generate` for one object."""
        body = {"model": "tiny", "prompt": prompt, "stream": False, **fields}
        return await self.ask("POST", "/api/generate", body)

    async def chat(self, *contents: str, **fields: object) -> Reply:
        """Ask `/api/chat` for one object: turns of a user and a model by turns."""
        roles = ("user", "assistant")
        messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(contents)]
        body = {"model": "tiny", "messages": messages, "stream": False, **fields}
        return await self.ask("POST", "/api/chat", body)

    def later(self, asking: Coroutine[None, None, Reply]) -> asyncio.Task[Reply]:
        """Ask without waiting for the reply."""
        return asyncio.create_task(asking)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for a fact that needs real sockets, but none of the world's time, to become true."""
        while not is_so():  # noqa: ASYNC110 - sockets give no event to wait for
            await asyncio.sleep(0.001)

    async def until_waiting(self, count: int = 1) -> None:
        """Wait until something in the node waits for the world's time to pass."""
        await self.until(lambda: self.world.sleepers >= count)

    def add_model(
        self,
        name: str,
        weights: bytes,
        layers: Sequence[tuple[str, bytes]] = (),
        **config: object,
    ) -> None:
        """Put a model into the store; `layers` are kinds and contents beside the weights."""
        add_model(self.library, name, weights, layers, **config)


def settings_for(root: Path, **changes: object) -> NodeSettings:
    """Return settings of a node whose files lie in `root`."""
    node = load_settings({"PUNA_HOME": str(root)}).node
    values = {"memory_limit": Size(8 * 10**9), "engine": "scripted", "mirrors": NOWHERE, **changes}
    return replace(node, **values)  # type: ignore[arg-type]


def add_model(
    library: Library,
    name: str,
    weights: bytes,
    layers: Sequence[tuple[str, bytes]] = (),
    **config: object,
) -> None:
    """Put a model into the library's store."""
    with library.store.draft() as draft:

        def stored(media_type: str, content: bytes) -> Layer:
            digest: Digest = draft.write(content)
            return Layer(media_type, digest, Size(len(content)))

        listed = [stored(MediaType.MODEL, weights)]
        listed += [stored(f"application/vnd.ollama.image.{kind}", text) for kind, text in layers]
        manifest = make_manifest(stored(MediaType.CONFIG, a_config(**config)), listed)
        library.store.publish(draft, ModelName.parse(name), manifest)


def a_model(**metadata: object) -> bytes:
    """Return the weights of a small model that chats."""
    return a_gguf({**LLAMA, **metadata}, LLAMA_TENSORS)


@asynccontextmanager
async def staged(
    root: Path,
    script: Script | Callable[[LoadSpec], Script] = ECHO,
    *,
    cards: CardWatch | None = None,
    **changes: object,
) -> AsyncIterator[Stage]:
    """Run a node with the model `tiny` in its store, and with the cards of a machine."""
    settings, world = settings_for(root, **changes), FakeWorld()
    library = open_library(settings, world)
    add_model(library, "tiny", a_model())
    node = Node(settings, library, scripted_factory(world, script), world, cards)
    desk = Desk(node)
    config = uvicorn_config(desk)
    config.load()
    state = ServerState()
    state.default_headers = [(b"server", b"puna")]
    # The protocol is named, as the real server does: without it asyncio leaves Nagle's wait on, and
    # each request takes 40 ms.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    port = listener.getsockname()[1]
    server = await asyncio.get_running_loop().create_server(
        lambda: ClientConnection(config=config, server_state=state, app_state={}),
        sock=listener,
    )
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield Stage(node, desk, world, library, port, session, state)
    server.close()
    desk.answers.cut_short()
    while state.tasks:
        await asyncio.wait(state.tasks)
    for connection in tuple(state.connections):
        connection.transport.close()
    await desk.batches.close()
    await node.close(limit=Span(0))
