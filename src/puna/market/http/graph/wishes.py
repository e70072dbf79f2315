"""What RunPod's clients send to rent a pod, as a wish. Pure: the moment is an argument.

Clients that leave nothing out send empty strings and zeros, so empty means: not said. What this
market cannot give is refused by name, never dropped.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from pydantic import ValidationError

from puna.market.domain.hosts import Cloud, Tenure
from puna.market.domain.placement import Demand
from puna.market.domain.specs import PodSpec, version_of
from puna.market.http.graph.asked import Words
from puna.market.http.rest_v2.words import (
    DISK_GB,
    MEMORY_GB_A_CARD,
    PROCESSORS_A_CARD,
    InvalidWish,
    NotOffered,
    money_of,
    with_extras,
)
from puna.units import Money
from puna.wire.runpod_rest import PunaWish

SDKS_TEMPLATE = "runpod-ubuntu"
"""What the Python SDK names for every pod without a card, also where an image is given."""
_SDKS_PATH = "/runpod-volume"
"""Where the Python SDK mounts a volume if it is not told: no wish against a template's own path."""
_PROCESSORS = 2
_MEMORY_GB = 4
"""Of a pod without a card of which no size was said."""
_MOST_DOLLARS = 1_000_000
_MOST_CARDS = 64
_INSTANCE = re.compile(r"(cpu\d+[a-z]?)-(\d{1,4})-(\d{1,5})")


def check_offered(words: Words) -> None:
    """Raise `NotOffered` for the first thing asked for that this market does not have."""
    lacking = next(_lacking(words), None)
    if lacking:
        raise NotOffered(f"this market has no {lacking}")


def spec_of(words: Words, start: PodSpec, now: datetime) -> PodSpec:
    """Return what a pod is to be: what was said, and else what `start` has (a template).

    Raises `InvalidWish`, `NotOffered`.
    """
    check_offered(words)
    spec = replace(
        start,
        image=_text(words, "imageName") or start.image,
        args=_text(words, "dockerArgs") or start.args,
        env={**start.env, **env_of(words)},
        ports=ports_of(words) or start.ports,
        disk_gb=words.get("containerDiskInGb") or start.disk_gb,
        volume_gb=words.get("volumeInGb") or start.volume_gb,
        volume_path=_volume_path(words, start),
        starts_ssh=bool(words.get("startSsh") or start.starts_ssh),
        starts_jupyter=bool(words.get("startJupyter") or start.starts_jupyter),
    )
    spec = _sized(words, _placed(words, spec))
    if words.get("puna"):
        spec = with_extras(spec, extras_of(words))
    spec = replace(
        spec,
        stop_after=_after(words, "stopAfter", now) or spec.stop_after,
        terminate_after=_after(words, "terminateAfter", now) or spec.terminate_after,
    )
    return _paid(words, spec)


def bare(image: str = "") -> PodSpec:
    """Return what a pod is of which nothing was said."""
    return PodSpec(image=image, disk_gb=DISK_GB)


def demand_of(words: Words, card: str) -> Demand:
    """Return what a question for the lowest price asks for."""
    spec = PodSpec(
        image="any",
        cards=words.get("gpuCount") or 1,
        card_models=(card,),
        processors=words.get("minVcpuCount") or 1,
        memory_gb=words.get("minMemoryInGb") or 1,
        disk_gb=words.get("totalDisk") or words.get("minDisk") or 1,
    )
    spec = _placed(words, spec)
    if (secure := words.get("secureCloud")) is not None:
        spec = replace(spec, cloud=Cloud.SECURE if secure else Cloud.COMMUNITY)
    return spec.demand()


def env_of(words: Words) -> Mapping[str, str]:
    """Return variables from a list of keys and values."""
    pairs = words.get("env") or ()
    return {each.get("key") or "": each.get("value") or "" for each in pairs if each}


def ports_of(words: Words) -> tuple[str, ...]:
    """Return ports from a list in a text: `8888/http, 22/tcp`."""
    named = [part.strip() for part in _text(words, "ports").split(",")]
    if words.get("port"):
        named.append(f"{words['port']}/http")
    return tuple(dict.fromkeys(part for part in named if part))


def price_of(dollars: float) -> Money:
    """Return dollars of RunPod's wire, a float there. Raises `InvalidWish`."""
    if not 0 < dollars <= _MOST_DOLLARS:
        raise InvalidWish(f"{dollars} dollars an hour are no price")
    return money_of(dollars)


def extras_of(words: Words) -> PunaWish:
    """Return what was asked for in `puna`, which only this market knows. Raises `InvalidWish`."""
    try:
        return PunaWish.model_validate(words.get("puna") or {})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(["puna", *(str(part) for part in first["loc"])])
        raise InvalidWish(f"{place}: {first['msg'].lower()}") from error


