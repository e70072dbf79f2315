"""Which objects of a schema hold only the properties that are listed."""

import pytest

from puna.chat.messages import Json
from puna.node.engine.closed_schemas import close_objects

CLOSED: dict[str, Json] = {"additionalProperties": False}
A: dict[str, Json] = {"properties": {"a": {"type": "string"}}}
B: dict[str, Json] = {"properties": {"b": {"type": "string"}}}
CLOSED_A: dict[str, Json] = {**A, **CLOSED}
KEY: dict[str, Json] = {"properties": {"properties": {"type": "string"}}}
REFERENCE: dict[str, Json] = {"$ref": "#/$defs/A"}


@pytest.mark.parametrize(
    ("schema", "closed"),
    [
        (A, CLOSED_A),
        ({**A, "required": ["a"]}, {**CLOSED_A, "required": ["a"]}),
        ({"type": "array", "items": A}, {"type": "array", "items": CLOSED_A}),
        ({"properties": {"x": A}}, {"properties": {"x": CLOSED_A}, **CLOSED}),
        (KEY, {**KEY, **CLOSED}),
        ({"anyOf": [A, {"type": "null"}]}, {"anyOf": [CLOSED_A, {"type": "null"}]}),
        ({"allOf": [A]}, {"allOf": [CLOSED_A]}),
        ({"$defs": {"A": A}, **REFERENCE}, {"$defs": {"A": CLOSED_A}, **REFERENCE}),
        ({"additionalProperties": A}, {"additionalProperties": CLOSED_A}),
        ({"prefixItems": [A], "items": False}, {"prefixItems": [CLOSED_A], "items": False}),
    ],
)  # fmt: skip
def test_an_object_holds_only_what_is_listed(
    schema: dict[str, Json], closed: dict[str, Json]
) -> None:
    assert close_objects(schema) == closed


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {}},
        {**A, "additionalProperties": True},
        {**A, "additionalProperties": {"type": "integer"}},
        {**A, "unevaluatedProperties": False},
        {**A, "patternProperties": {"^x": {"type": "integer"}}},
        {"allOf": [A, B]},
        {**A, "anyOf": [B, {"required": ["c"]}]},
        {**A, "$ref": "#/$defs/B", "$defs": {"B": B}},
        {"allOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}], "$defs": {"A": A, "B": B}},
        {
            "allOf": [{"$ref": "#/$defs/a~1b"}, B],
            "$defs": {"a/b": {"$ref": "#/$defs/A"}, "A": A},
        },
        {"anyOf": [{"anyOf": [A]}], "oneOf": [B]},
        {"not": A},
        {"enum": [A], "const": A, "default": A, "examples": [A]},
        {**A, "if": B, "then": {"properties": {"c": True}}},
    ],
)
def test_what_other_parts_add_to_or_what_is_left_open_stays_open(
    schema: dict[str, Json],
) -> None:
    assert close_objects(schema) == schema


def test_only_the_definitions_that_are_added_to_stay_open() -> None:
    schema: dict[str, Json] = {
        "properties": {"one": {"$ref": "#/$defs/A"}},
        "allOf": [{"$ref": "#/$defs/B"}],
        "$defs": {"A": A, "B": B},
    }
    assert close_objects(schema) == {**schema, "$defs": {"A": CLOSED_A, "B": B}}


def test_a_monster_of_references_takes_no_time_and_stays_as_it_is() -> None:
    chain: dict[str, Json] = {
        str(number): {"$ref": f"#/$defs/{number - 1}"} for number in range(1, 1000)
    }
    schema: dict[str, Json] = {"allOf": [A, {"$ref": "#/$defs/999"}], "$defs": {"0": B, **chain}}
    assert close_objects(schema) == schema


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": [1]},
        {"allOf": 5, "anyOf": "x", "items": None, "$ref": 7},
        {"properties": {"a": True, "b": 5}, "$defs": []},
    ],
)
def test_nonsense_is_for_the_engine_to_refuse(schema: dict[str, Json]) -> None:
    assert {**close_objects(schema), **schema} == {**schema, **close_objects(schema)}
