"""All that a node says of one model: what `puna show` prints."""

from collections.abc import Mapping
from dataclasses import dataclass

from puna.node.client import NodeClient
from puna.node.replies import Fields


def show_card(
    client: NodeClient,
    model: str,
    *,
    verbose: bool = False,
    system: str = "",
) -> "ModelCard":
    """Ask a node for the card of a model; `system` is shown as if it were set in it."""
    body: dict[str, object] = {"model": model, "verbose": verbose}
    body |= {"system": system} if system else {}
    return ModelCard.of(client.ask("POST", "/api/show", body))


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message that travels with a model, shown when a conversation starts."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class TensorRow:
    """One line of the tensor table of `puna show -v`."""

    name: str
    type: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """All that `/api/show` says of one model."""

    license: str = ""
    modelfile: str = ""
    parameters: str = ""
    template: str = ""
    system: str = ""
    family: str = ""
    parameter_size: str = ""
    quantization: str = ""
    requires: str = ""
    remote_model: str = ""
    remote_host: str = ""
    capabilities: tuple[str, ...] = ()
    messages: tuple[StoredMessage, ...] = ()
    metadata: Mapping[str, object] | None = None
    projector: Mapping[str, object] | None = None
    tensors: tuple[TensorRow, ...] = ()

    @property
    def can_think(self) -> bool:
        """Whether the model can write its thoughts apart from its answer."""
        return "thinking" in self.capabilities

    @property
    def sees_images(self) -> bool:
        """Whether the model can be shown images."""
        return "vision" in self.capabilities

    @classmethod
    def of(cls, reply: Fields) -> "ModelCard":
        """Read the reply of `/api/show`."""
        details = reply.fields("details")
        return cls(
            **{name: reply.text(name) for name in _CARD_TEXTS},
            family=details.text("family"),
            parameter_size=details.text("parameter_size"),
            quantization=details.text("quantization_level"),
            capabilities=reply.texts("capabilities"),
            messages=tuple(
                StoredMessage(item.text("role"), item.text("content"))
                for item in reply.each("messages")
            ),
            metadata=reply.fields("model_info").values or None,
            projector=reply.fields("projector_info").values or None,
            tensors=tuple(_tensor_row(item) for item in reply.each("tensors")),
        )


_CARD_TEXTS = (
    "license",
    "modelfile",
    "parameters",
    "template",
    "system",
    "requires",
    "remote_model",
    "remote_host",
)


def _tensor_row(item: Fields) -> TensorRow:
    shape = item.values.get("shape")
    sizes = tuple(
        size for size in (shape if isinstance(shape, list) else ()) if isinstance(size, int)
    )
    return TensorRow(item.text("name"), item.text("type"), sizes)
