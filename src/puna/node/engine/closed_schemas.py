"""Objects in an answer have the properties that their schema lists, and no others.

JSON Schema lets an object have any further property unless the schema says otherwise, and so does
llguidance. llama.cpp's own grammars, which Ollama's clients are used to, do not: schemas are
written without `additionalProperties` (pydantic never writes it), and a small model that may add
properties adds them until its tokens end. So every object is closed that does not say whether it
is, and to which no other part of the schema adds properties. Pure.
"""

from collections.abc import Mapping

from puna.chat.messages import Json

_SAY_SO = frozenset({"additionalProperties", "unevaluatedProperties", "patternProperties"})
_CHOICES = ("allOf", "anyOf", "oneOf")
_ADD = frozenset({*_CHOICES, "$ref", "$dynamicRef", "if", "dependentSchemas", "dependencies"})
"""Beside `properties`, these can ask for properties that are not in it."""
_ROUNDS = 8
"""That a definition is added to shows only once all of the schema has been seen, and that another
is added to through it only in the next round. Schemas in use take two."""
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_NESTED = frozenset({"items", "prefixItems", "additionalItems", "additionalProperties"})


def close_objects(schema: Mapping[str, Json]) -> dict[str, Json]:
    """Return the schema with its objects closed. Its depth is bounded by the caller."""
    rules = _Closing()
    for _ in range(_ROUNDS):
        known = len(rules.open_places)
        closed = rules.close(schema, "#")
        if len(rules.open_places) == known:
            return closed
    return dict(schema)


class _Closing:
    """One schema. `open_places` are the definitions that other parts add properties to."""

    def __init__(self) -> None:
        self.open_places: set[str] = set()

    def close(
        self, schema: Mapping[str, Json], place: str, *, is_part: bool = False
    ) -> dict[str, Json]:
        """Close what is at a place; as a part, its objects are one with those of other parts."""
        is_part = is_part or place in self.open_places
        listed = schema.get("properties")
        sources = len(_ADD & schema.keys()) + bool(listed)
        is_joined = is_part or sources > 1 or _count(schema.get("allOf")) > 1
        target = schema.get("$ref")
        if is_joined and isinstance(target, str):
            self.open_places.add(target)
        result = {
            key: self._close_below(key, value, f"{place}/{_escaped(key)}", is_joined=is_joined)
            for key, value in schema.items()
        }
        if isinstance(listed, Mapping) and listed and not is_joined and not _SAY_SO & schema.keys():
            result["additionalProperties"] = False
        return result

    def _close_below(self, key: str, value: Json, place: str, *, is_joined: bool) -> Json:
        if key in _NAMED and isinstance(value, Mapping):
            return {
                name: self._close_any(each, f"{place}/{_escaped(name)}")
                for name, each in value.items()
            }
        is_part = is_joined and key in _CHOICES
        if key not in _NESTED and key not in _CHOICES:
            return value
        if isinstance(value, list):
            return [
                self._close_any(each, f"{place}/{number}", is_part=is_part)
                for number, each in enumerate(value)
            ]
        return self._close_any(value, place, is_part=is_part)

    def _close_any(self, value: Json, place: str, *, is_part: bool = False) -> Json:
        return self.close(value, place, is_part=is_part) if isinstance(value, Mapping) else value


def _count(value: Json) -> int:
    return len(value) if isinstance(value, list) else 0


def _escaped(name: str) -> str:
    """Return a name as the part of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")
