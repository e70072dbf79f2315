"""Texts as vectors, tokens and scores, as they travel: Ollama's bodies, and puna's own like them.

`input` may have several types, so it stays JSON here and is read in `node.api.ollama.embedding`.
"""

from pydantic import Field, JsonValue

from puna.wire.ollama import Body, Reply


class ModelBody(Body):
    """What every such body has."""

    model: str | None = Field(default=None, examples=["smollm2"])
    options: dict[str, JsonValue] | None = None
    keep_alive: JsonValue = Field(
        default=None, description='Seconds, or a duration such as `"10m"`.'
    )


class EmbedRequest(ModelBody):
    """`POST /api/embed`: texts as vectors, or a load when there is no text."""

    input: JsonValue = Field(
        default=None,
        description="A text, or a list of texts.",
        examples=[["A man is eating food.", "A man eats a meal."]],
    )
    truncate: bool | None = Field(
        default=None, description="False refuses a text that is too long."
    )
    dimensions: int | None = Field(
        default=None, description="How many numbers of each vector are wanted; 0 is all."
    )


class EmbeddingsRequest(ModelBody):
    """`POST /api/embeddings`: one text as a vector, the older way."""

    prompt: str | None = Field(default=None, examples=["A man is eating food."])


class TruncatedText(Reply):
    """puna's own: a text that was cut, by its place in `input`."""

    index: int
    tokens: int
    kept_tokens: int
    is_estimate: bool = Field(default=False, description="True if there are more than `tokens`.")


class EmbedReply(Reply):
    """`POST /api/embed`: a vector of length 1 for each text."""

    model: str
    embeddings: list[list[float]]
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    truncated: list[TruncatedText] = Field(default=[])
    ignored: list[str] = Field(default=[])


class EmbeddingsReply(Reply):
    """`POST /api/embeddings`: one vector."""

    embedding: list[float]


class TokenizeRequest(ModelBody):
    """`POST /api/tokenize`."""

    content: str | None = Field(default=None, examples=["What is a hamburger?"])
    add_special: bool | None = Field(
        default=None, description="True puts around it what the model wants around a text."
    )


class TokenizeReply(Reply):
    """`POST /api/tokenize`: the numbers that the model reads."""

    model: str
    tokens: list[int]
    count: int
    load_duration: int = 0


class DetokenizeRequest(ModelBody):
    """`POST /api/detokenize`."""

    tokens: list[int] | None = Field(default=None, examples=[[1780, 314, 253]])


class DetokenizeReply(Reply):
    """`POST /api/detokenize`: the text of tokens."""

    model: str
    content: str
    load_duration: int = 0
