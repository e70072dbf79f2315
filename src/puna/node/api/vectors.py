"""What the dialects share about vectors: which models give them, and how they are written.

A vector is written with nine digits, which is as exact as its 32 bits are: as Python writes numbers
by itself it would be twice as long.
"""

from collections.abc import Iterable, Mapping, Sequence

from puna.errors import Failed, Invalid
from puna.models.details import FilePooling, pooling_of
from puna.models.option_text import go_quoted
from puna.node.api.reply import header_text
from puna.node.embedding import TextCut
from puna.node.engine.vectors import Vector
from puna.node.served import ServedModel


class NotForVectors(Invalid):
    """The model does other things with texts than what is asked."""

    code = "not_for_vectors"


class BrokenVector(Failed):
    """The model made a vector of what are no numbers."""

    code = "broken_vector"


def check_embeds(model: ServedModel, asked_name: str) -> None:
    """Raise `NotForVectors` for a model that gives no vectors."""
    if pooling_of(model.header) is FilePooling.RANK:
        raise NotForVectors(
            f"{go_quoted(asked_name)} is a reranker: it gives no vectors",
            hint="send a query and documents to /v1/rerank",
        )


def check_reranks(model: ServedModel, asked_name: str) -> None:
    """Raise `NotForVectors` for a model that is no reranker."""
    if pooling_of(model.header) is not FilePooling.RANK:
        raise NotForVectors(
            f"{go_quoted(asked_name)} is no reranker",
            hint="a reranker says so in its file: pooling type rank, such as bge-reranker-v2-m3",
        )


def vector_json(vector: Vector) -> bytes:
    """Return a vector as a list in JSON. Raises `BrokenVector`."""
    text = ",".join(["%.9g"] * len(vector)) % tuple(vector)
    if "n" in text:
        raise BrokenVector("the model gave a vector with numbers that are none")
    return f"[{text}]".encode()


def vectors_json(vectors: Iterable[Vector]) -> bytes:
    """Return a list of vectors in JSON."""
    return b"[" + b",".join(vector_json(each) for each in vectors) + b"]"


def cut_headers(cuts: Sequence[TextCut], ignored: Sequence[str] = ()) -> Mapping[str, str]:
    """Return the headers that say which texts were cut, and what had no effect."""
    headers = {}
    if cuts:
        said = (f"input[{each.index}]={each.kept_tokens} of {each.tokens} tokens" for each in cuts)
        headers["Puna-Truncated"] = header_text("; ".join(said))
    if ignored:
        headers["Puna-Ignored-Options"] = header_text(", ".join(ignored))
    return headers
