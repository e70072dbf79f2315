"""Long work as the lines that Ollama sends: one for every step, or the last step alone."""

from collections.abc import Mapping, Sequence

from puna.errors import PunaError
from puna.node.api.ollama import shelf
from puna.node.api.reply import error_json
from puna.progress import Progress


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
        """Return the line that ends work which failed on the way."""
        return error_json(error) + b"\n"
