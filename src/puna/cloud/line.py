"""The line to a cloud: requests that are asked again where that is safe, errors in one line.

Reading is repeated when nothing answers or the far side is busy, and so is removing, which twice is
the same as once. What makes or starts something is sent once: nobody pays for two pods because an
answer was lost. Being told to come later (429) has done nothing, so that is always waited for.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import urlencode

from puna.errors import Failed
from puna.net import Answer, Caller, Unreachable
from puna.node.replies import Fields
from puna.text import one_line
from puna.units import Span
from puna.world import RealWorld, wait_until

_PATIENCE_S = 60.0
_TRIES = 3
_PAUSE = Span.of(ms=300)
_LONGEST_PAUSE_S = 60
_SPREAD = 1000
_SAFE = frozenset({"GET", "PUT", "DELETE"})
_PASSING = frozenset(
    {
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


class CloudRefused(Failed):
    """The cloud answered that it will not, or cannot; `reply_status` is its HTTP status."""

    code = "cloud_refused"

    def __init__(self, message: str, *, reply_status: int, word: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reply_status = reply_status
        self.word = word
        """The stable word of puna's errors; empty from others."""

    @property
    def is_not_found(self) -> bool:
        """Whether the thing that was asked for does not exist."""
        return self.reply_status == HTTPStatus.NOT_FOUND


class NotACloud(Failed):
    """Something answers at the address, and it does not speak RunPod's version 2."""

    code = "not_a_cloud"


def pause(span: Span) -> None:
    """Wait, blocking: as long as was asked for, and up to half as long again."""
    longer = spread(span, RealWorld().seed())
    wait_until(lambda: False, limit=longer, step=Span(min(span, _PAUSE)))


def spread(span: Span, dice: int) -> Span:
    """Return a pause that chance makes longer by up to a half.

    Many who were cut off at one moment must not come back at one moment; and none of them comes
    sooner than it was told to.
    """
    return Span(span + span * (dice % _SPREAD) // (2 * _SPREAD))


class CloudLine:
    """Blocking requests to one cloud. All raise `Unreachable`, `CloudRefused` or `NotACloud`."""

    def __init__(self, caller: Caller, wait: Callable[[Span], None] = pause) -> None:
        self._caller, self._wait = caller, wait

    @property
    def url(self) -> str:
        """The cloud's address as a person writes it."""
        return self._caller.url

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        query: Mapping[str, object] | None = None,
    ) -> Fields:
        """Send a request and return the object of the reply, empty where there is none."""
        encoded = None if body is None else json.dumps(body).encode()
        target = path + _query(query)
        for tries_left in reversed(range(_TRIES)):
            try:
                with self._caller.request(method, target, encoded, timeout_s=_PATIENCE_S) as answer:
                    content = answer.read()
            except Unreachable:
                if method not in _SAFE or not tries_left:
                    raise
                self._wait(_PAUSE)
                continue
            if not tries_left or not _may_pass(method, answer):
                break
            self._wait(_pause_in(answer))
        return self._read(answer, content)

    def rest(self, span: Span) -> None:
        """Wait before something is asked again."""
        self._wait(span)

    def events(
        self, path: str, query: Mapping[str, object], *, idle_s: float | None, last: str = ""
    ) -> Iterator[tuple[str, Fields]]:
        """Yield id and object of each event of a stream, until it ends or is idle for so long."""
        since = {"since": last} if last else {}
        answer = self._caller.request("GET", path + _query({**query, **since}), timeout_s=idle_s)
        with answer:
            if answer.status >= HTTPStatus.BAD_REQUEST:
                self._read(answer, answer.read())
            number = ""
            for line in _until_idle(answer) if idle_s else answer.lines():
                name, _, value = line.decode(errors="replace").rstrip("\r\n").partition(":")
                if name == "id":
                    number = value.strip()
                elif name == "data":
                    yield number, self._parse(value.encode())

    def _read(self, answer: Answer, content: bytes) -> Fields:
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise self._refusal(answer, content)
        return self._parse(content) if content.strip() else Fields({})

    def _parse(self, content: bytes) -> Fields:
        try:
            value = json.loads(content)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise NotACloud(
                f"what answers at {self.url} does not speak RunPod's API, version 2",
                hint="give the address of a puna market, or runpod",
            )
        return Fields(value)

    def _refusal(self, answer: Answer, content: bytes) -> CloudRefused:
        try:
            fields = Fields(json.loads(content))
        except (ValueError, RecursionError):
            fields = Fields({})
        what = fields.text("detail") or fields.text("error") or fields.text("title")
        each = "; ".join(text for text in fields.texts("errors") if text not in what)
        told = "; ".join(part for part in (what, each) if part)
        return CloudRefused(
            one_line(told or f"{self.url} answered with HTTP status {answer.status}", 1000),
            reply_status=answer.status,
            word=fields.text("code"),
            hint=one_line(fields.text("hint"), 1000) or _hint_of(answer.status),
        )


def _until_idle(answer: Answer) -> Iterator[bytes]:
    """Yield lines until nothing has come for as long as the request said."""
    with suppress(Unreachable):
        yield from answer.lines()


def _may_pass(method: str, answer: Answer) -> bool:
    """Tell whether asking again may succeed and can do no harm."""
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return True
    return method in _SAFE and answer.status in _PASSING


def _pause_in(answer: Answer) -> Span:
    told = answer.headers.get("retry-after", "")
    return Span.of(seconds=min(int(told[:4]), _LONGEST_PAUSE_S)) if told.isdecimal() else _PAUSE


def _hint_of(status: int) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return "log in with: puna cloud login ADDRESS"
    return ""


def _query(values: Mapping[str, object] | None) -> str:
    given = {name: value for name, value in (values or {}).items() if value not in (None, "")}
    words = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in given.items()
    }
    return f"?{urlencode(words)}" if words else ""
