"""Values that a JSON column carries: written from dataclasses, read back as the same."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import time, timedelta
from typing import Any, TypeVar

from puna.market.domain.hosts import Cloud, Machine, Tenure, Terms
from puna.market.domain.specs import PodSpec
from puna.market.domain.templates import Preset
from puna.units import Money, Size

Carried = TypeVar("Carried", Machine, Terms, PodSpec, Preset)

_READERS: Mapping[str, Any] = {
    "card_memory": Size,
    "memory": Size,
    "disk": Size,
    "price": Money,
    "least_bid": Money,
    "bid": Money,
    "ceiling": Money,
    "opens": time.fromisoformat,
    "closes": time.fromisoformat,
    "cloud": Cloud,
    "tenure": Tenure,
    "cuda": tuple,
    "cuda_versions": tuple,
    "entrypoint": tuple,
    "runtimes": tuple,
    "ports": tuple,
    "card_models": tuple,
    "countries": tuple,
    "data_centers": tuple,
    "stop_after": lambda seconds: timedelta(seconds=seconds),
    "terminate_after": lambda seconds: timedelta(seconds=seconds),
    "idle_stop": lambda seconds: timedelta(seconds=seconds),
}
"""By the name of a field, which means the same in all of them."""


def to_json(value: Machine | Terms | PodSpec | Preset) -> dict[str, object]:
    """Return what the column keeps."""
    return {name: _plain(each) for name, each in asdict(value).items()}


def from_json(kind: type[Carried], kept: Mapping[str, object]) -> Carried:
    """Return the value; fields of a newer version are left out, missing ones have their default."""
    known = {each.name for each in fields(kind)}
    given = {name: _read(name, each) for name, each in kept.items() if name in known}
    return kind(**given)


def _plain(value: object) -> object:
    if isinstance(value, time):
        return value.isoformat()
    return value.total_seconds() if isinstance(value, timedelta) else value


def _read(name: str, value: object) -> Any:  # noqa: ANN401 - as many types as fields
    return value if value is None or name not in _READERS else _READERS[name](value)
