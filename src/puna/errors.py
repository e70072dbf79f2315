"""Families of errors: what went wrong, as seen by a person, a script and an HTTP client.

The class carries the meaning; the text is for people and is never compared. A message is one line
and says what and which; the hint says what to do next. Specific errors live next to what raises
them and derive from one family here.
"""

from typing import ClassVar


class PunaError(Exception):
    """Any failure that puna can explain.

    `status` is its HTTP status, `code` a stable word for programs.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Invalid(PunaError):
    """The request itself is wrong: asking again with the same words fails again."""

    code = "invalid"
    status = 400


class Denied(PunaError):
    """The caller may not do this."""

    code = "denied"
    status = 403


class NotFound(PunaError):
    """The named thing does not exist."""

    code = "not_found"
    status = 404


class Conflict(PunaError):
    """The thing exists, in a state in which this cannot be done."""

    code = "conflict"
    status = 409


class Cancelled(PunaError):
    """The caller went away, or the work was told to stop."""

    code = "cancelled"
    status = 499


class Failed(PunaError):
    """The work was right to try and did not succeed."""

    code = "failed"


class Unsupported(PunaError):
    """This build of puna does not do that."""

    code = "unsupported"
    status = 501


class Unavailable(PunaError):
    """Not now: too busy, too full, or not started.

    Asking again later can succeed after `retry_after_s` seconds.
    """

    code = "unavailable"
    status = 503
    retry_after_s: int = 1
