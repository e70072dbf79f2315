"""One path of the API, as the table that the application and its OpenAPI page are made from."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

_REST = ":path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One path and method: what it calls, takes and gives.

    A path may end in `{name:path}`, which stands for all the rest of it, slashes too.
    """

    method: str
    path: str
    call: Callable[[Request], Awaitable[Response]]
    takes: type[BaseModel] | None = None
    gives: type[BaseModel] | None = None
    streams: bool = False

    @property
    def summary(self) -> str:
        """The sentence for the OpenAPI page."""
        return (self.call.__doc__ or "").partition("\n")[0]

    @property
    def parameter(self) -> str:
        """The name of what the end of the path stands for; empty for a fixed path."""
        if not self.path.endswith(_REST):
            return ""
        return self.path.removesuffix(_REST).rpartition("{")[2]

    @property
    def prefix(self) -> str:
        """What comes before the parameter; the whole of a fixed path."""
        return self.path.partition("{")[0]
