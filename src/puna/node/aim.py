"""What the purpose of a load makes of a model: how texts become vectors, and how many go together.

Pure, like `placing`, which asks it. `models.fit` counts the memory of what is decided here.
"""

from puna.models.details import FilePooling, pooling_of
from puna.models.fit_shape import shape_of
from puna.models.gguf import GgufHeader
from puna.node.engine.parameters import SCORED_TOGETHER
from puna.node.engine.request import Pooling, Purpose

_ENCODER_SLOTS = 32


class Aim:
    """One model with what it is to be loaded for."""

    def __init__(self, header: GgufHeader, purpose: Purpose) -> None:
        self._answers = purpose is Purpose.ANSWER
        self._embeds = purpose is Purpose.EMBED
        self._shape = shape_of(header)
        said = pooling_of(header)
        self._takes_last = said in {None, FilePooling.LAST} and not self._shape.only_encodes
        self.pooling = self._pooling(said) if self._embeds else None

    def _pooling(self, said: FilePooling | None) -> Pooling | None:
        """Return what to ask for: the file's own way, which llama.cpp wants told of a reranker.

        Of a model that was not made to embed it is the last token, as with Ollama.
        """
        if said is None:
            return Pooling.LAST if self._takes_last else Pooling.MEAN
        return Pooling.RANK if said is FilePooling.RANK else None

    @property
    def is_whole(self) -> bool:
        """Whether a text has to be computed in one step, however long it is."""
        return self._embeds and not self._takes_last

    @property
    def most_slots(self) -> int | None:
        """How many texts are computed together at most; None is the setting's choice.

        Where nothing is remembered a slot costs next to nothing, and short texts fill a step.
        """
        if self._answers:
            return None
        if self._embeds:
            return _ENCODER_SLOTS if self._shape.only_encodes else None
        return 1

    def outputs(self, batch: int) -> int:
        """Return how many rows of probabilities one step makes beside one for each slot."""
        if self._embeds and not self._shape.only_encodes:
            return batch  # llama.cpp computes them for each token, though nobody wants them
        return 0 if self._answers or self._embeds else min(batch, SCORED_TOGETHER)
