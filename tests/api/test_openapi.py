"""The OpenAPI document, and whatever bodies fit it or nearly do: no request makes a path fail.

The bodies are made from the document's own schemas, as schemathesis makes them, and then spoiled:
a field is left out, or has a value of another type. The paths that reach other machines are left
out, since a test reaches none.
"""

import json
import random
from collections.abc import Iterator, Mapping
from typing import cast

import pytest

from tests.api.stage import Reply, Stage

Json = dict[str, object]
SEED = 20_261_124
ROUNDS = 12
"""Bodies for each path."""
AWAY = {"/api/pull", "/api/push", "/api/create"}
ODD: tuple[object, ...] = (
    None,
    "",
    "tiny",
    "\ud800",
    "x" * 5000,
    0,
    -1,
    2**63,
    1e308,
    True,
    [],
    {},
    [[]],
    [None],
    {"type": "text"},
    [{"role": "user", "content": "hi"}],
    "data:image/png;base64,AAAA",
)
NAMES = ("tiny", "tiny", "tiny", "none", "a/b/c", "")


class Maker:
    """Makes bodies from schemas, by chance that repeats."""

    def __init__(self, schemas: Mapping[str, Json], dice: random.Random) -> None:
        self._schemas = schemas
        self._dice = dice

    def body(self, schema: Json) -> object:
        """Return a value that fits, or with one field spoiled."""
        made = self._made(schema, 0)
        if isinstance(made, dict):
            if "model" in made:
                made["model"] = self._dice.choice(NAMES)
            if made and self._dice.random() < 0.5:
                made[self._dice.choice(sorted(made))] = self._dice.choice(ODD)
        return made

    def _made(self, schema: Json, depth: int) -> object:
        if "$ref" in schema:
            return self._made(self._schemas[str(schema["$ref"]).rpartition("/")[2]], depth)
        if examples := schema.get("examples"):
            return self._dice.choice(cast("list[object]", examples))
        if choices := schema.get("anyOf"):
            return self._made(self._dice.choice(cast("list[Json]", choices)), depth)
        return self._of_type(schema, depth)

    def _of_type(self, schema: Json, depth: int) -> object:
        kind = schema.get("type")
        if kind == "object" and depth < 5:
            properties = cast("dict[str, Json]", schema.get("properties", {}))
            kept = [name for name in properties if depth == 0 or self._dice.random() < 0.5]
            return {name: self._made(properties[name], depth + 1) for name in kept}
        if kind == "array" and depth < 5:
            items = cast("Json", schema.get("items", {}))
            return [self._made(items, depth + 1) for _ in range(self._dice.randrange(3))]
        plain = {"string": "hi", "integer": 3, "number": 0.5, "boolean": False, "null": None}
        return plain.get(str(kind), self._dice.choice(ODD))


def operations(document: Mapping[str, object]) -> Iterator[tuple[str, str, Json]]:
    """Yield method, path and the schema of the body, empty where there is none."""
    paths = cast("dict[str, dict[str, Json]]", document["paths"])
    for path, methods in paths.items():
        for method, about in methods.items():
            content = cast("Json", about.get("requestBody", {})).get("content", {})
            body = cast("Json", cast("Json", content).get("application/json", {}))
            yield method.upper(), path, cast("Json", body.get("schema", {}))


async def document_of(stage: Stage) -> Json:
    return dict((await stage.ask("GET", "/openapi.json")).json)


def complaint(sent: object, reply: Reply) -> str:
    """Say what is wrong with a reply; nothing if it is no failure of ours."""
    is_failure = reply.status == 500 and b"server's log" in reply.body
    return f"{sent!r:.500} was answered {reply.status} {reply.body!r:.200}" if is_failure else ""


@pytest.mark.parametrize("seed", range(SEED, SEED + 4))
async def test_no_body_makes_a_path_fail(stage: Stage, seed: int) -> None:
    document = await document_of(stage)
    schemas = cast("dict[str, dict[str, Json]]", document["components"])["schemas"]
    maker = Maker(schemas, random.Random(seed))  # noqa: S311 - chance that repeats
    complaints = []
    for method, path, schema in operations(document):
        for _ in range(ROUNDS if schema and path not in AWAY else 0):
            body = maker.body(schema)
            content = json.dumps(body).encode()
            complaints.append(complaint((path, body), await stage.ask(method, path, content)))
    assert not any(complaints), "\n".join(filter(None, complaints))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"5", b'"x"', b"\xff", b"[" * 10_000])
async def test_no_nonsense_makes_a_path_fail(stage: Stage, content: bytes) -> None:
    statuses = set()
    for method, path, schema in operations(await document_of(stage)):
        if schema:
            statuses.add((await stage.ask(method, path, content)).status)
    assert statuses == {400}


async def test_every_reference_leads_somewhere(stage: Stage) -> None:
    document = await document_of(stage)
    schemas = cast("dict[str, dict[str, Json]]", document["components"])["schemas"]
    text = json.dumps(document)
    named = {part.partition('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert named <= set(schemas)


async def test_two_dialects_keep_their_own_words(stage: Stage) -> None:
    found = {path: schema for _, path, schema in operations(await document_of(stage))}
    assert found["/api/chat"] != found["/v1/chat/completions"]


async def test_a_path_with_a_parameter_says_so(stage: Stage) -> None:
    document = await document_of(stage)
    about = cast("dict[str, dict[str, Json]]", document["paths"])["/v1/models/{model}"]["get"]
    assert "'name': 'model', 'in': 'path', 'required': True" in str(about["parameters"])
