"""Version 2 of RunPod's REST as this market's values, and back. Pure.

A body is checked in two steps, as RunPod's is: what its schema refuses is 422 and was refused
before this; what contradicts itself is 400 and is refused here.
"""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from puna.errors import Invalid, NotFound
from puna.market.actions.extras import TIMES, ExtrasChange
from puna.market.actions.renting import Wish
from puna.market.db.templates import Template
from puna.market.domain.cards import FLAVOURS
from puna.market.domain.commands import command_of, words_of
from puna.market.domain.hosts import Cloud, Tenure
from puna.market.domain.pods import Desired
from puna.market.domain.specs import PodSpec, version_of
from puna.market.http.money import dollars, exact
from puna.market.http.pods import PodFacts
from puna.units import Money, Span
from puna.wire.runpod_rest import (
    Container,
    CpuTold,
    CpuWish,
    CreatePod,
    GlobalNetworking,
    GpuTold,
    GpuUse,
    GpuWish,
    Mounts,
    MountsTold,
    PersistentTold,
    PodTold,
    PortTold,
    PunaChange,
    PunaPod,
    PunaWish,
    RuntimeTold,
    SshTold,
    SshWays,
    Use,
)

DISK_GB = 20
PROCESSORS_A_CARD = 2
MEMORY_GB_A_CARD = 8
"""What RunPod gives with a card, at least."""
_GB_A_PROCESSOR = 2
_SSH = 22
_DAY_H = 24


class InvalidWish(Invalid):
    """What was asked for contradicts itself."""

    code = "invalid_pod"


class WrongKind(Invalid):
    """A serverless template makes no pod."""

    code = "wrong_template"
    status = 422


class NoSuchVolume(NotFound):
    """This market has no network volumes, so none of any id."""

    code = "no_such_volume"


class NotOffered(Invalid):
    """What was asked for of a pod, RunPod has and this market has not."""

    code = "not_offered"


def wish_of(body: CreatePod, template: Template | None) -> Wish:
    """Return what is asked for: a template fills in what the body leaves out.

    Raises `InvalidWish`, `WrongKind`, `NoSuchVolume`, `NotOffered`.
    """
    check_offered(body.mounts, globally=body.global_networking)
    if (body.gpu is None) == (body.cpu is None):
        raise InvalidWish("a pod has exactly one of 'gpu' and 'cpu'")
    if template is not None and template.preset.is_serverless:
        raise WrongKind(f'"{template.name}" is a template for serverless endpoints, not for pods')
    if not body.image and template is None:
        raise InvalidWish("a pod needs an 'image' or a 'templateId'")
    start = template.preset.to_spec() if template else PodSpec(image="", disk_gb=DISK_GB)
    spec = _contained(body, start)
    spec = _with_cards(spec, body.gpu) if body.gpu else _with_processors(spec, body)
    spec = replace(spec, cloud=Cloud(body.cloud), data_centers=tuple(body.data_center_ids))
    extras = body.puna or PunaWish()
    registry = body.registry or (template.registry if template else None)
    return Wish(
        name=body.name,
        spec=with_extras(spec, extras),
        project=extras.project,
        template=template.id if template else None,
        registry=registry or None,
        budget=None if extras.budget is None else money_of(extras.budget),
    )


def check_offered(mounts: Mounts | None, *, globally: bool | None) -> None:
    """Refuse what this market does not have. Raises `NoSuchVolume`, `NotOffered`, `InvalidWish`."""
    if mounts and mounts.network:
        if mounts.persistent:
            raise InvalidWish("mounts have one of 'persistent' and 'network', not both")
        raise NoSuchVolume(
            f"there is no network volume {mounts.network[0].volume_id}: this market has none",
            hint="ask for mounts.persistent, a volume of the pod's own",
        )
    if globally:
        raise NotOffered("this market has no global networking; leave 'globalNetworking' out")


def _contained(body: CreatePod, start: PodSpec) -> PodSpec:
    volume = body.mounts.persistent if body.mounts else None
    ssh, jupyter = body.start_ssh, body.start_jupyter
    return replace(
        start,
        image=body.image or start.image,
        args=command_in(body, start.args),
        entrypoint=tuple(body.entrypoint or start.entrypoint),
        env={**start.env, **(body.env or {})},
        ports=start.ports if body.ports is None else tuple(body.ports),
        disk_gb=body.disk or start.disk_gb,
        volume_gb=volume.size if volume else start.volume_gb,
        volume_path=volume.path if volume else start.volume_path,
        starts_ssh=start.starts_ssh if ssh is None else ssh,
        starts_jupyter=start.starts_jupyter if jupyter is None else jupyter,
    )


def command_in(body: Container, before: str) -> str:
    """Return the command as one string: `cmd` is quoted for it. Raises `InvalidWish`."""
    if body.args and body.cmd:
        raise InvalidWish("a pod has one command: send 'args' or 'cmd', not both")
    if body.cmd is not None:
        return shlex.join(body.cmd)
    return before if body.args is None else body.args


