"""The contract of transport: what status, when `errors`, which keys, and what is kept to itself."""

import json

import pytest

from puna.market.actions.accounts import KeyWish
from puna.market.http.graph.bounds import MOST_BYTES
from puna.market.http.graph.schema import the_schema
from puna.market.http.graphql import InvalidQuery, read_query
from tests.market.graph.conftest import RENT, WANTED, Speaking

ME = "{ myself { id email } }"
INTROSPECTION = "{ __schema { types { name } } }"


async def test_an_answer_has_no_key_for_errors(graphql: Speaking) -> None:
    reply = await graphql.reply(ME)
    assert reply.status == 200
    assert reply.json.keys() == {"data"}
    assert reply.json["data"]["myself"]["email"] == "renter@example.org"


async def test_a_key_travels_as_a_bearer_bare_or_in_the_address(graphql: Speaking) -> None:
    body = {"query": ME}
    ask = graphql.market.ask
    assert (await ask("POST", "/graphql", body, Authorization=graphql.key)).status == 200
    assert (await ask("POST", f"/graphql?api_key={graphql.key}", body)).status == 200


@pytest.mark.parametrize("key", ["", "rpa_wrong"])
async def test_without_a_good_key_the_status_is_401(graphql: Speaking, key: str) -> None:
    reply = await graphql.reply(ME, key)
    assert reply.status == 401
    assert reply.json["errors"][0]["extensions"]["code"] == "unknown_key"


async def test_a_key_that_may_read_changes_nothing(graphql: Speaking) -> None:
    key = await graphql.market.key("reader@example.org", "10", KeyWish(may_write=False))
    assert "errors" not in (await graphql.reply(ME, key)).json
    answer = (await graphql.reply(RENT, key, input=WANTED)).json
    assert answer["errors"][0]["extensions"]["code"] == "read_only_key"
    assert answer["data"] == {"podFindAndDeployOnDemand": None}


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("{ myself { id ", "Syntax Error"),
        ("{ myself { shoeSize } }", "shoeSize"),
        ("mutation { podStop(input: {}) { id } }", "podId"),
        ("query ($id: String!) { podTemplate(id: $id) { id } }", "id"),
        ("{" + " a" * 5000 + "}", "more than"),
        ("subscription { pods { id } }", "subscription"),
        ("", "Syntax Error"),
    ],
)
async def test_what_cannot_be_answered_is_an_error_with_status_200(
    graphql: Speaking, query: str, says: str
) -> None:
    error = await graphql.error(query)
    assert says in error["message"]
    assert error["extensions"]["code"] in {"invalid_query", "query_too_large"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"[1]",
        b'{"query": 1}',
        b'{"query": "{a}", "variables": [1]}',
        b'{"query": "{a}", "operationName": 3}',
        b"[" * 100_000,
        b'{"query": "\xff"}',
    ],
)
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidQuery):
        read_query(body)


async def test_a_body_beyond_measure_is_not_read(graphql: Speaking) -> None:
    error = await graphql.error("#" + "x" * MOST_BYTES)
    assert error["extensions"]["code"] == "query_too_large"


async def test_the_schema_shows_itself_to_the_operator_alone(graphql: Speaking) -> None:
    assert "introspection" in (await graphql.error(INTROSPECTION))["message"].lower()
    answer = (await graphql.reply(INTROSPECTION, graphql.market.admin_key)).json
    assert {"name": "PodFindAndDeployOnDemandInput"} in answer["data"]["__schema"]["types"]


async def test_a_query_may_ask_for_the_names_of_types(graphql: Speaking) -> None:
    assert await graphql.ask("{ myself { __typename } }") == {"myself": {"__typename": "User"}}


async def test_one_field_that_fails_costs_no_other(graphql: Speaking) -> None:
    answer = (await graphql.reply('{ myself { id } podTemplate(id: "no") { id } }')).json
    assert answer["data"]["podTemplate"] is None
    assert answer["data"]["myself"]["id"].startswith("user_")
    assert answer["errors"][0]["path"] == ["podTemplate"]


async def test_of_two_operations_the_named_one_is_done(graphql: Speaking) -> None:
    body = {"query": "query a { myself { id } } query b { countryCodes }", "operationName": "b"}
    reply = await graphql.market.ask("POST", "/graphql", body, key=graphql.key)
    assert reply.json == {"data": {"countryCodes": ["PL"]}}


async def test_what_is_sent_is_kept_as_it_is(graphql: Speaking) -> None:
    env = [{"key": "A", "value": 'é "quoted" \\ and\nmore'}]
    pod = await graphql.rent(env=env)
    found = await graphql.ask("query ($id: String) { pod(input: {podId: $id}) { env } }", id=pod)
    assert found == {"pod": {"env": [f"A={env[0]['value']}"]}}


async def test_a_zero_byte_reaches_no_database(graphql: Speaking) -> None:
    error = await graphql.error(RENT, input=WANTED | {"name": "a\0b"})
    assert error["extensions"]["code"] == "invalid_words"


async def test_half_a_character_in_an_error_is_answered(graphql: Speaking) -> None:
    error = await graphql.error(RENT, input=WANTED | {"cloudType": "\ud800"})
    assert "\ud800" in error["message"]


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_only_posts_are_answered(graphql: Speaking, method: str) -> None:
    reply = await graphql.market.ask(method, "/graphql?query={myself{id}}", key=graphql.key)
    assert reply.json["errors"][0]["extensions"]["code"] == "no_such_path"


def test_every_field_at_the_top_does_something() -> None:
    schema = the_schema()
    assert schema.query_type
    assert schema.mutation_type
    fields = {**schema.query_type.fields, **schema.mutation_type.fields}
    assert [name for name, field in fields.items() if field.resolve is None] == []


def test_a_request_of_many_megabytes_in_json_is_never_a_traceback() -> None:
    assert read_query(json.dumps({"query": "{a}", "variables": None}).encode()).variables == {}
