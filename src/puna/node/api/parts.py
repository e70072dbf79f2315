"""What a turn holds beside words, as every dialect that sends parts has it. Pure."""

from dataclasses import dataclass

from puna.chat.images import BadImage, Image, decode_image

_LINKS = ("http://", "https://")


@dataclass(frozen=True, slots=True)
class Content:
    """What one turn says and shows."""

    text: str = ""
    images: tuple[Image, ...] = ()
    places: tuple[int, ...] = ()
    """Where in the text each image stands."""

    @classmethod
    def joined(cls, parts: list["Content"]) -> "Content":
        """Put the parts of one turn together: texts on lines of their own, images in between."""
        text, images, places = "", [], []
        follows_text = False
        for part in parts:
            if part.text:
                text += f"\n{part.text}" if follows_text else part.text
                follows_text = True
            for image in part.images:
                images.append(image)
                places.append(len(text))
                follows_text = False
        return cls(text, tuple(images), tuple(places))


def picture(uri: str, place: str) -> Content:
    """Return the picture in a data URI. Raises `BadImage`: links were followed before, or not."""
    if is_link(uri):
        raise BadImage(
            f"{place}: image URLs are not currently supported, please use base64 encoded data "
            "instead",
            hint="whoever runs the node can let it fetch images: PUNA_IMAGE_URLS=1",
        )
    if not uri.startswith("data:"):
        raise BadImage(
            f"{place}: invalid image input", hint="send data:image/png;base64,... or image/jpeg"
        )
    return Content(images=(decode_image(uri, place),))


def is_link(uri: str) -> bool:
    """Tell whether an image is to be fetched from somewhere."""
    return uri[:8].lower().startswith(_LINKS)
