"""Words that clients write in more than one way, read through the schema."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from graphql import GraphQLError, GraphQLScalarType, parse_const_value

from puna.market.http.graph.schema import the_schema
from puna.market.http.graph.words import WORDS, written


def scalar(name: str) -> GraphQLScalarType:
    found = the_schema().type_map[name]
    assert isinstance(found, GraphQLScalarType)
    return found


def literal(name: str, text: str) -> Any:  # noqa: ANN401 - whatever the scalar makes of it
    read = scalar(name).coerce_input_literal
    assert read is not None
    return read(parse_const_value(text))


@pytest.mark.parametrize(("name", "word"), [(n, w) for n, words in WORDS.items() for w in words])
def test_a_word_is_taken_bare_as_a_string_and_from_variables(name: str, word: str) -> None:
    assert literal(name, word) == word
    assert literal(name, f'"{word}"') == word
    assert literal(name, f'"{word.lower()}"') == word
    assert scalar(name).coerce_input_value(word) == word


@pytest.mark.parametrize("name", WORDS)
def test_another_word_is_refused_and_an_empty_one_says_nothing(name: str) -> None:
    assert scalar(name).coerce_input_value("") is None
    with pytest.raises(GraphQLError, match="it is one of"):
        literal(name, "ELSEWHERE")
    with pytest.raises(GraphQLError):
        literal(name, "[ALL]")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2026-11-24T20:00:00Z", datetime(2026, 11, 24, 20, tzinfo=UTC)),
        ("2026-11-24T21:00:00+01:00", datetime(2026, 11, 24, 20, tzinfo=UTC)),
        ("90m", timedelta(minutes=90)),
        ("1h30m", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        ("", None),
    ],
)
def test_a_time_is_a_moment_or_a_span(text: str, meant: object) -> None:
    assert literal("DateTime", f'"{text}"') == meant
    assert scalar("DateTime").coerce_input_value(text) == meant


@pytest.mark.parametrize("text", ["soon", "2026-11-24T20:00:00", "2026-13-01T00:00:00Z", "5 years"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(GraphQLError, match=r"time zone|neither a moment"):
        scalar("DateTime").coerce_input_value(text)


def test_a_moment_is_written_in_utc_to_the_second() -> None:
    moment = datetime.fromisoformat("2026-11-24T21:00:00.123+01:00")
    assert written(moment) == "2026-11-24T20:00:00Z"
