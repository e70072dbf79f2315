"""Version 1 of RunPod's REST as this market's values, and back. Pure.

Arguments are a list there and one command string here, so they are quoted and taken apart again.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from puna.market.actions.editing import PodChange
from puna.market.actions.renting import Wish
from puna.market.db.templates import Template
from puna.market.domain.cards import FLAVOURS, name_of
from puna.market.domain.commands import words_of
from puna.market.domain.hosts import Cloud, Tenure
from puna.market.domain.specs import PodSpec, version_of
from puna.market.domain.templates import Preset, TemplateWish
from puna.market.http.money import dollars
from puna.market.http.pods import PodFacts
from puna.market.http.rest_v2.words import (
    InvalidWish,
    NoSuchVolume,
    NotOffered,
    WrongKind,
    flavour_of,
    money_of,
    puna_told,
    up,
    with_extras,
)
from puna.wire.runpod_rest import PunaWish
from puna.wire.runpod_v1 import (
    ContainerV1,
    CreatePodV1,
    CreateTemplateV1,
    GpuV1,
    PodV1,
    TemplateV1,
    UpdatePodV1,
    UpdateTemplateV1,
)

DISK_GB, VOLUME_GB = 50, 20
PORTS = ("8888/http", "22/tcp")
_GB = 10**9


def wish_of(body: CreatePodV1, template: Template | None) -> Wish:
    """Return what is asked for. A spot pod without a bid has none yet.

    Raises `InvalidWish`, `WrongKind`, `NoSuchVolume`, `NotOffered`.
    """
    _check_offered(body)
    if template is not None and template.preset.is_serverless:
        raise WrongKind(f'"{template.name}" is a template for serverless endpoints, not for pods')
    if not body.image_name and template is None:
        raise InvalidWish("a pod needs an imageName or a templateId")
    start = _bare().to_spec() if template is None else template.preset.to_spec()
    spec = _contained(body, start)
    spec = _with_cards(spec, body) if body.compute_type == "GPU" else _with_processors(spec, body)
    extras = body.puna or PunaWish()
    registry = body.container_registry_auth_id or (template.registry if template else None)
    return Wish(
        name=body.name,
        spec=_spot(body, with_extras(_placed(spec, body), extras)),
        project=extras.project,
        template=template.id if template else None,
        registry=registry or None,
        budget=None if extras.budget is None else money_of(extras.budget),
    )


def _check_offered(body: CreatePodV1) -> None:
    if body.network_volume_id:
        raise NoSuchVolume(
            f"there is no network volume {body.network_volume_id}: this market has none",
            hint="ask for volumeInGb, a volume of the pod's own",
        )
    if body.global_networking:
        raise NotOffered("this market has no global networking; leave 'globalNetworking' out")


def _bare() -> Preset:
    return Preset(image="", ports=PORTS, disk_gb=DISK_GB, volume_gb=VOLUME_GB)


def _contained(body: ContainerV1, start: PodSpec) -> PodSpec:
    ports = start.ports if body.ports is None else tuple(body.ports)
    return replace(
        start,
        image=body.image_name or start.image,
        args=arguments_of(body, start.args),
        entrypoint=tuple(body.docker_entrypoint or start.entrypoint),
        env={**start.env, **(body.env or {})},
        ports=ports,
        disk_gb=body.container_disk_in_gb or start.disk_gb,
        volume_gb=start.volume_gb if body.volume_in_gb is None else body.volume_in_gb,
        volume_path=body.volume_mount_path or start.volume_path,
        starts_ssh=start.starts_ssh or "22/tcp" in ports,
    )


def arguments_of(body: ContainerV1, before: str) -> str:
    """Return the command as one string: a list is quoted, `dockerArgs` is one already."""
    if body.docker_start_cmd:
        return shlex.join(body.docker_start_cmd)
    return body.docker_args or before


def _with_cards(spec: PodSpec, body: CreatePodV1) -> PodSpec:
    count = body.gpu_count
    return replace(
        spec,
        cards=count,
        card_models=tuple(dict.fromkeys(body.gpu_type_ids)),
        in_order=body.gpu_type_priority == "custom",
        processors=max(1, body.min_vcpu_per_gpu * count),
        memory_gb=max(1, body.min_ram_per_gpu * count),
        cuda=version_of(body.min_cuda_version or "0.0") or (0, 0),
        cuda_versions=tuple(body.allowed_cuda_versions) or spec.cuda_versions,
    )


def _with_processors(spec: PodSpec, body: CreatePodV1) -> PodSpec:
    """Return a pod without a card. Its kinds say how much memory; the first or the least will do.

    It has no volume of its own, as with RunPod.
    """
    if wrong := next((each for each in body.cpu_flavor_ids if each not in FLAVOURS), None):
        raise InvalidWish(f'there is no cpu "{wrong}"; there are {", ".join(FLAVOURS)}')
    each = [FLAVOURS[named].gb_per_processor for named in body.cpu_flavor_ids] or [2]
    per_processor = each[0] if body.cpu_flavor_priority == "custom" else min(each)
    memory = per_processor * body.vcpu_count
    return replace(spec, processors=body.vcpu_count, memory_gb=memory, volume_gb=0)


def _placed(spec: PodSpec, body: CreatePodV1) -> PodSpec:
    return replace(
        spec,
        cloud=Cloud(body.cloud_type),
        data_centers=tuple(body.data_center_ids),
        countries=tuple(code.upper() for code in body.country_codes),
        needs_public_ip=body.support_public_ip,
        down_mbps=up(body.min_download_mbps),
        up_mbps=up(body.min_upload_mbps),
        disk_mbps=up(body.min_disk_bandwidth_mbps),
    )


def _spot(body: CreatePodV1, spec: PodSpec) -> PodSpec:
    return replace(spec, tenure=Tenure.SPOT) if body.interruptible else spec


def change_of(body: UpdatePodV1) -> PodChange:
    """Return what is to be changed; null and what is left out stay. Raises `NotOffered`."""
    if body.global_networking:
        raise NotOffered("this market has no global networking; leave 'globalNetworking' out")
    has_command = body.docker_start_cmd is not None or body.docker_args is not None
    entrypoint = body.docker_entrypoint
    return PodChange(
        name=body.name,
        is_locked=body.locked,
        image=body.image_name or None,
        args=arguments_of(body, "") if has_command else None,
        entrypoint=None if entrypoint is None else tuple(entrypoint),
        env=body.env,
        ports=None if body.ports is None else tuple(body.ports),
        access=body.puna.access if body.puna else None,
        disk_gb=body.container_disk_in_gb or None,
        volume_gb=body.volume_in_gb,
        volume_path=body.volume_mount_path,
        registry=body.container_registry_auth_id,
    )


def pod_v1(facts: PodFacts, *, shows_machine: bool = False) -> PodV1:
    """Return a pod in the words of version 1."""
    pod, spec = facts.pod, facts.pod.spec
    mappings = {
        str(port.inside): port.outside for port in facts.open_ports if port.outside is not None
    }
    return PodV1(
        id=pod.id,
        name=pod.name,
        desired_status=facts.intent,
        last_status_change=facts.last_change,
        last_started_at=pod.started,
        created_at=pod.created,
        uptime_seconds=facts.uptime_s,
        image=spec.image,
        image_name=spec.image,
        interruptible=facts.is_spot,
        locked=pod.state.is_locked,
        cost_per_hr=dollars(facts.rate),
        adjusted_cost_per_hr=dollars(facts.an_hour),
        consumer_user_id=pod.account,
        gpu=_cards(facts),
        gpu_type_id=facts.card,
        gpu_count=spec.cards,
        cpu_flavor_id="" if spec.cards else flavour_of(spec),
        vcpu_count=spec.processors,
        memory_in_gb=spec.memory_gb,
        container_disk_in_gb=spec.disk_gb,
        volume_in_gb=spec.volume_gb,
        volume_mount_path=spec.volume_path,
        container_registry_auth_id=pod.registry or "",
        template_id=pod.template or "",
        docker_entrypoint=list(spec.entrypoint),
        docker_start_cmd=words_of(spec.args),
        env=dict(spec.env),
        ports=list(spec.ports),
        public_ip=facts.public_ip or None,
        port_mappings=mappings or None,
        machine_id=pod.host or "",
        machine=dict(machine_of(facts)) if shows_machine else {},
        puna=puna_told(facts),
    )


def _cards(facts: PodFacts) -> GpuV1 | None:
    if not facts.pod.spec.cards:
        return None
    return GpuV1(id=facts.card, count=facts.pod.spec.cards, display_name=facts.card_name)


def machine_of(facts: PodFacts) -> Mapping[str, Any]:
    """Return the machine that a pod is on."""
    machine, site = facts.machine, facts.site
    if machine is None or site is None:
        return {}
    kind = {"id": machine.card, "displayName": name_of(machine.card)}
    return {
        "gpuTypeId": machine.card,
        "gpuType": kind | {"memoryInGb": machine.card_memory // _GB},
        "gpuDisplayName": name_of(machine.card),
        "cpuCount": machine.processors,
        "location": machine.country,
        "dataCenterId": machine.data_center,
        "diskThroughputMBps": machine.disk_mbps,
        "maxDownloadSpeedMbps": machine.down_mbps,
        "maxUploadSpeedMbps": machine.up_mbps,
        "supportPublicIp": machine.has_public_ip,
        "secureCloud": site.cloud is Cloud.SECURE,
        "costPerHr": dollars(facts.rate),
        "currentPricePerGpu": dollars(facts.pod.price),
    }


def template_wish(body: CreateTemplateV1) -> TemplateWish:
    """Return the template that is asked for, with the defaults of version 1."""
    start = replace(_bare(), category=body.category, readme=body.readme)
    if body.is_serverless:
        start = replace(start, is_serverless=True, volume_gb=0)
    return TemplateWish(
        name=body.name,
        preset=_preset(body, start),
        is_public=body.is_public,
        registry=body.container_registry_auth_id or None,
    )


def template_change(body: UpdateTemplateV1, before: TemplateWish) -> TemplateWish:
    """Return a template as it is to be; null and what is left out stay."""
    preset = _preset(body, before.preset)
    serverless, registry = body.is_serverless, body.container_registry_auth_id
    preset = replace(
        preset,
        category=body.category or preset.category,
        readme=preset.readme if body.readme is None else body.readme,
        is_serverless=preset.is_serverless if serverless is None else serverless,
    )
    return TemplateWish(
        name=body.name or before.name,
        preset=preset,
        is_public=before.is_public if body.is_public is None else body.is_public,
        registry=before.registry if registry is None else registry or None,
    )


def _preset(body: ContainerV1, start: Preset) -> Preset:
    entrypoint, command = body.docker_entrypoint, body.docker_start_cmd
    has_command = command is not None or body.docker_args is not None
    return replace(
        start,
        image=body.image_name or start.image,
        args=arguments_of(body, "") if has_command else start.args,
        entrypoint=start.entrypoint if entrypoint is None else tuple(entrypoint),
        env=start.env if body.env is None else body.env,
        ports=start.ports if body.ports is None else tuple(body.ports),
        disk_gb=body.container_disk_in_gb or start.disk_gb,
        volume_gb=start.volume_gb if body.volume_in_gb is None else body.volume_in_gb,
        volume_path=body.volume_mount_path or start.volume_path,
    )


def template_v1(template: Template) -> TemplateV1:
    """Return a template in the words of version 1."""
    preset = template.preset
    return TemplateV1(
        id=template.id,
        name=template.name,
        image_name=preset.image,
        category=preset.category,
        container_disk_in_gb=preset.disk_gb,
        container_registry_auth_id=template.registry or "",
        docker_entrypoint=list(preset.entrypoint),
        docker_start_cmd=words_of(preset.args),
        docker_args=preset.args,
        env=dict(preset.env),
        ports=list(preset.ports),
        is_public=template.is_public,
        is_runpod=template.is_official,
        is_serverless=preset.is_serverless,
        readme=preset.readme,
        volume_in_gb=preset.volume_gb,
        volume_mount_path=preset.volume_path,
    )


def matches(facts: PodFacts, wanted: Mapping[str, Sequence[str]]) -> bool:
    """Tell whether a pod is one of those that a list was asked for; no values mean: any."""
    spec = facts.pod.spec
    has = {
        "computeType": "GPU" if spec.cards else "CPU",
        "cpuFlavorId": "" if spec.cards else flavour_of(spec),
        "dataCenterId": facts.data_center or "",
        "desiredStatus": facts.intent,
        "endpointId": "",
        "gpuTypeId": facts.card,
        "id": facts.pod.id,
        "imageName": spec.image,
        "name": facts.pod.name,
        "networkVolumeId": "",
        "templateId": facts.pod.template or "",
    }
    return all(has[name] in values for name, values in wanted.items() if values and name in has)
