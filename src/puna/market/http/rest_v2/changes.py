"""What a `PATCH` of version 2 changes. Pure. What is left out stays, what is empty is cleared."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from puna.market.actions.editing import PodChange
from puna.market.db.pods import Pod
from puna.market.db.templates import Template
from puna.market.domain.commands import command_of, words_of
from puna.market.domain.templates import Preset, TemplateWish
from puna.market.http.rest_v2.words import (
    InvalidWish,
    NoSuchVolume,
    NotOffered,
    WrongKind,
    command_in,
)
from puna.wire.runpod_rest import (
    Container,
    CreateTemplate,
    MountsTold,
    PersistentTold,
    TemplateMounts,
    TemplateTold,
    UpdatePod,
    UpdateTemplate,
)

_COMMAND = {"args", "cmd"}


def change_of(body: UpdatePod, before: Pod, template: Template | None) -> PodChange:
    """Return what is to be changed of a pod; a template is filled in first.

    Raises `InvalidWish`, `WrongKind`, `NoSuchVolume`, `NotOffered`.
    """
    if body.global_networking:
        raise NotOffered("this market has no global networking; leave 'globalNetworking' out")
    change = PodChange() if template is None else _filled_in(template, before)
    network = body.mounts.network if body.mounts else None
    if network:
        named = network[0].volume_id
        raise NoSuchVolume(f"there is no network volume {named}: this market has none")
    volume = body.mounts.persistent if body.mounts else None
    if volume and not before.spec.volume_gb:
        raise InvalidWish("the kind of a pod's mounts is fixed when it is created: it has none")
    said = body.model_fields_set
    return replace(
        change,
        name=body.name,
        is_locked=body.locked,
        image=body.image or change.image,
        args=command_in(body, "") if said & _COMMAND else change.args,
        entrypoint=tuple(body.entrypoint or ()) if "entrypoint" in said else change.entrypoint,
        env=_env(body, change.env) if "env" in said else change.env,
        ports=tuple(body.ports or ()) if "ports" in said else change.ports,
        access=body.puna.access if body.puna else None,
        disk_gb=body.disk or change.disk_gb,
        volume_gb=volume.size if volume else None,
        volume_path=volume.path if volume else None,
        template=_cleared(body, "template_id", "") if "template_id" in said else None,
        registry=_cleared(body, "registry", "") if "registry" in said else change.registry,
    )


def _filled_in(template: Template, before: Pod) -> PodChange:
    """Return what a template sets. The volume stays: its kind and size are the pod's own."""
    preset = template.preset
    if preset.is_serverless:
        raise WrongKind(f'"{template.name}" is a template for serverless endpoints, not for pods')
    return PodChange(
        image=preset.image,
        args=preset.args,
        entrypoint=preset.entrypoint,
        env={**before.spec.env, **preset.env},
        ports=preset.ports,
        disk_gb=preset.disk_gb,
        registry=template.registry or "",
    )


def _env(body: UpdatePod, filled_in: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return the variables that were sent, in place of the pod's own or upon a template's."""
    return {**(filled_in or {}), **(body.env or {})}


def _cleared(body: Container, name: str, empty: str) -> str:
    value = getattr(body, name)
    return empty if value is None else str(value)


def template_wish(body: CreateTemplate) -> TemplateWish:
    """Return the template that is asked for."""
    start = Preset(
        image="",
        category=body.category,
        is_serverless=body.serverless,
        starts_ssh=body.start_ssh,
        starts_jupyter=body.start_jupyter,
        cuda_versions=tuple(body.allowed_cuda_versions),
    )
    return TemplateWish(
        name=body.name,
        preset=_contained(start, body, body.mounts),
        is_public=body.public,
        registry=body.registry,
    )


def template_change(body: UpdateTemplate, before: TemplateWish) -> TemplateWish:
    """Return a template as it is to be."""
    preset = _contained(before.preset, body, body.mounts)
    versions = body.allowed_cuda_versions
    preset = replace(
        preset,
        category=body.category or preset.category,
        is_serverless=_or(body.serverless, preset.is_serverless),
        starts_ssh=_or(body.start_ssh, preset.starts_ssh),
        starts_jupyter=_or(body.start_jupyter, preset.starts_jupyter),
        cuda_versions=preset.cuda_versions if versions is None else tuple(versions),
    )
    has_registry = "registry" in body.model_fields_set
    return TemplateWish(
        name=body.name or before.name,
        preset=preset,
        is_public=_or(body.public, before.is_public),
        registry=(body.registry or None) if has_registry else before.registry,
    )


def _or(said: bool | None, before: bool) -> bool:  # noqa: FBT001 - a value, not an option
    return before if said is None else said


def _contained(start: Preset, body: Container, mounts: TemplateMounts | None) -> Preset:
    said = body.model_fields_set
    preset = replace(
        start,
        image=body.image or start.image,
        args=command_in(body, "") if said & _COMMAND else start.args,
        entrypoint=tuple(body.entrypoint or ()) if "entrypoint" in said else start.entrypoint,
        env=(body.env or {}) if "env" in said else start.env,
        ports=_ports(body.ports) if "ports" in said else start.ports,
        disk_gb=body.disk or start.disk_gb,
    )
    if "mounts" not in said:
        return preset
    volume = mounts.persistent if mounts else None
    if volume is None:
        return replace(preset, volume_gb=0)
    return replace(preset, volume_gb=volume.size, volume_path=volume.path)


def _ports(ports: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(ports or ())


def template_told(template: Template) -> TemplateTold:
    """Return a template in RunPod's words."""
    preset = template.preset
    command = command_of(preset.entrypoint, preset.args)
    kept = None
    if preset.volume_gb:
        kept = PersistentTold(size=preset.volume_gb, path=preset.volume_path)
    return TemplateTold(
        id=template.id,
        name=template.name,
        image=preset.image,
        args=preset.args,
        entrypoint=list(command.entrypoint),
        cmd=words_of(command.args),
        disk=preset.disk_gb,
        env=dict(preset.env),
        ports=list(preset.ports),
        registry=template.registry,
        mounts=MountsTold(persistent=kept),
        serverless=preset.is_serverless,
        public=template.is_public,
        category=preset.category,
        start_ssh=preset.starts_ssh,
        start_jupyter=preset.starts_jupyter,
        allowed_cuda_versions=list(preset.cuda_versions),
    )
