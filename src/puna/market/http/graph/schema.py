"""The schema that is answered: the text beside this file, with what each field does bound to it."""

from collections.abc import Mapping
from functools import cache, partial
from importlib.resources import files
from typing import Any

from graphql import (
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    build_schema,
)
from graphql.type import GraphQLField

from puna.errors import Invalid
from puna.market.http.graph import absent, account, catalog, hosting, hub, pods, presets
from puna.market.http.graph.asked import Asked, Field, Words
from puna.market.http.graph.bounds import check_words
from puna.market.http.graph.words import teach

_ROOMS: tuple[Mapping[str, Field], ...] = (
    account.FIELDS,
    pods.FIELDS,
    catalog.FIELDS,
    presets.FIELDS,
    hosting.FIELDS,
    hub.FIELDS,
    absent.FIELDS,
)
Resolve = GraphQLResolveInfo[Any]
_ROOTS = frozenset({"Query", "Mutation"})


class InputNeeded(Invalid):
    """A mutation was sent without its input."""

    code = "input_needed"


@cache
def the_schema() -> GraphQLSchema:
    """Return the schema; it takes some milliseconds to read, once for each process."""
    text = files("puna.market.http.graph").joinpath("schema.graphql").read_text("utf-8")
    schema = build_schema(text, no_location=True)
    for kind in schema.type_map.values():
        if isinstance(kind, GraphQLScalarType):
            teach(kind)
    for fields in _ROOMS:
        for name, does in fields.items():
            _bind(schema, name, does)
    return schema


def _bind(schema: GraphQLSchema, name: str, does: Field) -> None:
    """Let `Type.field` be answered by `does`."""
    kind_name, _, field_name = name.partition(".")
    kind = schema.type_map[kind_name]
    assert isinstance(kind, GraphQLObjectType)  # noqa: S101 - the tables name objects
    bound = kind.fields[field_name]
    if kind_name not in _ROOTS:
        bound.resolve = partial(_answer_inner, does)
    elif kind_name == "Mutation" and _takes_input(bound):
        bound.resolve = partial(_answer_with_input, does, field_name)
    else:
        bound.resolve = partial(_answer, does)


def _takes_input(bound: GraphQLField) -> bool:
    return "input" in bound.args and isinstance(bound.args["input"].type, GraphQLInputObjectType)


def _answer(does: Field, _: object, asked: Resolve, **words: Any) -> object:  # noqa: ANN401
    return does(_context(asked), _words(words))


def _answer_inner(does: Field, of: object, asked: Resolve, **words: Any) -> object:  # noqa: ANN401
    return does(of, _context(asked), _words(words))


def _answer_with_input(
    does: Field,
    name: str,
    _: object,
    asked: Resolve,
    **words: Any,  # noqa: ANN401
) -> object:
    """Clients declare some inputs as nullable, so the schema cannot ask for them."""
    if words.get("input") is None:
        raise InputNeeded(f"{name} needs an input")
    return does(_context(asked), _words(words))


def _words(sent: Mapping[str, Any]) -> Words:
    """Return what was sent: what is in `input`, or the arguments themselves."""
    check_words(sent)
    return sent.get("input") or ({} if "input" in sent else sent)


def _context(info: Resolve) -> Asked:
    asked = info.context
    assert isinstance(asked, Asked)  # noqa: S101 - put there by `answer`
    return asked
