"""A room with batches and a desk that answers rows as the test says."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from puna.errors import NotFound, PunaError
from puna.node.batches.batch import Batch
from puna.node.batches.batches import BatchAsk, Batches
from puna.node.batches.row import RowAsk, RowReply
from puna.node.scheduler.crowd import Crowd
from puna.node.shelf import Label, Shelf
from puna.units import Span
from tests.worlds import FakeWorld

_SEEDS = itertools.count()
"""No two rooms make the same ids."""
CHAT = "/v1/chat/completions"
ALONE = Crowd(slots=4, quiet=Span.of(hours=1))


@dataclass
class FakeDesk:
    """Answers each row with its own text, once it is let."""

    crowd_now: Crowd = ALONE
    reply: Callable[[str], RowReply] | None = None
    is_open: bool = True
    known: str = "m"
    asked: list[str] = field(default_factory=list)
    under_way: list[str] = field(default_factory=list)
    most: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def check_model(self, model: str) -> None:
        if not model.startswith(self.known):
            raise NotFound(f"model '{model}' not found")

    def is_welcome(self, owner: str) -> bool:
        return owner != "gone"

    def crowd(self, model: str, endpoint: str) -> Crowd:
        if model == "m-removed":
            raise PunaError(f"{model} {endpoint}")
        return self.crowd_now

    async def answer(self, ask: RowAsk) -> RowReply:
        text = str(json.loads(ask.body)["text"])
        self.asked.append(text)
        self.under_way.append(text)
        self.most = max(self.most, len(self.under_way))
        try:
            if not self.is_open:
                await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.under_way.remove(text)
        if self.reply is not None:
            return self.reply(text)
        return RowReply(status=200, body=json.dumps({"text": text}).encode())


@dataclass
class Room:
    """Batches in a folder, as a node has them from its start to its end."""

    batches: Batches
    shelf: Shelf
    world: FakeWorld
    desk: FakeDesk

    async def add(self, texts: Sequence[str], *, model: str = "m", owner: str = "") -> Batch:
        """Make a batch of one row for each text."""
        content = b"".join(_line(n, text, model) for n, text in enumerate(texts))
        with self.shelf.receive() as incoming:
            incoming.write(content)
            filed = self.shelf.keep(incoming, Label(name="i", purpose="batch", owner=owner))
        ask = BatchAsk(endpoint=CHAT, input_file=filed.id, owner=owner)
        return await self.batches.create(ask)

    async def until(self, is_so: Callable[[], bool]) -> None:
        while not is_so():  # noqa: ASYNC110 - threads give no event to wait for
            await asyncio.sleep(0.001)

    async def now(self, batch: Batch) -> Batch:
        return await self.batches.find(batch.id, batch.owner)

    async def over(self, batch: Batch) -> Batch:
        while not (found := await self.now(batch)).is_over:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        return found

    def texts(self, batch: Batch) -> list[str]:
        """Return the answers of a batch that is over."""
        lines = self.shelf.content(batch.output_file).read_bytes().splitlines()
        return [json.loads(line)["response"]["body"]["text"] for line in lines]

    def errors(self, batch: Batch) -> list[dict[str, object]]:
        lines = self.shelf.content(batch.error_file).read_bytes().splitlines()
        return [json.loads(line) for line in lines]


@asynccontextmanager
async def a_room(home: Path, desk: FakeDesk | None = None) -> AsyncIterator[Room]:
    """Open a room; leaving it is what the end of a node is."""
    world = FakeWorld(seed=next(_SEEDS))
    shelf = Shelf(home / "files", world)
    batches = Batches(home / "batches", shelf, world)
    room = Room(batches, shelf, world, desk or FakeDesk())
    batches.answer_with(room.desk)
    await batches.resume()
    yield room
    await batches.close()


def _line(number: int, text: str, model: str) -> bytes:
    body = {"model": model, "text": text}
    row = {"custom_id": f"r{number}", "method": "POST", "url": CHAT, "body": body}
    return json.dumps(row).encode() + b"\n"
