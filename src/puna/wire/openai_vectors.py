"""OpenAI's embeddings, and rerank as Jina and Cohere have it, as they travel."""

from pydantic import Field, JsonValue

from puna.wire.ollama import Body, Reply


class OpenAIEmbeddingsRequest(Body):
    """`POST /v1/embeddings`."""

    model: str | None = Field(default=None, examples=["smollm2"])
    input: JsonValue = Field(
        default=None,
        description="A text, a list of texts, a list of tokens, or a list of such lists.",
        examples=[["A man is eating food.", "A man eats a meal."]],
    )
    encoding_format: str | None = Field(default=None, description="`float` or `base64`.")
    dimensions: int | None = None


class EmbeddingEntry(Reply):
    """One vector: numbers, or their bytes in base64."""

    object: str
    embedding: list[float] | str
    index: int


class EmbeddingUsage(Reply):
    """What a request took."""

    prompt_tokens: int
    total_tokens: int


class OpenAIEmbeddingsReply(Reply):
    """`POST /v1/embeddings`."""

    object: str
    data: list[EmbeddingEntry]
    model: str
    usage: EmbeddingUsage


class RerankRequest(Body):
    """`POST /v1/rerank`: which documents fit a query best."""

    model: str | None = Field(default=None, examples=["bge-reranker-v2-m3"])
    query: str | None = Field(default=None, examples=["What do llamas eat?"])
    documents: list[JsonValue] | None = Field(
        default=None,
        description="Texts, or objects with a `text`.",
        examples=[["Llamas eat grass.", "Bonds rose."]],
    )
    top_n: int | None = Field(default=None, description="How many of the best are wanted.")
    return_documents: bool | None = None


class RankedDocument(Reply):
    """A document, as it was sent."""

    text: str


class RankedEntry(Reply):
    """How well one document fits, from 0 to 1."""

    index: int
    relevance_score: float
    document: RankedDocument | None = None


class RerankReply(Reply):
    """`POST /v1/rerank`: the documents, best first."""

    model: str
    results: list[RankedEntry]
    usage: EmbeddingUsage