def _lacking(words: Words) -> Iterator[str]:
    if words.get("networkVolumeId") or words.get("volumeMounts"):
        yield "network volumes; ask for a volume of the pod's own with volumeInGb"
    if words.get("globalNetwork"):
        yield "global networking"
    if words.get("compliance"):
        yield "compliance that anybody vouches for"
    if words.get("aiApiId") or words.get("ideAiApiId"):
        yield "serverless endpoints, whose workers are pods"
    if words.get("modelReferences"):
        yield "cache of models; let the pod pull its model"
    if words.get("savingsPlan"):
        yield "savings plans"
    if words.get("volumeKey"):
        yield "encrypted volumes"


def _placed(words: Words, spec: PodSpec) -> PodSpec:
    """Return the spec with where it may go."""
    cloud = words.get("cloudType")
    oldest = _text(words, "minCudaVersion") or _text(words, "cudaVersion")
    versions = ",".join(each or "" for each in words.get("allowedCudaVersions") or ())
    return replace(
        spec,
        cloud=Cloud(cloud) if cloud in set(Cloud) else None,
        countries=_list(words.get("countryCode")),
        data_centers=tuple(dict.fromkeys((*_list(words.get("dataCenterId")), *_named(words)))),
        cuda=_version(oldest) if oldest else (0, 0),
        cuda_versions=_list(versions) or spec.cuda_versions,
        down_mbps=words.get("minDownload") or 0,
        up_mbps=words.get("minUpload") or 0,
        needs_public_ip=bool(words.get("supportPublicIp")),
    )


def _sized(words: Words, spec: PodSpec) -> PodSpec:
    """Return the spec with cards, processors and memory."""
    instance = _text(words, "instanceId") or next(iter(words.get("instanceIds") or ()), "")
    least_processors = words.get("minVcpuCount") or 0
    least_memory = words.get("minMemoryInGb") or 0
    is_gpu = words.get("computeType") != "CPU" and not instance and _names_cards(words)
    if is_gpu:
        cards = words.get("gpuCount") or 1
        listed = [words.get("gpuTypeId") or "", *(words.get("gpuTypeIdList") or ())]
        if len(listed) > _MOST_CARDS:
            raise InvalidWish(f"more than {_MOST_CARDS} cards to choose from")
        return replace(
            spec,
            cards=cards,
            card_models=tuple(dict.fromkeys(each for each in listed if each)),
            in_order=bool(words.get("gpuTypeIdList")),
            processors=max(least_processors, PROCESSORS_A_CARD * cards),
            memory_gb=max(least_memory, MEMORY_GB_A_CARD * cards),
        )
    processors, memory = instance_of(instance) if instance else (0, 0)
    return replace(
        spec,
        processors=max(least_processors, processors) or _PROCESSORS,
        memory_gb=max(least_memory, memory) or _MEMORY_GB,
    )


def _named(words: Words) -> Iterator[str]:
    """Yield the data centres of a list."""
    return (each for each in words.get("dataCenterIds") or () if each)


def _names_cards(words: Words) -> bool:
    return bool(words.get("gpuTypeId") or words.get("gpuTypeIdList") or words.get("gpuCount"))


def _paid(words: Words, spec: PodSpec) -> PodSpec:
    """Return the spec with its bid or its ceiling, for one card (or processor) and hour."""
    units = spec.cards or spec.processors
    if ceiling := words.get("deployCost"):
        spec = replace(spec, ceiling=Money(price_of(ceiling) // units))
    if bid := words.get("bidPerGpu"):
        spec = replace(spec, tenure=Tenure.SPOT, bid=price_of(bid))
    return spec


def _volume_path(words: Words, start: PodSpec) -> str:
    said = _text(words, "volumeMountPath")
    if said == _SDKS_PATH and start.volume_gb:
        return start.volume_path
    return said or start.volume_path


def _after(words: Words, name: str, now: datetime) -> timedelta | None:
    """Return after how long, where a moment or a span was said."""
    said = words.get(name)
    span = said - now if isinstance(said, datetime) else said
    if span is None:
        return None
    if span <= timedelta(0):
        raise InvalidWish(f"{name} is in the past")
    return span


def instance_of(instance: str) -> tuple[int, int]:
    """Return processors and gigabytes of `cpu3c-2-4`."""
    parts = _INSTANCE.fullmatch(instance)
    if parts is None:
        raise InvalidWish(
            f'"{instance}" is no instance', hint="write it like cpu3c-2-4: 2 processors, 4 GB"
        )
    return int(parts[2]), int(parts[3])


def _version(text: str) -> tuple[int, int]:
    version = version_of(text)
    if version is None:
        raise InvalidWish(f'"{text}" is no version of CUDA', hint="write it like 12.8")
    return version


def _text(words: Words, name: str) -> str:
    return (words.get(name) or "").strip()


def _list(said: str | None) -> tuple[str, ...]:
    return tuple(each.strip() for each in (said or "").split(",") if each.strip())
