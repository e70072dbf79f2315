"""A pod as RunPod's GraphQL shows it. What is worked out is worked out in `market/http/pods.py`."""

from collections.abc import Sequence

from puna.market.domain.cards import name_of
from puna.market.domain.hosts import Cloud
from puna.market.http.graph.asked import Shape
from puna.market.http.money import dollars
from puna.market.http.pods import PodFacts
from puna.market.http.rest_v2.words import puna_told
from puna.wire.agent import CardUse

_HTTP = "http"
_INSIDE = "127.0.0.1"


def pod_shape(facts: PodFacts) -> Shape:
    """Return a `Pod`. Its status is what is wanted; `runtime` tells whether it is so yet."""
    pod, spec = facts.pod, facts.pod.spec
    is_secure = (facts.site.cloud if facts.site else spec.cloud) is Cloud.SECURE
    return {
        "id": pod.id,
        "name": pod.name,
        "desiredStatus": facts.intent,
        "lastStatusChange": facts.last_change,
        "lastStartedAt": pod.started,
        "createdAt": pod.created,
        "imageName": spec.image,
        "dockerArgs": spec.args,
        "dockerId": "",
        "env": [f"{name}={value}" for name, value in spec.env.items()],
        "ports": ",".join(spec.ports),
        "port": next((port.inside for port in facts.open_ports if port.kind == _HTTP), None),
        "podType": "INTERRUPTABLE" if facts.is_spot else "RESERVED",
        "costPerHr": dollars(facts.rate),
        "adjustedCostPerHr": dollars(facts.an_hour),
        "gpuCount": spec.cards,
        "vcpuCount": spec.processors,
        "memoryInGb": spec.memory_gb,
        "containerDiskInGb": spec.disk_gb,
        "volumeInGb": spec.volume_gb,
        "volumeMountPath": spec.volume_path,
        "volumeEncrypted": False,
        "locked": pod.state.is_locked,
        "uptimeSeconds": facts.uptime_s,
        "version": pod.state.run,
        "machineId": pod.host or "",
        "machineType": "SECURE" if is_secure else "COMMUNITY",
        "machine": _machine(facts),
        "runtime": _runtime(facts),
        "gpuTypeId": facts.card or None,
        "templateId": pod.template,
        "containerRegistryAuthId": pod.registry,
        "needsReset": False,
        "stopAfter": pod.stop_at,
        "terminateAfter": pod.terminate_at,
        "bidPerGpu": None if spec.bid is None else dollars(spec.bid),
        "puna": puna_told(facts).model_dump(mode="json", by_alias=True),
    }


def _machine(facts: PodFacts) -> Shape:
    """Return a `PodMachine`; of a pod without a host only the names of what it asks for."""
    shape: dict[str, object] = {
        "podHostId": facts.host_id,
        "gpuTypeId": facts.card or None,
        "gpuDisplayName": facts.card_name,
        "location": "",
    }
    site, price = facts.site, dollars(facts.pod.price)
    if site is None:
        return shape
    machine = site.machine
    return shape | {
        "id": site.id,
        "gpuType": {"id": machine.card, "displayName": name_of(machine.card)},
        "gpuTotal": machine.cards,
        "cpuCount": machine.processors,
        "location": machine.country,
        "countryCode": machine.country,
        "dataCenterId": facts.data_center,
        "secureCloud": site.cloud is Cloud.SECURE,
        "supportPublicIp": machine.has_public_ip,
        "costPerHr": price,
        "currentPricePerGpu": price,
        "minPodGpuCount": 1,
        "diskMBps": machine.disk_mbps,
        "diskThroughputMBps": machine.disk_mbps,
        "maxDownloadSpeedMbps": machine.down_mbps,
        "maxUploadSpeedMbps": machine.up_mbps,
    }


def _runtime(facts: PodFacts) -> Shape | None:
    """Return a `PodRuntime`: null until the container runs, which is what clients wait for."""
    if not facts.is_running:
        return None
    use = facts.use
    container: Shape = {}
    if use is not None:
        container = {
            "cpuPercent": round(use.processor),
            "memoryPercent": round(use.memory),
        }
    return {
        "uptimeInSeconds": facts.uptime_s,
        "ports": _ports(facts),
        "gpus": [_card_use(each) for each in facts.card_uses],
        "container": container,
        "podCompositeKey": facts.host_id,
    }


def _card_use(use: CardUse | None) -> Shape:
    if use is None:
        return {}
    return {"gpuUtilPercent": round(use.busy), "memoryUtilPercent": round(use.memory)}


def _ports(facts: PodFacts) -> Sequence[Shape]:
    """Return the ports that are open; the Python SDK takes the first with 22 in it as an address.

    So a TCP port that only the market's gateway reaches is not in this list. An HTTP port has an
    address that is not public, which SkyPilot waits for: here the one that it has in the pod.
    """
    return [
        {
            "ip": port.ip or _INSIDE,
            "isIpPublic": port.is_public,
            "privatePort": port.inside,
            "publicPort": port.outside or port.inside,
            "type": port.kind,
        }
        for port in facts.open_ports
        if port.ip or port.kind == _HTTP
    ]