def _with_cards(spec: PodSpec, gpu: GpuWish) -> PodSpec:
    if gpu.allowed_cuda_versions and gpu.min_cuda_version:
        raise InvalidWish("a gpu has one of 'allowedCudaVersions' and 'minCudaVersion', not both")
    return replace(
        spec,
        cards=gpu.count,
        card_models=(gpu.id,),
        processors=max(PROCESSORS_A_CARD, gpu.min_vcpu_count_per_gpu or 0) * gpu.count,
        memory_gb=max(MEMORY_GB_A_CARD, gpu.min_ram_per_gpu or 0) * gpu.count,
        cuda=version_of(gpu.min_cuda_version or "0.0") or (0, 0),
        cuda_versions=tuple(gpu.allowed_cuda_versions or ()) or spec.cuda_versions,
    )


def _with_processors(spec: PodSpec, body: CreatePod) -> PodSpec:
    cpu = body.cpu or CpuWish(id="cpu3c", vcpu_count=2)
    flavour = FLAVOURS.get(cpu.id)
    if flavour is None:
        raise InvalidWish(f'there is no cpu "{cpu.id}"; there are {", ".join(FLAVOURS)}')
    if cpu.vcpu_count & (cpu.vcpu_count - 1):
        raise InvalidWish(f"'vcpuCount' is a power of two, which {cpu.vcpu_count} is not")
    if body.mounts and body.mounts.persistent:
        raise InvalidWish("a pod without a gpu has no persistent mount")
    return replace(
        spec,
        volume_gb=0,
        processors=cpu.vcpu_count,
        memory_gb=cpu.vcpu_count * flavour.gb_per_processor,
    )


def with_extras(spec: PodSpec, extras: PunaWish) -> PodSpec:
    """Return the spec with what only this market knows. Raises `InvalidWish`."""
    more = tuple(each for each in extras.gpu_type_ids if each not in spec.card_models)
    if more and not spec.cards:
        raise InvalidWish("'puna.gpuTypeIds' are for a pod with a gpu")
    return replace(
        spec,
        card_models=(*spec.card_models, *more),
        in_order=bool(more) or spec.in_order,
        processors=max(spec.processors, extras.min_vcpu or 0),
        memory_gb=max(spec.memory_gb, extras.min_memory_gb or 0),
        countries=tuple(each.upper() for each in extras.countries) or spec.countries,
        down_mbps=max(spec.down_mbps, up(extras.min_download_mbps)),
        up_mbps=max(spec.up_mbps, up(extras.min_upload_mbps)),
        disk_mbps=max(spec.disk_mbps, up(extras.min_disk_mbps)),
        needs_public_ip=extras.public_ip or spec.needs_public_ip,
        runtime=extras.runtime,
        tenure=Tenure.SPOT if extras.tenure == "spot" else Tenure.ON_DEMAND,
        bid=None if extras.bid is None else money_of(extras.bid),
        ceiling=None if extras.ceiling is None else money_of(extras.ceiling),
        returns=extras.returns,
        stop_after=after_of(extras.stop_after),
        terminate_after=after_of(extras.terminate_after),
        idle_stop=after_of(extras.idle_stop),
        access=extras.access,
    )


def extras_change(change: PunaChange | None) -> ExtrasChange:
    """Return what is to be changed of it in place. Null takes a time or a budget away."""
    if change is None:
        return ExtrasChange()
    said = change.model_fields_set
    amount = None if change.budget is None else money_of(change.budget)
    return ExtrasChange(
        returns=change.returns,
        bid=None if change.bid is None else money_of(change.bid),
        times={name: after_of(getattr(change, name)) for name in TIMES if name in said},
        budget={"budget": amount} if "budget" in said else {},
    )


