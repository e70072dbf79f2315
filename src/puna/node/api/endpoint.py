"""One path of the API, as the table that the application and its OpenAPI page are made from."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

_PARAMETER = re.compile(r"\{(\w+)(:path)?\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One path and method: what it calls, takes and gives.

    A path may end in `{name:path}`, which stands for all the rest of it, slashes too, or have one
    `{name}`, which stands for one part of it.
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
        """The name of what a part of the path stands for; empty for a fixed path."""
        found = _PARAMETER.search(self.path)
        return found[1] if found else ""

    @property
    def prefix(self) -> str:
        """What comes before the parameter; the whole of a fixed path."""
        return self.path.partition("{")[0]

    @property
    def suffix(self) -> str:
        """What comes after the parameter."""
        return self.path.partition("}")[2]

    @property
    def route(self) -> str:
        """The path for people who count: the same for all values of its parameter."""
        return self.prefix if self._takes_rest else self.path

    @property
    def _takes_rest(self) -> bool:
        return ":path}" in self.path

    def value_in(self, path: str) -> str:
        """Return what the parameter stands for in `path`; empty if it is another path."""
        if not (path.startswith(self.prefix) and path.endswith(self.suffix)):
            return ""
        value = path[len(self.prefix) : len(path) - len(self.suffix)]
        return value if self._takes_rest or "/" not in value else ""
