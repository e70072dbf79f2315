"""Where images stand in a prompt: marks while a template writes it, parts once it is written.

A template knows nothing of images, so each is a mark in the text that no template changes and that
nothing in the conversation looks like. What a template writes is cut at the marks; so it may move
an image, but none is lost in silence.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from puna.chat.images import Image
from puna.chat.messages import Message
from puna.errors import Invalid

_GIVEN_MARK = re.compile(r"\[img-(\d{1,9})\]")


class ImageLeftOut(Invalid):
    """The model's template has no place for an image."""

    code = "image_left_out"


@dataclass(frozen=True, slots=True)
class Illustrated:
    """A prompt with images in it: text and image by turns, beginning and ending with text."""

    parts: tuple[str | Image, ...]

    @property
    def images(self) -> tuple[Image, ...]:
        """The images, in the order in which they stand in the text."""
        return tuple(part for part in self.parts if isinstance(part, Image))

    @property
    def texts(self) -> tuple[str, ...]:
        """What stands before, between and after the images."""
        return tuple(part for part in self.parts if isinstance(part, str))

    @property
    def text(self) -> str:
        """The prompt for people, with `[img-0]` for the first image and so on."""
        first, *others = self.texts
        return first + "".join(f"[img-{n}]{text}" for n, text in enumerate(others))

    def followed_by(self, text: str) -> "Illustrated":
        """Return the prompt with some more text at its end."""
        return Illustrated((*self.parts[:-1], f"{self.parts[-1]}{text}"))


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of the images of one conversation."""

    images: tuple[Image, ...]
    stem: str

    @classmethod
    def of(cls, messages: Sequence[Message]) -> "Marks":
        """Return marks that occur nowhere in the conversation."""
        said = "\n".join(text for message in messages for text in _texts(message))
        number = 0
        while (stem := f"[img-{f'{number}.' if number else ''}") in said:
            number += 1
        return cls(tuple(image for message in messages for image in message.images), stem)

    def placed(self, messages: Sequence[Message]) -> Iterator[Message]:
        """Yield the messages with a mark in the text for each of their images."""
        number = 0
        for message in messages:
            marks = [f"{self.stem}{number + n}]" for n in range(len(message.images))]
            number += len(marks)
            yield replace(message, content=_with_marks(message, marks)) if marks else message

    def cut(self, text: str) -> Illustrated:
        """Cut a text that a template has written at the marks. Raises `ImageLeftOut`."""
        pieces = re.split(rf"{re.escape(self.stem)}(\d+)\]", text)
        numbers = [int(piece) for piece in pieces[1::2]]
        if len(set(numbers)) < len(self.images):
            raise ImageLeftOut(
                "the model's template leaves out an image",
                hint="put images into a turn of the user",
            )
        return _joined(pieces, numbers, self.images)


def cut_at_given_marks(text: str, images: tuple[Image, ...]) -> Illustrated:
    """Cut a prompt that its writer has marked with `[img-0]` and so on; other images go in front.

    Raises `Invalid` for a mark without an image.
    """
    named = {int(number) for number in _GIVEN_MARK.findall(text)}
    if unknown := sorted(number for number in named if number >= len(images)):
        raise Invalid(f"invalid image index: {unknown[0]}", hint="the first image is [img-0]")
    front = "".join(f"[img-{n}]" for n in range(len(images)) if n not in named)
    pieces = _GIVEN_MARK.split(front + text)
    return _joined(pieces, [int(piece) for piece in pieces[1::2]], images)


def _joined(pieces: Sequence[str], numbers: Sequence[int], images: Sequence[Image]) -> Illustrated:
    if not pieces[-1]:
        # llama.cpp, asked to go on from an image alone, fails an assertion.
        raise Invalid("the prompt ends with an image", hint="write something after it")
    parts: list[str | Image] = [pieces[0]]
    for number, text in zip(numbers, pieces[2::2], strict=True):
        parts += [images[number], text]
    return Illustrated(tuple(parts))


def _texts(message: Message) -> Iterator[str]:
    yield message.content
    yield message.thinking
    for call in message.tool_calls:
        yield call.arguments


def _with_marks(message: Message, marks: Sequence[str]) -> str:
    """Put each mark where its image stands; without places all stand in front."""
    text, places = message.content, message.places
    if not places:
        return "".join(marks) + text
    in_order = sorted(zip(places, marks, strict=True), key=lambda pair: pair[0])
    for place, mark in reversed(in_order):
        text = text[:place] + mark + text[place:]
    return text