def up(rate: float) -> int:
    """Return the next whole number: less than what was asked for does not do."""
    return -int(-rate // 1)


def money_of(amount: float | str) -> Money:
    """Return money that was sent as a number, to the nearest micro-dollar, or as a string."""
    if isinstance(amount, str):
        return Money.parse(amount)
    return Money(round(amount * 10**6))


def after_of(text: str | None) -> timedelta | None:
    """Return a length of time such as `90m` or `1d12h`. Raises `InvalidWish`."""
    if text is None:
        return None
    days, sign, rest = text.partition("d")
    is_days = bool(sign) and days.isascii() and days.isdigit()
    clock = rest if is_days else text
    try:
        span = Span.parse(clock) if clock else Span(0)
    except Invalid as error:
        raise InvalidWish(f'"{text}" is not a length of time such as 90m, 2h or 1d') from error
    whole = span.timedelta + timedelta(days=min(int(days[:6]), 99_999) if is_days else 0)
    if whole <= timedelta(0):
        raise InvalidWish(f'"{text}" is over at once')
    return whole


def pod_told(facts: PodFacts) -> PodTold:
    """Return a pod in RunPod's words."""
    pod, spec = facts.pod, facts.pod.spec
    kept = PersistentTold(size=spec.volume_gb, path=spec.volume_path) if spec.volume_gb else None
    command = command_of(spec.entrypoint, spec.args)
    return PodTold(
        id=pod.id,
        name=pod.name,
        status=str(facts.status),
        actions=[str(each) for each in facts.actions],
        image=spec.image,
        args=spec.args,
        entrypoint=list(command.entrypoint),
        cmd=words_of(command.args),
        disk=spec.disk_gb,
        env=dict(spec.env),
        ports=list(spec.ports),
        registry=pod.registry,
        mounts=MountsTold(persistent=kept),
        gpu=_cards(facts),
        cpu=_processors(facts),
        cloud=str(facts.site.cloud if facts.site else spec.cloud or Cloud.COMMUNITY),
        data_center_id=facts.data_center,
        cuda_version=facts.cuda,
        ssh=ssh_ways(facts),
        template=pod.template,
        cost=dollars(facts.cost),
        locked=pod.state.is_locked,
        global_networking=GlobalNetworking(),
        runtime=_runtime(facts),
        created_at=pod.created,
        started_at=pod.started,
        puna=puna_told(facts),
    )


def _cards(facts: PodFacts) -> GpuTold | None:
    spec = facts.pod.spec
    if not spec.cards:
        return None
    return GpuTold(
        id=facts.card, count=spec.cards, vcpu_count=spec.processors, memory=spec.memory_gb
    )


def _processors(facts: PodFacts) -> CpuTold | None:
    spec = facts.pod.spec
    if spec.cards:
        return None
    return CpuTold(id=flavour_of(spec), vcpu_count=spec.processors, memory=spec.memory_gb)


def flavour_of(spec: PodSpec) -> str:
    """Return the flavour that has so much memory for each processor, or the one with the next."""
    each = spec.memory_gb / spec.processors
    fits = [id_ for id_, flavour in FLAVOURS.items() if flavour.gb_per_processor >= each]
    return next(iter(fits), "cpu3m")


def ssh_ways(facts: PodFacts) -> SshWays:
    """Return how to get a shell while it runs: through the market, or straight to port 22."""
    if not facts.is_running:
        return SshWays()
    doors, pod = facts.doors, facts.pod.id
    through = SshTold(
        host=doors.ssh_host,
        port=doors.ssh_port,
        username=pod,
        command=doors.ssh_command(pod),
    )
    port = next((each for each in facts.open_ports if each.inside == _SSH and each.is_public), None)
    if port is None or port.outside is None:
        return SshWays(proxy=through)
    command = f"ssh root@{port.ip} -p {port.outside}"
    straight = SshTold(host=port.ip, port=port.outside, username="root", command=command)
    return SshWays(proxy=through, direct=straight)


def _runtime(facts: PodFacts) -> RuntimeTold | None:
    """Return what is seen of it; what its host does not measure is left out, and not zero."""
    if not facts.is_running:
        return None
    ports = [
        PortTold(private=port.inside, public=port.outside, type=port.kind, ip=port.ip or None)
        for port in facts.open_ports
    ]
    use = facts.use
    return RuntimeTold(
        uptime=facts.uptime_s,
        gpus=[
            GpuUse(util=round(each.busy), memory_util=round(each.memory)) if each else GpuUse()
            for each in facts.card_uses
        ],
        cpu=Use(util=round(use.processor)) if use else Use(),
        memory=Use(util=round(use.memory)) if use else Use(),
        ports=ports,
    )


def puna_told(facts: PodFacts) -> PunaPod:
    """Return what RunPod has no field for."""
    pod, spec = facts.pod, facts.pod.spec
    return PunaPod(
        tenure="spot" if facts.is_spot else "on_demand",
        bid=None if spec.bid is None else exact(spec.bid),
        returns=spec.returns,
        project=pod.project,
        host=pod.host,
        reason=pod.reason,
        stop_at=pod.stop_at,
        terminate_at=pod.terminate_at,
        paid_until=pod.paid_until if pod.state.desired is Desired.RUN else None,
        price=exact(pod.price),
        an_hour=exact(facts.an_hour),
        held=exact(facts.held),
        spent=exact(pod.spent),
        urls=dict(facts.urls),
        access=dict(access_of(spec)),
        progress=facts.progress,
    )


def access_of(spec: PodSpec) -> Mapping[str, str]:
    """Return who may call each HTTP port: without a word, the account alone."""
    numbers = [port.partition("/")[0] for port in spec.ports if port.endswith("/http")]
    return {number: spec.access.get(number, "closed") for number in numbers}
