import itertools
import json

import pytest
from hypothesis import given, strategies as st

from puna.errors import Invalid, PunaError
from puna.node.engine.events import EngineFailed, EventReader, error_of
from puna.node.engine.request import Finish, Piece, StopReason
from puna.units import Span


def event(**fields: object) -> bytes:
    whole = {"content": "", "tokens": [], "stop": False} | fields
    return b"data: " + json.dumps(whole).encode() + b"\n\n"


def end(**fields: object) -> bytes:
    usual: dict[str, object] = {
        "stop": True,
        "stop_type": "limit",
        "tokens_evaluated": 10,
        "tokens_predicted": 3,
        "truncated": False,
        "timings": {"cache_n": 4, "prompt_ms": 1.5, "predicted_ms": 20},
    }
    return event(**(usual | fields))


def chosen(token: str, logprob: float | None) -> dict[str, object]:
    code = list(token.encode())
    likely = [{"token": token, "bytes": code, "logprob": logprob}] * 3
    return {"token": token, "bytes": code, "logprob": logprob, "top_logprobs": likely}


def read(*blocks: bytes, alternatives: int = 0, context: int = 100) -> list[Piece | Finish]:
    reader = EventReader(context=context, alternatives=alternatives)
    return [part for block in blocks for part in reader.parts_of(block)]


def test_what_arrives_together_is_one_piece() -> None:
    parts = read(event(content="a", tokens=[1]) + event(content="b", tokens=[2]), end())

    assert parts[0] == Piece("ab", (1, 2))
    assert isinstance(parts[1], Finish)


@given(st.lists(st.integers(min_value=1, max_value=400), max_size=8))
def test_it_does_not_matter_where_the_bytes_are_cut(cuts: list[int]) -> None:
    stream = event(content="ä", tokens=[1]) + event(tokens=[2]) + event(content="🍔", tokens=[3])
    stream += end()
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    blocks = [stream[start:stop] for start, stop in itertools.pairwise(edges)]

    *pieces, finish = read(*blocks)

    assert "".join(piece.text for piece in pieces if isinstance(piece, Piece)) == "ä🍔"
    assert [t for piece in pieces if isinstance(piece, Piece) for t in piece.tokens] == [1, 2, 3]
    assert isinstance(finish, Finish)


def test_the_end_token_is_counted_and_not_shown() -> None:
    parts = read(event(content="a", tokens=[1]), event(tokens=[2]), end(stop_type="eos"))

    assert parts[0] == Piece("a", (1,))
    assert isinstance(parts[1], Finish)
    assert parts[1].output_tokens == 3


def test_a_token_of_half_a_character_is_not_lost() -> None:
    parts = read(event(tokens=[1]), event(content="é", tokens=[2]), end(stop_type="eos"))

    assert parts[0] == Piece("é", (1, 2))


def test_progress_and_comments_are_no_pieces() -> None:
    assert read(event(tokens=[0], prompt_progress={"total": 9}), b": ping\n\n", end())[:-1] == []


@pytest.mark.parametrize(
    ("stop_type", "reason"),
    [("eos", StopReason.STOP), ("word", StopReason.STOP), ("limit", StopReason.LENGTH)],
)
def test_the_finish_says_why_and_how_long(stop_type: str, reason: StopReason) -> None:
    assert read(end(stop_type=stop_type)) == [
        Finish(
            reason=reason,
            prompt_tokens=10,
            output_tokens=3,
            prompt_span=Span.of(ms=1.5),
            output_span=Span.of(ms=20),
            cached_tokens=4,
        )
    ]


@pytest.mark.parametrize(("context", "shifted"), [(12, True), (13, False)])
def test_an_answer_is_shifted_only_if_it_is_longer_than_the_context(
    context: int, *, shifted: bool
) -> None:
    (finish,) = read(end(truncated=True), context=context)

    assert isinstance(finish, Finish)
    assert finish.shifted is shifted


@pytest.mark.parametrize("alternatives", [0, 2])
def test_as_many_alternatives_as_were_asked_for(alternatives: int) -> None:
    piece = event(content="a", tokens=[1], completion_probabilities=[chosen("a", -0.5)])

    (part,) = read(piece, alternatives=alternatives)

    assert isinstance(part, Piece)
    assert part.logprobs[0].chosen.logprob == -0.5
    assert part.logprobs[0].chosen.raw == b"a"
    assert len(part.logprobs[0].alternatives) == alternatives


def test_the_logarithm_of_nothing_is_a_number() -> None:
    piece = event(content="a", tokens=[1], completion_probabilities=[chosen("a", None)])

    (part,) = read(piece)

    assert isinstance(part, Piece)
    assert part.logprobs[0].chosen.logprob == -9999.0


def test_an_error_in_the_stream_is_raised() -> None:
    failure = event(error={"code": 500, "message": "no room"})

    with pytest.raises(EngineFailed, match="no room"):
        read(event(content="a", tokens=[1]), failure)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"error": {"code": 400, "message": "bad\nprompt"}}, Invalid),
        ({"error": {"code": 500, "message": "x"}}, EngineFailed),
        ({"error": "x"}, EngineFailed),
        ({}, EngineFailed),
        ("<html>", EngineFailed),
        (None, EngineFailed),
    ],
)
def test_an_error_is_one_line_of_its_family(answer: object, kind: type[PunaError]) -> None:
    error = error_of(answer)

    assert isinstance(error, kind)
    assert "\n" not in error.message
