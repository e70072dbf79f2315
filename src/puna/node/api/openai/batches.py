"""Batches as OpenAI's clients make them, look at them and cancel them."""

from collections.abc import Mapping
from datetime import datetime

from fastapi import Request
from starlette.responses import Response

from puna.errors import Invalid
from puna.node.api.body import read_body
from puna.node.api.desk import desk_of
from puna.node.api.endpoint import Endpoint
from puna.node.api.openai.files import read_expiry, unsupported
from puna.node.api.pages import page_of, read_page
from puna.node.api.rows import owner_of
from puna.node.api.streaming import JSON
from puna.node.api.watch import KEY
from puna.node.batches.batch import Batch, BatchState, Tokens
from puna.node.batches.batches import BatchAsk
from puna.node.batches.lines import ENDPOINTS as ANSWERED
from puna.wire import openai_batches as wire

_WINDOW = "24h"
_USUAL, _MOST = 20, 100
_MOST_PAIRS, _LONGEST_NAME, _LONGEST_VALUE = 16, 64, 512


async def create(request: Request) -> Response:
    """Make a batch of a file of requests; it is computed in the background."""
    asked = await read_body(request, wire.BatchRequest)
    batch = await desk_of(request).batches.create(_ask(asked, request))
    return _reply(batch)


def _ask(asked: wire.BatchRequest, request: Request) -> BatchAsk:
    for name in ("input_file_id", "endpoint", "completion_window"):
        if not getattr(asked, name):
            raise Invalid(f"Missing required parameter: '{name}'.")
    endpoint, window = asked.endpoint or "", asked.completion_window or ""
    if endpoint not in ANSWERED:
        raise unsupported(endpoint, ANSWERED)
    if window != _WINDOW:
        raise unsupported(window, (_WINDOW,))
    expiry = asked.output_expires_after
    return BatchAsk(
        endpoint=endpoint,
        input_file=asked.input_file_id or "",
        owner=owner_of(request.scope.get(KEY)),
        metadata=_checked(asked.metadata),
        keeps=None if expiry is None else read_expiry(expiry.anchor, str(expiry.seconds)),
    )


def _checked(metadata: dict[str, str] | None) -> dict[str, str] | None:
    pairs = metadata or {}
    if len(pairs) > _MOST_PAIRS:
        raise Invalid(f"metadata has {len(pairs)} pairs, and {_MOST_PAIRS} are allowed")
    for name, value in pairs.items():
        if len(name) > _LONGEST_NAME or len(value) > _LONGEST_VALUE:
            raise Invalid(
                f"metadata: a name has up to {_LONGEST_NAME} characters, and a value up to"
                f" {_LONGEST_VALUE}"
            )
    return metadata


async def batches(request: Request) -> Response:
    """List batches, newest first."""
    wish = read_page(request, usual=_USUAL, most=_MOST)
    found = await desk_of(request).batches.all_of(owner_of(request.scope.get(KEY)))
    page = page_of(found, wish, lambda each: each.id)
    listed = wire.Batches(
        object="list",
        data=[_batch(each) for each in page.items],
        first_id=page.items[0].id if page.items else None,
        last_id=page.items[-1].id if page.items else None,
        has_more=page.has_more,
    )
    return Response(listed.to_json(), media_type=JSON)


async def batch(request: Request) -> Response:
    """Tell how far a batch is."""
    owner = owner_of(request.scope.get(KEY))
    return _reply(await desk_of(request).batches.find(_id(request), owner))


async def cancel(request: Request) -> Response:
    """Stop a batch; what is done of it can be read."""
    owner = owner_of(request.scope.get(KEY))
    return _reply(await desk_of(request).batches.cancel(_id(request), owner))


def _id(request: Request) -> str:
    return str(request.path_params["batch_id"])


def _reply(found: Batch) -> Response:
    return Response(_batch(found).to_json(), media_type=JSON)


def _batch(found: Batch) -> wire.Batch:
    at = {state.value: _seconds(found.moments, state) for state in BatchState}
    return wire.Batch(
        id=found.id,
        object="batch",
        endpoint=found.endpoint,
        model=found.model or None,
        errors=_errors(found),
        input_file_id=found.input_file,
        completion_window=_WINDOW,
        status=found.state,
        output_file_id=found.output_file or None,
        error_file_id=found.error_file or None,
        created_at=int(found.created.timestamp()),
        expires_at=int(found.expires.timestamp()),
        in_progress_at=at["in_progress"],
        finalizing_at=at["finalizing"],
        completed_at=at["completed"],
        failed_at=at["failed"],
        expired_at=at["expired"],
        cancelling_at=at["cancelling"],
        cancelled_at=at["cancelled"],
        request_counts=wire.RequestCounts(
            total=found.tally.total, completed=found.tally.completed, failed=found.tally.failed
        ),
        usage=_usage(found.tally.tokens),
        metadata=None if found.metadata is None else dict(found.metadata),
    )


def _seconds(moments: Mapping[BatchState, datetime], state: BatchState) -> int | None:
    return int(moments[state].timestamp()) if state in moments else None


def _errors(found: Batch) -> wire.BatchErrors | None:
    if not found.errors:
        return None
    listed = [
        wire.BatchError(code=each.code, line=each.line, message=each.message, param=each.param)
        for each in found.errors
    ]
    return wire.BatchErrors(object="list", data=listed)


def _usage(tokens: Tokens) -> wire.BatchUsage:
    return wire.BatchUsage(
        input_tokens=tokens.prompt,
        input_tokens_details=wire.InputDetails(cached_tokens=tokens.cached),
        output_tokens=tokens.output,
        output_tokens_details=wire.OutputDetails(reasoning_tokens=tokens.thought),
        total_tokens=tokens.prompt + tokens.output,
    )


ENDPOINTS = (
    Endpoint(
        method="POST",
        path="/v1/batches",
        call=create,
        takes=wire.BatchRequest,
        gives=wire.Batch,
    ),
    Endpoint(method="GET", path="/v1/batches", call=batches, gives=wire.Batches),
    Endpoint(method="POST", path="/v1/batches/{batch_id}/cancel", call=cancel, gives=wire.Batch),
    Endpoint(method="GET", path="/v1/batches/{batch_id}", call=batch, gives=wire.Batch),
)
