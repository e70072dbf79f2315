"""Streams to the ports of pods, kept open from one request to the next, and counted.

A stream that has answered whole waits a while for another request, since opening one takes a way
through the tunnel and back. A pod has an end to its streams, so that one pod that is asked by ten
thousand at once takes nothing from the others.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from puna.errors import Unavailable
from puna.market.gateway.directory import Route, reach
from puna.market.gateway.flows import Inflow
from puna.market.gateway.tunnels import Stream, Tunnels
from puna.units import Span

_MOST_PER_POD = 1000
_MOST = 8000
_MOST_IDLE = _MOST_PER_POD  # or a crowd that asks at once would have its streams opened anew
_IDLE_S = 20.0
_SURELY_OPEN = Span.of(seconds=2)
"""Servers wait for another request for some seconds; within two none has given up."""


class TooBusy(Unavailable):
    """As many connections are open to the pod, or to all, as there may be."""

    code = "too_busy"
    status = 503
    retry_after_s = 1


@dataclass(frozen=True, slots=True)
class Upstream:
    """One stream to a port, and what came over it."""

    key: tuple[str, str, int]
    stream: Stream
    inflow: Inflow
    is_fresh: bool
    """Not used before."""

    @property
    def has_ended(self) -> bool:
        """Whether the pod has closed it."""
        return self.stream.writer.is_closing() or self.stream.has_ended


@dataclass(slots=True)
class _Idle:
    upstream: Upstream
    since: Span
    alarm: asyncio.TimerHandle


class Upstreams:
    """All streams of this process for HTTP."""

    def __init__(self, tunnels: Tunnels, elapsed: Callable[[], Span]) -> None:
        self._tunnels = tunnels
        self._elapsed = elapsed
        self._idle: dict[tuple[str, str, int], list[_Idle]] = {}
        self._open: Counter[str] = Counter()
        self.most_per_pod = _MOST_PER_POD

    @property
    def in_use(self) -> int:
        """How many are open and not idle."""
        return self._open.total()

    async def take(self, route: Route, port: int, *, surely_open: bool = False) -> Upstream:
        """Return a stream to a port, one that waits if there is one; `give_back` or `drop` it.

        With `surely_open` only one that has not waited for long. Raises `TooBusy`, and as `reach`.
        """
        self._count(route.pod)
        try:
            key = (route.host, route.pod, port)
            if waiting := self._pop(key, _SURELY_OPEN if surely_open else None):
                return waiting
            stream = await reach(self._tunnels, route, port)
            return Upstream(key, stream, Inflow(stream.reader), is_fresh=True)
        except BaseException:
            self._uncount(route.pod)
            raise

    async def renew(self, upstream: Upstream, route: Route) -> Upstream:
        """Return a new stream for one that turns out to have ended while it waited."""
        upstream.stream.close()
        try:
            stream = await reach(self._tunnels, route, upstream.key[2])
        except BaseException:
            self._uncount(route.pod)
            raise
        return Upstream(upstream.key, stream, Inflow(stream.reader), is_fresh=True)

    def give_back(self, upstream: Upstream) -> None:
        """Let a stream wait for another request."""
        self._uncount(upstream.key[1])
        waiting = self._idle.setdefault(upstream.key, [])
        if upstream.has_ended or upstream.inflow.held or len(waiting) >= _MOST_IDLE:
            upstream.stream.close()
            return
        used = Upstream(upstream.key, upstream.stream, upstream.inflow, is_fresh=False)
        alarm = asyncio.get_running_loop().call_later(_IDLE_S, self._forget, used)
        waiting.append(_Idle(used, self._elapsed(), alarm))

    def drop(self, upstream: Upstream) -> None:
        """End a stream."""
        self._uncount(upstream.key[1])
        upstream.stream.close()

    def close(self) -> None:
        """End all that wait."""
        for waiting in self._idle.values():
            for each in waiting:
                each.alarm.cancel()
                each.upstream.stream.close()
        self._idle.clear()

    def _pop(self, key: tuple[str, str, int], within: Span | None) -> Upstream | None:
        waiting = self._idle.get(key, [])
        while waiting:
            last = waiting[-1]
            if within is not None and self._elapsed() - last.since > within:
                return None  # the others have waited longer
            waiting.pop().alarm.cancel()
            if not last.upstream.has_ended:
                return last.upstream
            last.upstream.stream.close()
        self._idle.pop(key, None)
        return None

    def _forget(self, upstream: Upstream) -> None:
        waiting = self._idle.get(upstream.key, [])
        waiting[:] = [each for each in waiting if each.upstream is not upstream]
        if not waiting:
            self._idle.pop(upstream.key, None)
        upstream.stream.close()

    def _count(self, pod: str) -> None:
        if self._open[pod] >= self.most_per_pod or self._open.total() >= _MOST:
            raise TooBusy(f"pod {pod} has {self._open[pod]} connections open", hint="try again")
        self._open[pod] += 1

    def _uncount(self, pod: str) -> None:
        self._open[pod] -= 1
        if not self._open[pod]:
            del self._open[pod]
