"""`/api/score`: the probability of given answers, without generating."""

from fastapi import Request
from starlette.responses import Response

from puna.errors import Invalid
from puna.models.details import Capability
from puna.models.fit_shape import shape_of
from puna.models.option_text import go_quoted
from puna.node.api.body import read_body
from puna.node.api.desk import desk_of, required
from puna.node.api.endpoint import Endpoint
from puna.node.api.ollama.convert import read_keep_alive
from puna.node.api.once import in_time
from puna.node.api.vectors import cut_headers
from puna.node.engine.request import Purpose
from puna.node.engine.scores import ScoreQuestion
from puna.node.scoring import ScoreAsk, Scores
from puna.node.served import ServedModel
from puna.wire import puna as wire

_MOST_CANDIDATES = 1000


class NotForScores(Invalid):
    """The model cannot tell how likely an answer is."""

    code = "not_for_scores"


async def score(request: Request) -> Response:
    """Return how likely each candidate answer is after each text, without generating."""
    asked = await read_body(request, wire.ScoreRequest)
    name = required(asked.model)
    question, keep_alive = read_question(asked), read_keep_alive(asked.keep_alive)
    desk = desk_of(request)
    model = desk.node.find(name)
    check_scores(model, name)
    parsed = desk.node.options(model, asked.options or {})
    wanted = desk.node.plan(model, parsed.options.loading, Purpose.SCORE)
    return in_time(
        desk,
        desk.node.score(ScoreAsk(wanted, question, keep_alive)),
        lambda found: _reply(name, found, question, parsed.ignored),
        lambda _: cut_headers((), parsed.ignored),
    )


def read_question(asked: wire.ScoreRequest) -> ScoreQuestion:
    """Return what is to be scored. Raises `Invalid`."""
    texts, candidates = tuple(asked.texts or ()), tuple(asked.candidates or ())
    if texts and not candidates:
        raise Invalid("candidates are required: the answers whose probability is wanted")
    if len(candidates) > _MOST_CANDIDATES:
        raise Invalid(f"at most {_MOST_CANDIDATES} candidates, not {len(candidates)}")
    if not all(candidates):
        raise Invalid("a candidate must not be empty")
    if len(set(candidates)) < len(candidates):
        raise Invalid("a candidate must not be there twice")
    return ScoreQuestion(asked.prefix or "", texts, candidates)


def check_scores(model: ServedModel, asked_name: str) -> None:
    """Raise `NotForScores` for a model that gives no probabilities, or not for many at once."""
    if Capability.COMPLETION not in model.abilities:
        raise NotForScores(f"{go_quoted(asked_name)} does not support score")
    if model.adapters:
        raise NotForScores(f"{go_quoted(asked_name)} has an adapter, with which puna cannot score")
    if any(layer.state_size for layer in shape_of(model.header).layers):
        raise NotForScores(f"{go_quoted(asked_name)} is recurrent, and such models cannot score")


def _reply(model: str, found: Scores, question: ScoreQuestion, ignored: tuple[str, ...]) -> bytes:
    return wire.ScoreReply(
        model=model,
        scores=[
            wire.TextScore(
                probabilities=list(each.probabilities),
                logprobs=list(each.logprobs),
                best=question.candidates[each.best],
                margin=each.margin,
            )
            for each in found.scores
        ],
        total_duration=found.total_span,
        load_duration=found.load_span,
        prompt_eval_count=found.tokens,
        ignored=list(ignored),
    ).to_json()


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/api/score",
        call=score,
        takes=wire.ScoreRequest,
        gives=wire.ScoreReply,
    ),
)
