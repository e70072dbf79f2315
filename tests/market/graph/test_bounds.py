"""Queries that no client sends are refused before anything is done with them."""

import json

import pytest
from graphql import get_introspection_query, parse

from puna.market.http.graph.bounds import (
    MOST_CHANGES,
    MOST_DEPTH,
    MOST_FIELDS,
    MOST_QUERIES,
    MOST_ROWS,
    MOST_TOKENS,
    InvalidWords,
    QueryTooLarge,
    check_document,
    check_text,
    check_variables,
    check_words,
)

DOUBLING = """{ x { ...a ...a ...a ...a } }
fragment a on T { ...b ...b ...b ...b } fragment b on T { ...c ...c ...c ...c }
fragment c on T { ...d ...d ...d ...d } fragment d on T { x y z }"""


def nested(depth: int, opens: str, closes: str) -> str:
    return "{ a " + opens * depth + closes * depth + "}"


@pytest.mark.parametrize(
    "text",
    [
        nested(100_000, "{a", "}"),
        nested(100_000, "(a:[", "])"),
        "[" * MOST_DEPTH * 2,
        "{" + " a" * MOST_TOKENS + "}",
        "{" + "," * 10 + "#c\n" * 10 + "a(b: [" + "1 " * MOST_TOKENS + "]) }",
    ],
    ids=["selections", "arguments", "unclosed", "fields", "values"],
)
def test_a_text_that_is_deep_or_long_is_not_parsed(text: str) -> None:
    with pytest.raises(QueryTooLarge):
        check_text(text)


@pytest.mark.parametrize(
    "text", ["", "{ myself { id } }", '{ a(b: "{{{{") }', "{ a } } }", '{ a(b: "unclosed) }', "\0"]
)
def test_a_small_text_passes_whatever_it_says(text: str) -> None:
    check_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "{" + " ".join(f"a{n}: myself {{ id }}" for n in range(MOST_QUERIES + 1)) + "}",
        "mutation {" + " ".join(f"a{n}: podStop" for n in range(MOST_CHANGES + 1)) + "}",
        "{ myself {" + " id" * (MOST_FIELDS + 1) + "} }",
        "{ ...a ...a } fragment a on Query {" + " id" * MOST_QUERIES + "}",
        DOUBLING,
        "{ x } fragment unused on T {" + " pods { id }" * MOST_FIELDS + "}",
    ],
    ids=[
        "queries",
        "changes",
        "fields",
        "fragments at the top",
        "fragments in fragments",
        "unused",
    ],
)
def test_a_query_with_too_many_fields_is_not_checked(text: str) -> None:
    with pytest.raises(QueryTooLarge):
        check_document(parse(text))


def test_fragments_that_contain_each_other_are_left_to_the_rules() -> None:
    text = "{ ...a } fragment a on Query { x ...b } fragment b on Query { y ...a }"
    check_document(parse(text))


def test_variables_may_be_as_deep_as_the_text() -> None:
    check_variables(json.loads("[" * MOST_DEPTH + "]" * MOST_DEPTH))
    with pytest.raises(QueryTooLarge):
        check_variables({"input": json.loads("[" * MOST_DEPTH + "]" * MOST_DEPTH)})


@pytest.mark.parametrize("text", ["a\0b", "\ud800", "x" * 200_000])
def test_a_text_that_a_database_cannot_keep_is_refused(text: str) -> None:
    with pytest.raises(InvalidWords):
        check_words({"input": {"env": [{"key": "A", "value": text}]}})


def test_a_list_beyond_measure_is_refused() -> None:
    check_words({"ids": ["a"] * MOST_ROWS})
    with pytest.raises(QueryTooLarge):
        check_words({"ids": ["a"] * (MOST_ROWS + 1)})


def test_the_question_that_tools_ask_for_the_schema_is_small_enough() -> None:
    check_text(get_introspection_query())
    check_document(parse(get_introspection_query()))
