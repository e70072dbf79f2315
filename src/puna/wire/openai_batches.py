"""OpenAI's HTTP bodies about files and batches, as they travel; no logic.

Unlike other replies these write every field, as the hosted service does: its clients look for a
null.
"""

from pydantic import Field

from puna.wire.ollama import Body, Reply


class File(Reply):
    """One file."""

    id: str
    object: str
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: str
    status_details: str | None


class Files(Reply):
    """`GET /v1/files`: one page of them."""

    object: str
    data: list[File]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FileDeleted(Reply):
    """`DELETE /v1/files/{id}`."""

    id: str
    object: str
    deleted: bool


class OutputExpiry(Body):
    """How long the files that a batch makes are kept."""

    anchor: str | None = None
    seconds: int | None = Field(default=None, description="3600 to 2592000.")


class BatchRequest(Body):
    """`POST /v1/batches`."""

    input_file_id: str | None = Field(default=None, examples=["file-abc"])
    endpoint: str | None = Field(default=None, examples=["/v1/chat/completions"])
    completion_window: str | None = Field(default=None, examples=["24h"])
    metadata: dict[str, str] | None = None
    output_expires_after: OutputExpiry | None = None


class BatchError(Reply):
    """What is wrong with a line of the input."""

    code: str
    line: int | None
    message: str
    param: str | None


class BatchErrors(Reply):
    """Everything that is wrong with the input."""

    object: str
    data: list[BatchError]


class RequestCounts(Reply):
    """How far a batch is."""

    total: int
    completed: int
    failed: int


class InputDetails(Reply):
    """Tokens that were known from before."""

    cached_tokens: int


class OutputDetails(Reply):
    """Tokens that the model thought."""

    reasoning_tokens: int


class BatchUsage(Reply):
    """Tokens of a whole batch."""

    input_tokens: int
    input_tokens_details: InputDetails
    output_tokens: int
    output_tokens_details: OutputDetails
    total_tokens: int


class Batch(Reply):
    """One batch."""

    id: str
    object: str
    endpoint: str
    model: str | None
    errors: BatchErrors | None
    input_file_id: str
    completion_window: str
    status: str
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: BatchUsage
    metadata: dict[str, str] | None


class Batches(Reply):
    """`GET /v1/batches`: one page of them."""

    object: str
    data: list[Batch]
    first_id: str | None
    last_id: str | None
    has_more: bool
