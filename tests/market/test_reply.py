"""Errors in the words of each dialect: status, body, headers; and mistakes in bodies by name."""

import json
from typing import Annotated, Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from puna.errors import Conflict, Invalid, NotFound, PunaError, Unavailable
from puna.market.actions.accounts import ReadOnlyKey, UnknownKey
from puna.market.actions.renting import NoCapacity, NoSuchPod
from puna.market.domain.ledger import NotEnoughMoney
from puna.market.http.reply import InvalidBody, error_reply, invalid_body
from puna.market.http.rest_v2.pods import router as pods_router

V2, V1, GRAPHQL, OURS = "/v2/pods", "/v1/pods", "/graphql", "/agent/v1/report"


def told(error: PunaError, path: str) -> tuple[int, Any]:
    reply = error_reply(error, path)
    return reply.status_code, json.loads(bytes(reply.body))


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (Invalid("x"), 400, "Bad Request"),
        (NotEnoughMoney("x"), 402, "Payment Required"),
        (ReadOnlyKey("x"), 403, "Forbidden"),
        (NoSuchPod("x"), 404, "Not Found"),
        (Conflict("x"), 409, "Conflict"),
        (NoCapacity(()), 400, "Bad Request"),
        (Unavailable("x"), 503, "Service Unavailable"),
    ],
)
def test_version_2_has_problem_objects(error: PunaError, status: int, title: str) -> None:
    found, body = told(error, V2)
    assert found == status
    assert (body["title"], body["status"], body["detail"]) == (title, status, error.message)
    assert error_reply(error, V2).media_type == "application/problem+json"


def test_version_1_has_what_its_clients_print() -> None:
    assert told(NoSuchPod("there is no pod x"), V1) == (
        404,
        {"error": "there is no pod x", "message": "there is no pod x", "status": 404},
    )


@pytest.mark.parametrize(
    ("error", "status"), [(NoSuchPod("x"), 200), (NotEnoughMoney("x"), 200), (UnknownKey("x"), 401)]
)
def test_graphql_fails_with_200_unless_it_is_the_key(error: PunaError, status: int) -> None:
    found, body = told(error, GRAPHQL)
    assert found == status
    assert body == {"errors": [{"message": "x", "extensions": {"code": error.code}}]}


def test_ours_has_a_word_for_programs_and_what_to_do_next() -> None:
    status, body = told(NotFound("gone", hint="look again"), OURS)
    assert status == 404
    assert body == {"error": "gone", "code": "not_found", "hint": "look again"}


def test_the_words_that_clients_match_are_there() -> None:
    _, body = told(NoCapacity(()), V2)
    assert "no longer any instances available" in body["detail"]
    assert "offers were looked at" in body["hint"]


def test_headers_tell_programs_the_same() -> None:
    reply = error_reply(Unavailable("busy", hint="wait\na bit ż please"), OURS)
    assert reply.headers["Puna-Error-Code"] == "unavailable"
    assert reply.headers["Retry-After"] == "1"
    assert "\n" not in reply.headers["Puna-Hint"]
    assert error_reply(UnknownKey("x"), V2).headers["WWW-Authenticate"] == "Bearer"


class Disk(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: Annotated[int, Field(ge=10)]
    path: str


class Wanted(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    disk: Disk | None = None


def mistakes(body: object) -> InvalidBody:
    """Return what FastAPI would make of a body."""
    with pytest.raises(ValidationError) as caught:
        Wanted.model_validate(body)
    errors = [{**each, "loc": ("body", *each["loc"])} for each in caught.value.errors()]
    return invalid_body(RequestValidationError(errors))


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({}, "$: missing property 'name'"),
        ({"name": "a", "naem": 1}, "$: additional properties 'naem' not allowed"),
        ({"name": "a", "disk": {"size": 20}}, "$.disk: missing property 'path'"),
        (
            {"name": "a", "disk": {"size": 20, "path": "/x", "type": 1}},
            "$.disk: additional properties 'type' not allowed",
        ),
        (
            {"name": "a", "disk": {"size": 1, "path": "/x"}},
            "$.disk.size: minimum: got 1, want 10",
        ),
        ({"name": 5}, "$.name: got number, want string"),
    ],
)
def test_a_mistake_in_a_body_is_named_as_runpod_names_it(body: object, problem: str) -> None:
    error = mistakes(body)
    assert error.problems == (problem,)
    assert error.status == 422


def test_every_mistake_is_named_and_nothing_that_was_sent() -> None:
    status, body = told(mistakes({"name": ["s3cret"], "one": 1, "two": 2}), V2)
    assert status == 422
    assert len(body["errors"]) == 3
    assert "s3cret" not in json.dumps(body)


def test_a_dialect_is_known_by_its_path_and_not_by_its_beginning() -> None:
    assert pods_router.prefix == V2
    _, body = told(NotFound("x"), "/v2pods")
    assert "title" not in body
