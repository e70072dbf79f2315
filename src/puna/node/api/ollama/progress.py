"""Long work as the lines that Ollama sends: one for every step, or the last step alone."""

import json
from collections.abc import AsyncGenerator, Mapping, Sequence

from starlette.responses import Response

from puna.errors import PunaError
from puna.node.api.desk import Desk
from puna.node.api.ollama import shelf
from puna.node.api.reply import error_json
from puna.node.api.streaming import BARE_JSON, Flow, reply_with
from puna.progress import Progress


def progress_reply(
    desk: Desk, events: AsyncGenerator[Progress, None], *, streams: bool
) -> Response:
    """Return the reply to long work, a stream unless the client wants the last step alone."""
    flow = Flow(events, desk.answers)
    return reply_with(flow, ProgressWriter(), streams=streams, whole_type=BARE_JSON)


class ProgressWriter:
    """Writes long work: a line for every step, or the last step alone."""

    def lines(self, items: Sequence[Progress]) -> bytes:
        """Return a line for each step."""
        return b"".join(shelf.pull_progress(item).to_json() + b"\n" for item in items)

    def whole(self, items: Sequence[Progress]) -> bytes:
        """Return the last step."""
        return shelf.pull_progress(items[-1]).to_json()

    def headers(self) -> Mapping[str, str]:
        """Return no headers."""
        return {}

    def error_line(self, error: PunaError) -> bytes:
        """Return the line that ends work which failed on the way; no header can say what next."""
        if not error.hint:
            return error_json(error) + b"\n"
        return json.dumps({"error": error.message, "hint": error.hint}).encode() + b"\n"
