"""RunPod's GraphQL API, for its Python SDK, runpodctl and what else speaks it.

The status is 200 whatever happened, but for a bad key and a market that cannot answer; `errors` is
there only where there are some, since its Python SDK takes the key itself for a failure.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    execute,
    parse,
    specified_rules,
    validate,
)
from starlette.responses import Response

from puna.errors import Invalid, PunaError
from puna.market.actions.accounts import check_may_manage
from puna.market.actions.renting import NoCapacity
from puna.market.http.auth import Renter, ThisMarket
from puna.market.http.graph.asked import Asked
from puna.market.http.graph.bounds import (
    MOST_BYTES,
    MOST_TOKENS,
    QueryTooLarge,
    check_document,
    check_text,
    check_variables,
)
from puna.market.http.graph.schema import the_schema

router = APIRouter()
_LOG = logging.getLogger("puna.market")
_MOST_ERRORS = 20
_MOST_REFUSALS = 100
_CLOSED = (*specified_rules, NoSchemaIntrospectionCustomRule)


class InvalidQuery(Invalid):
    """The body is no GraphQL request."""

    code = "invalid_query"


@dataclass(frozen=True, slots=True)
class Query:
    """A request as its body has it."""

    text: str
    variables: Mapping[str, Any]
    operation: str | None


@router.post("/graphql")
async def graphql(request: Request, market: ThisMarket, caller: Renter) -> Response:
    """Answer one GraphQL request."""
    query = read_query(await _body(request))
    asked = Asked(market, caller, request.headers.get("user-agent", ""))
    shows_itself = market.settings.introspection or caller.account.is_admin
    result = await answer(query, asked, shows_itself=shows_itself)
    body = json.dumps(_plain(result), separators=(",", ":"))  # ASCII: half a character is no UTF-8
    return Response(body, media_type="application/json")


def read_query(body: bytes) -> Query:
    """Read a body. Raises `InvalidQuery`, `QueryTooLarge`."""
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InvalidQuery("the body is not JSON", hint='send {"query": "..."}') from error
    if not isinstance(sent, dict) or not isinstance(sent.get("query"), str):
        raise InvalidQuery('the body has no "query"', hint='send {"query": "..."}')
    variables, operation = sent.get("variables") or {}, sent.get("operationName") or None
    if not isinstance(variables, dict) or not isinstance(operation, str | None):
        raise InvalidQuery('"variables" is an object and "operationName" a string')
    check_variables(variables)
    return Query(sent["query"], variables, operation)


async def answer(query: Query, asked: Asked, *, shows_itself: bool = False) -> ExecutionResult:
    """Check a query and do what it says. Raises `QueryTooLarge`."""
    schema = the_schema()
    document = _parsed(query.text)
    if isinstance(document, GraphQLError):
        return ExecutionResult(None, [document])
    check_document(document)
    rules = specified_rules if shows_itself else _CLOSED
    if wrong := validate(schema, document, rules, max_errors=_MOST_ERRORS):
        return ExecutionResult(None, wrong)
    if not _is_of_its_pod(document):
        check_may_manage(asked.caller)
    result = execute(
        schema,
        document,
        context_value=asked,
        variable_values=dict(query.variables),
        operation_name=query.operation,
        max_coercion_errors=_MOST_ERRORS,
    )
    return result if isinstance(result, ExecutionResult) else await result


def _is_of_its_pod(document: DocumentNode) -> bool:
    """Tell whether a document does only what a key may that lies in a pod."""
    operations = [
        each for each in document.definitions if isinstance(each, OperationDefinitionNode)
    ]
    fields = [each for operation in operations for each in operation.selection_set.selections]
    return all(isinstance(each, FieldNode) and each.name.value in _OF_ITS_POD for each in fields)


_OF_ITS_POD = frozenset({"podStop", "podTerminate"})


def _parsed(text: str) -> DocumentNode | GraphQLError:
    check_text(text)
    try:
        return parse(text, max_tokens=MOST_TOKENS)
    except GraphQLError as error:
        return error


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BYTES:
            raise QueryTooLarge(f"the request has more than {MOST_BYTES} bytes")
    return bytes(body)


def _plain(result: ExecutionResult) -> Mapping[str, object]:
    data = {"data": result.data}
    return data | {"errors": _errors(result.errors)} if result.errors else data


def _errors(errors: Sequence[GraphQLError]) -> list[Mapping[str, object]]:
    return [_error(each) for each in errors]


def _error(error: GraphQLError) -> Mapping[str, object]:
    """Return an error with its code; what nobody foresaw is logged and gives nothing away."""
    cause = error.original_error
    plain: dict[str, object] = {"message": error.message}
    if error.path:
        plain["path"] = list(error.path)
    if error.locations:
        plain["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
    if isinstance(cause, PunaError):
        return plain | {"extensions": _extensions(cause)}
    if cause is None or isinstance(cause, GraphQLError):
        return plain | {"extensions": {"code": InvalidQuery.code}}
    _LOG.error("internal error in GraphQL at %s", error.path, exc_info=cause)
    plain["message"] = "internal error: the market's log says more"
    return plain | {"extensions": {"code": "internal"}}


def _extensions(error: PunaError) -> Mapping[str, object]:
    found: dict[str, object] = {"code": error.code, "status": error.status}
    if error.hint:
        found["hint"] = error.hint
    if isinstance(error, NoCapacity):
        first = error.refusals[:_MOST_REFUSALS]
        found["refusals"] = [{"host": each.host, "why": str(each.why)} for each in first]
    return found
