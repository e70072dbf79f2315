from importlib.util import find_spec

import pytest

from puna.node.engine.schema_check import SchemaCheck


@pytest.fixture(scope="module")
def schemas() -> SchemaCheck:
    """Find the engine's library without importing its package."""
    package = find_spec("xllamacpp")
    assert package is not None
    assert package.submodule_search_locations
    return SchemaCheck(f"{package.submodule_search_locations[0]}/xllamacpp.abi3.so")


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}},
        {"$defs": {"n": {"properties": {"n": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"},
        {"type": "string", "pattern": "((a{1000}){1000}){1000}"},
        {"type": "array", "minItems": 100_000},
    ],
    ids=str,
)
def test_a_sound_schema_is_taken(schemas: SchemaCheck, schema: dict[str, object]) -> None:
    answer = schemas.check(schema)

    assert answer.refusal == ""
    assert answer.ignored == ()


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "nonsense"}, "Invalid type: nonsense"),
        ({"$ref": "#/nowhere"}, "Pointer '/nowhere' does not exist"),
        ({"$ref": "http://example.com/x"}, "does not fetch"),
        ({"type": "string", "pattern": "[a-"}, "unclosed character class"),
        ({"type": "array", "maxItems": 600_000}, "too big"),
        ({"type": "array", "maxItems": 99_000}, "grammar.symbols.len()"),
        ({"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, "NoExtensionBias"),
    ],
    ids=str,
)
def test_a_refusal_says_why_in_one_line(
    schemas: SchemaCheck, schema: dict[str, object], words: str
) -> None:
    refusal = schemas.check(schema).refusal

    assert words in refusal
    assert "\n" not in refusal


def test_what_is_left_out_is_said(schemas: SchemaCheck) -> None:
    schema = {"type": "array", "uniqueItems": True, "x-guidance": {"lenient": True}}

    assert schemas.check(schema).ignored == ('Unimplemented keys: ["uniqueItems"]',)
