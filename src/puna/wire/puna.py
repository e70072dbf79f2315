"""Bodies of the paths that are puna's own, in the manner of Ollama's."""

from pydantic import Field, JsonValue

from puna.wire.ollama import Body, Reply


class ScoreRequest(Body):
    """`POST /api/score`: how likely each candidate is after `prefix` and each text."""

    model: str | None = Field(default=None, examples=["smollm2"])
    prefix: str | None = Field(
        default=None,
        description="What every prompt begins with; it is computed once.",
        examples=["Is this review positive or negative?\n"],
    )
    texts: list[str] | None = Field(
        default=None,
        description="What each prompt goes on with, up to where the answer begins.",
        examples=[["I loved it.\nAnswer:", "It was dull.\nAnswer:"]],
    )
    candidates: list[str] | None = Field(
        default=None,
        description="The answers, with the blank that they begin with, if they do.",
        examples=[[" positive", " negative"]],
    )
    options: dict[str, JsonValue] | None = None
    keep_alive: JsonValue = Field(
        default=None, description='Seconds, or a duration such as `"10m"`.'
    )


class TextScore(Reply):
    """One text, its candidates in the order of the request."""

    probabilities: list[float] = Field(description="Among the candidates: they add up to 1.")
    logprobs: list[float] = Field(
        description="Natural logarithms, summed over all tokens of a candidate."
    )
    best: str
    margin: float = Field(description="The best probability less the next one; 1 for one only.")


class ScoreReply(Reply):
    """`POST /api/score`: a score for each text, in their order."""

    model: str
    scores: list[TextScore]
    total_duration: int = 0
    load_duration: int = 0
    prompt_eval_count: int = 0
    ignored: list[str] = Field(default=[])
