"""RunPod's REST API of version 1, as it travels; no logic.

It is the older of the two and what `runpodctl` speaks. Fields that nobody knows are dropped, as
RunPod does. Go reads the replies: whole numbers have no decimal point.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from puna.wire.runpod_rest import (
    MOST_GB,
    Arguments,
    Category,
    Cloud,
    CudaVersion,
    Env,
    Long,
    Name,
    PunaChange,
    PunaPod,
    PunaWish,
    Rate,
    Text,
    Word,
    absent,
)

Priority = Literal["availability", "custom"]
Compute = Literal["GPU", "CPU"]
_MOST = 4096


def _parts(sent: object) -> object:
    """Take a list that was sent as one text with commas."""
    if isinstance(sent, str):
        return [part.strip() for part in sent.split(",") if part.strip()]
    return sent


Words = Annotated[list[Word], Field(max_length=300), BeforeValidator(_parts)]
Ports = Annotated[
    list[Annotated[str, Field(pattern=r"^[0-9]{1,5}/(http|tcp)$")]],
    Field(max_length=100),
    BeforeValidator(_parts),
]
Gigabytes = Annotated[int, Field(ge=0, le=MOST_GB)]
Amount = Annotated[int, Field(ge=1, le=_MOST)]
Path = Annotated[Text, Field(min_length=1, max_length=4096)]


class Sent(BaseModel):
    """A body from a client."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True
    )

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, sent: object) -> object:
        """Take null for what is not said."""
        if not isinstance(sent, dict):
            return sent
        return {name: value for name, value in sent.items() if value is not None}


class Told(BaseModel):
    """A body of the market."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class ContainerV1(Sent):
    """What pods and templates have in common. None is: not said."""

    image_name: Annotated[Text, Field(max_length=512)] | None = None
    docker_entrypoint: Arguments | None = None
    docker_start_cmd: Arguments | None = None
    docker_args: Long | None = None
    env: Env | None = None
    ports: Ports | None = None
    container_disk_in_gb: Gigabytes | None = None
    volume_in_gb: Gigabytes | None = None
    volume_mount_path: Path | None = None
    container_registry_auth_id: Word | None = None


class CreatePodV1(ContainerV1):
    """`POST /v1/pods`."""

    name: Name = "my pod"
    template_id: Word | None = None
    compute_type: Compute = "GPU"
    cloud_type: Cloud = "SECURE"
    interruptible: bool = False
    global_networking: bool = False
    gpu_type_ids: Words = []
    gpu_type_priority: Priority = "availability"
    gpu_count: Annotated[int, Field(ge=1, le=64)] = 1
    allowed_cuda_versions: Annotated[list[CudaVersion], Field(max_length=64)] = []
    min_cuda_version: CudaVersion | Literal[""] = ""
    min_ram_per_gpu: Annotated[int, Field(alias="minRAMPerGPU", ge=0, le=MOST_GB)] = 8
    min_vcpu_per_gpu: Annotated[int, Field(alias="minVCPUPerGPU", ge=0, le=_MOST)] = 2
    min_disk_bandwidth_mbps: Annotated[Rate, Field(alias="minDiskBandwidthMBps")] = 0
    min_download_mbps: Rate = 0
    min_upload_mbps: Rate = 0
    cpu_flavor_ids: Words = []
    cpu_flavor_priority: Priority = "availability"
    vcpu_count: Amount = 2
    data_center_ids: Words = []
    data_center_priority: Priority = "availability"
    country_codes: Words = []
    support_public_ip: bool = False
    network_volume_id: Word | None = None
    puna: PunaWish | None = None


class UpdatePodV1(ContainerV1):
    """`PATCH /v1/pods/{id}`."""

    name: Name | None = None
    locked: bool | None = None
    global_networking: bool | None = None
    puna: PunaChange | None = None


class GpuV1(Told):
    """The cards of a pod."""

    id: str
    count: int
    display_name: str


class PodV1(Told):
    """A pod, with what `runpodctl` reads beside what is documented."""

    id: str
    name: str
    desired_status: str
    last_status_change: str
    last_started_at: datetime | None = absent()
    created_at: datetime
    uptime_seconds: int
    image: str
    image_name: str
    interruptible: bool
    locked: bool
    cost_per_hr: float
    adjusted_cost_per_hr: float
    consumer_user_id: str
    gpu: GpuV1 | None = absent()
    gpu_type_id: str
    gpu_count: int
    cpu_flavor_id: str
    vcpu_count: int
    memory_in_gb: int
    container_disk_in_gb: int
    volume_in_gb: int
    volume_mount_path: str
    volume_encrypted: bool = False
    container_registry_auth_id: str
    template_id: str
    docker_entrypoint: list[str]
    docker_start_cmd: list[str]
    env: dict[str, str]
    ports: list[str]
    public_ip: str | None
    port_mappings: dict[str, int] | None
    machine_id: str
    machine: dict[str, Any]
    savings_plans: list[None] = []
    template: "TemplateV1 | None" = absent()
    puna: PunaPod


class CreateTemplateV1(ContainerV1):
    """`POST /v1/templates`."""

    name: Name
    category: Category = "NVIDIA"
    is_public: bool = False
    is_serverless: bool = False
    readme: Long = ""


class UpdateTemplateV1(ContainerV1):
    """`PATCH /v1/templates/{id}`."""

    name: Name | None = None
    category: Category | None = None
    is_public: bool | None = None
    is_serverless: bool | None = None
    readme: Long | None = None


class TemplateV1(Told):
    """A template."""

    id: str
    name: str
    image_name: str
    category: str
    container_disk_in_gb: int
    container_registry_auth_id: str
    docker_entrypoint: list[str]
    docker_start_cmd: list[str]
    docker_args: str
    env: dict[str, str]
    ports: list[str]
    is_public: bool
    is_runpod: bool
    is_serverless: bool
    readme: str
    volume_in_gb: int
    volume_mount_path: str
    earned: float = 0.0
    runtime_in_min: int = 0


class CreateRegistryV1(Sent):
    """`POST /v1/containerregistryauth`."""

    name: Name
    username: Annotated[Text, Field(min_length=1, max_length=8192)]
    password: Annotated[Text, Field(min_length=1, max_length=8192)]


class RegistryV1(Told):
    """A credential, without what it is."""

    id: str
    name: str


class BillingV1(Told):
    """What one thing cost in one stretch of time."""

    time: datetime
    amount: float
    time_billed_ms: int
    disk_space_billed_gb: int
    """On average over the time in which any was billed."""
    pod_id: str | None = absent()
    gpu_type_id: str | None = absent()
