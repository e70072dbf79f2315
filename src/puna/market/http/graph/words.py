"""Words that RunPod's clients write in more than one way: as an enum's bare word or as a string."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from graphql import (
    ConstValueNode,
    EnumValueNode,
    FloatValueNode,
    GraphQLError,
    GraphQLScalarType,
    IntValueNode,
    StringValueNode,
)

from puna.errors import Invalid
from puna.units import Span

WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "CloudTypeEnum": ("ALL", "SECURE", "COMMUNITY"),
        "ComputeType": ("GPU", "CPU"),
        "ScalerType": ("QUEUE_DELAY", "REQUEST_COUNT"),
        "FlashBootType": ("OFF", "FLASHBOOT", "PRIORITY_FLASHBOOT"),
        "TemplateCategory": ("NVIDIA", "AMD", "CPU"),
        "MachineProduct": ("PODCLOUD", "CLUSTER", "SERVERLESS"),
        "Compliance": (
            *("GDPR", "ISO_IEC_27001", "ISO_14001", "PCI_DSS", "HITRUST", "ITAR", "HIPAA"),
            *("SOC_1_TYPE_2", "SOC_2_TYPE_2", "SOC_3_TYPE_2", "FISMA_HIGH", "RENEWABLE"),
        ),
    }
)
"""The words of each scalar that takes one of a few."""

_BEGINS_WITH_A_YEAR = re.compile(r"\d{4}-")
_DAYS = re.compile(r"(\d{1,5})d")
_Read = Callable[[object], object]


def teach(scalar: GraphQLScalarType) -> None:
    """Let a scalar of the schema read and write what it stands for."""
    if scalar.name in WORDS:
        _set(scalar, _one_of(scalar.name, WORDS[scalar.name]))
    if scalar.name == "DateTime":
        _set(scalar, _moment)
        scalar.coerce_output_value = written


def written(moment: object) -> str:
    """Return a moment as RunPod writes it: to the second, in UTC."""
    if isinstance(moment, datetime):
        return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return str(moment)


def _set(scalar: GraphQLScalarType, read: _Read) -> None:
    """Both ways in are one: what stands in the text, and what the variables carry."""

    def read_literal(node: ConstValueNode) -> object:
        if isinstance(node, StringValueNode | EnumValueNode | IntValueNode | FloatValueNode):
            return read(node.value)
        raise GraphQLError(f"{scalar.name} is one word or string", node)

    scalar.coerce_input_value = read
    scalar.coerce_input_literal = read_literal


def _one_of(name: str, words: tuple[str, ...]) -> _Read:
    def read(value: object) -> str | None:
        word = str(value).upper()
        if word in words:
            return word
        if value == "":  # clients that leave nothing out send an empty string
            return None
        raise GraphQLError(f'"{value}" is no {name}: it is one of {", ".join(words)}')

    return read


def _moment(value: object) -> datetime | timedelta | None:
    text = str(value).strip()
    if not text:
        return None
    try:
        if _BEGINS_WITH_A_YEAR.match(text):
            return _aware(datetime.fromisoformat(text), text)
        if days := _DAYS.fullmatch(text):
            return timedelta(days=int(days[1]))
        return Span.parse(text).timedelta
    except (ValueError, Invalid) as error:
        raise GraphQLError(
            f'"{text}" is neither a moment such as 2026-11-24T20:00:00Z nor a span such as 90m'
        ) from error


def _aware(moment: datetime, text: str) -> datetime:
    if moment.tzinfo is None:
        raise GraphQLError(f'"{text}" has no time zone: write 2026-11-24T20:00:00Z')
    return moment
