"""Many layers that are fetched at once, as one line that people read. Pure."""

from puna.agent.shown import Pulling
from puna.units import Size

_DONE = ("complete", "already exists", "skipped", "exists")
_OF_THE_IMAGE = "pulling from"
"""How Docker begins: with the image's tag, which is no layer."""
_IS_HERE = ("download complete", "verifying", "extracting", "pull complete")
"""What Docker says of a layer that it has fetched; it counts anew while it unpacks it."""


class Folded:
    """Takes the lines of a download; `line` is how far it is."""

    def __init__(self) -> None:
        self._layers: dict[str, Pulling] = {}
        self._last = ""

    def take(self, step: Pulling) -> None:
        """Take note of one line."""
        self._last = step.status or self._last
        said = step.status.lower()
        if step.layer and not said.startswith(_OF_THE_IMAGE):
            before = self._layers.get(step.layer)
            is_here = not step.total or said.startswith(_IS_HERE)
            if before is not None and is_here:  # the last lines of a layer have no size
                step = Pulling(
                    layer=step.layer, status=step.status, done=before.total, total=before.total
                )
            self._layers[step.layer] = step

    @property
    def line(self) -> str:
        """How far it is."""
        layers = self._layers.values()
        if not layers:
            return self._last
        ready = sum(any(word in each.status.lower() for word in _DONE) for each in layers)
        total = sum(each.total for each in layers)
        sizes = f", {Size(sum(each.done for each in layers))} of {Size(total)}" if total else ""
        return f"{ready} of {len(layers)} layers{sizes}"
