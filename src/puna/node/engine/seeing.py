"""How llama.cpp sees images: how many tokens one takes, and in which formats it reads them.

llama.cpp tells the tokens of a whole conversation only, so an image is put into one of its own, and
the tokens of what the template writes around it are taken off. They depend on nothing but the sides
of the image, so each size is asked for once. WebP, which llama.cpp does not decode, becomes PNG in
the child process: nothing is lost, and no code that decodes runs in the node.
"""

import base64
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

from puna.chat.images import BadImage, Image, ImageKind
from puna.chat.marks import Illustrated
from puna.chat.messages import Json
from puna.errors import Invalid
from puna.hardware.memory import available_memory
from puna.models.fit_projector import COUNTED_PIXELS, DECODED_PIXEL
from puna.node.engine.child import Child
from puna.node.engine.connection import Connection
from puna.node.engine.engine import EngineDied
from puna.node.engine.events import EngineFailed
from puna.units import Size

_KEPT_IMAGES = 8
"""Converted images that are kept: a conversation sends the same ones each time."""
_KEPT_SIZES = 1024
_COUNTING = "/v1/chat/completions/input_tokens"


class Eyes:
    """What one engine knows of images."""

    def __init__(self, child: Child, connection: Connection, mark: str) -> None:
        self._child = child
        self._connection = connection
        self._mark = mark
        self._around: int | None = None
        self._tokens_by_size: dict[tuple[int, int], int] = {}
        self._converted: OrderedDict[bytes, Image] = OrderedDict()

    async def tokens(self, image: Image) -> int:
        """Return how many tokens an image takes. Raises `Invalid` if it cannot be decoded."""
        size = (image.width, image.height)
        if size not in self._tokens_by_size:
            whole = await self._whole_tokens(await self.decodable(image))
            if len(self._tokens_by_size) >= _KEPT_SIZES:
                self._tokens_by_size.clear()
            self._tokens_by_size[size] = whole - await self._tokens_around()
        return self._tokens_by_size[size]

    async def _whole_tokens(self, image: Image) -> int:
        """Return the tokens of a conversation with nothing but an image in it."""
        link = f"data:image/{image.kind};base64,{image.base64}"
        content: Json = [{"type": "image_url", "image_url": {"url": link}}]
        try:
            answer = await self._connection.ask(_COUNTING, _conversation(content))
        except (Invalid, EngineFailed) as error:
            place = f"{image.place}: " if image.place else ""
            raise BadImage(
                f"{place}the {image.kind} image cannot be decoded",
                hint="it is damaged, or of a variety that llama.cpp does not know: save it as PNG",
            ) from error
        count = answer["input_tokens"]
        return count if isinstance(count, int) else 0

    async def _tokens_around(self) -> int:
        """Return how many tokens the template writes around an image that stands alone."""
        if self._around is None:
            answer = await self._connection.ask("/apply-template", _conversation(self._mark))
            before, _, after = str(answer["prompt"]).partition(self._mark)
            first = await self._connection.tokenize(before, add_special=True)
            last = await self._connection.tokenize(after, add_special=False)
            self._around = len(first) + len(last)
        return self._around

    async def prepared(self, prompt: Illustrated) -> Illustrated:
        """Return a prompt with every image in a format that llama.cpp decodes."""
        parts = [
            await self.decodable(part) if isinstance(part, Image) else part for part in prompt.parts
        ]
        return Illustrated(tuple(parts))

    @asynccontextmanager
    async def blaming(self, prompt: tuple[int, ...] | str | Illustrated) -> AsyncIterator[None]:
        """Say which image was at fault if what is done inside fails on one. Raises `BadImage`."""
        try:
            yield
        except Invalid:
            if isinstance(prompt, Illustrated):
                for image in prompt.images:
                    await self._whole_tokens(image)
            raise

    async def decodable(self, image: Image) -> Image:
        """Return an image in a format that llama.cpp decodes. Raises `BadImage`, `EngineDied`."""
        check_room(image, available_memory().available)
        if image.kind is not ImageKind.WEBP:
            return image
        known = self._converted.get(image.content)
        if known is None:
            known = replace(image, content=await self._as_png(image), kind=ImageKind.PNG)
            self._converted[image.content] = known
            if len(self._converted) > _KEPT_IMAGES:
                self._converted.popitem(last=False)
        return known

    async def _as_png(self, image: Image) -> bytes:
        answer = await self._child.ask({"image": image.base64})
        if not answer:
            await self._child.ended()
            raise EngineDied(self._child.epitaph)
        if refusal := answer.get("refusal"):
            raise BadImage(f"{image.place or 'image'}: {refusal}")
        return base64.b64decode(str(answer["image"]))


def check_room(image: Image, free: Size) -> None:
    """Raise `BadImage` for an image that is larger than what a load counts on, and than memory."""
    needed = Size(image.pixels * DECODED_PIXEL)
    if image.pixels > COUNTED_PIXELS and needed > free:
        raise BadImage(
            f"{image.place or 'image'}: decoding {image.width} x {image.height} pixels takes "
            f"{needed} of memory, and {free} are free",
            hint="make it smaller: models see no such detail",
        )


def _conversation(content: Json) -> Mapping[str, Json]:
    return {"messages": [{"role": "user", "content": content}]}
