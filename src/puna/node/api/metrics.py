"""Numbers about a node in Prometheus' text format.

Written by hand: a client library would cost more to import than the forty lines that the format
needs. Label values come from tables of the node and from names of models, never from requests.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from puna.node.node import Node
from puna.node.usage import Usage

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_VERBS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_SPEEDS = (1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)
_MOST_MODELS = 100


@dataclass(frozen=True, slots=True)
class Counted:
    """One request that is over."""

    method: str
    route: str
    status: int
    note: Usage

    @property
    def verb(self) -> str:
        """The method, if it is one that there is."""
        return self.method if self.method in _VERBS else "OTHER"


@dataclass(slots=True)
class Histogram:
    """How many values were at most each of `bounds`."""

    bounds: Sequence[float]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts = self.counts or [0] * (len(self.bounds) + 1)
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def lines(self, name: str) -> Iterator[str]:
        """Yield the samples."""
        below = 0
        counts = self.counts or [0] * (len(self.bounds) + 1)
        for bound, count in zip((*map(str, self.bounds), "+Inf"), counts, strict=True):
            below += count
            yield f'{name}_bucket{{le="{bound}"}} {below}'
        yield f"{name}_sum {self.total}"
        yield f"{name}_count {below}"


class Metrics:
    """What a node has counted since it started."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._tokens: Counter[tuple[str, str]] = Counter()
        self._cuts = 0
        self._first = Histogram(_SECONDS)
        self._speed = Histogram(_SPEEDS)

    def count(self, done: Counted) -> None:
        """Count a request that is over."""
        note = done.note
        self._requests[done.verb, done.route, done.status] += 1
        self._cuts += note.cuts
        if note.first_token is not None:
            self._first.add(note.first_token / 1e9)
        if note.output_span and note.output_tokens:
            self._speed.add(note.output_tokens / (note.output_span / 1e9))
        if note.model:
            known = {model for model, _ in self._tokens}
            model = note.model if note.model in known or len(known) < _MOST_MODELS else "(other)"
            self._tokens[model, "prompt"] += note.prompt_tokens
            self._tokens[model, "output"] += note.output_tokens

    def text(self, node: Node) -> str:
        """Return all numbers as Prometheus reads them."""
        return "\n".join([*self._counters(), *_gauges(node)]) + "\n"

    def _counters(self) -> Iterator[str]:
        name = "puna_requests_total"
        yield from head(name, "counter", "Requests, by method, route and status.")
        for (method, route, status), count in sorted(self._requests.items()):
            labels = {"method": method, "route": route, "status": str(status)}
            yield sample(name, count, labels)
        name = "puna_tokens_total"
        yield from head(name, "counter", "Tokens of prompts and of answers, by model.")
        for (model, kind), count in sorted(self._tokens.items()):
            yield sample(name, count, {"model": model, "kind": kind})
        name = "puna_truncated_prompts_total"
        yield from head(name, "counter", "Prompts of which something was cut.")
        yield sample(name, self._cuts)
        name = "puna_first_token_seconds"
        yield from head(name, "histogram", "Time to the first token, with load.")
        yield from self._first.lines(name)
        name = "puna_output_tokens_per_second"
        yield from head(name, "histogram", "Speed of an answer.")
        yield from self._speed.lines(name)


def _gauges(node: Node) -> Iterator[str]:
    yield from head("puna_waiting_requests", "gauge", "Requests that wait for a model.")
    yield sample("puna_waiting_requests", node.waiting)
    running = node.running()
    yield from head("puna_loaded_models", "gauge", "Models in memory.")
    yield sample("puna_loaded_models", len(running))
    name = "puna_model_memory_bytes"
    yield from head(name, "gauge", "Memory of each model in memory.")
    sizes: Counter[str] = Counter()
    for each, _ in running:
        sizes[each.label] += each.facts.memory if each.facts else each.spec.memory
    for model, size in sorted(sizes.items()):
        yield sample(name, size, {"model": model})
    name = "puna_engine_deaths_total"
    yield from head(name, "counter", "Engines that ended by themselves.")
    yield sample(name, node.engine_deaths)


def head(name: str, kind: str, meaning: str) -> Iterator[str]:
    """Yield what stands before the samples of a number."""
    yield f"# HELP {name} {meaning}"
    yield f"# TYPE {name} {kind}"


def sample(name: str, value: float, labels: Mapping[str, str] | None = None) -> str:
    """Return one sample."""
    if not labels:
        return f"{name} {value}"
    pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{pairs}}} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
