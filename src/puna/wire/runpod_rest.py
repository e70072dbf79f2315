"""RunPod's REST API of version 2, as it travels; no logic.

Bodies that are sent are checked as strictly as RunPod's: what is not known is refused and a number
in quotes is no number. What only this market has is in one object, `puna`, in both directions, so
that a client which never heard of it sees RunPod's own words. Money is dollars as a float where
RunPod has it so, and a decimal number in a string in `puna`. Sizes are whole gigabytes.
"""

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from puna.wire.stored import storable

Cloud = Literal["SECURE", "COMMUNITY"]
Category = Literal["NVIDIA", "AMD", "CPU"]
PodAction = Literal["start", "stop", "restart", "terminate"]
MOST_GB = 1_000_000
_MOST_CARDS = 64
_MOST_PROCESSORS = 4096
_MOST_RATE = 10_000_000

Text = Annotated[str, AfterValidator(storable)]
"""Text that every database keeps."""
Name = Annotated[Text, Field(min_length=1, max_length=191)]
Word = Annotated[Text, Field(max_length=256)]
Long = Annotated[Text, Field(max_length=65_536)]
Gigabytes = Annotated[int, Field(ge=1, le=MOST_GB)]
Rate = Annotated[float, Field(ge=0, le=_MOST_RATE, allow_inf_nan=False)]


Anything = TypeVar("Anything")
if TYPE_CHECKING:
    Unsaid: TypeAlias = Anything | None
else:

    class Unsaid:
        """Whatever it is of, or None where nothing was sent; null is refused."""

        def __class_getitem__(cls, each: object) -> object:
            """Return the type that is checked where something was sent."""
            return each


def _amount(sent: object) -> float | str:
    is_number = isinstance(sent, int | float) and not isinstance(sent, bool)
    if isinstance(sent, str) and _AMOUNT.fullmatch(sent):
        return sent
    if isinstance(sent, int | float) and is_number and 0 <= sent <= _MOST_DOLLARS:
        return sent
    raise ValueError('want dollars as a number or a string, such as 0.25 or "0.25"')


_AMOUNT = re.compile(r"\$?[0-9]{1,7}(\.[0-9]{1,6})?", re.ASCII)
_MOST_DOLLARS = 1_000_000
Dollars = Annotated[float | str, PlainValidator(_amount, json_schema_input_type=float | str)]
"""A number, or a decimal number in a string, which is exact."""
After = Annotated[Text, Field(min_length=1, max_length=32)]
"""A length of time such as `90m`, `2h`, `1d`."""


def unsaid() -> Any:  # noqa: ANN401 - as pydantic's own
    """Return a field of a request that may be left out; null it may not be."""
    return Field(default=None, json_schema_extra=_without_default)


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


def absent() -> Any:  # noqa: ANN401 - as pydantic's own
    """Return a field of a reply that is left out where it has no value."""
    return Field(default=None, exclude_if=lambda value: value is None)


class Sent(BaseModel):
    """A body from a client."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True, frozen=True
    )


class Told(BaseModel):
    """A body of the market."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class PunaWish(Sent):
    """What a renter may ask for beyond RunPod's fields."""

    tenure: Literal["on_demand", "spot"] = "on_demand"
    bid: Dollars | None = None
    """For one card (or processor) and hour."""
    returns: bool = False
    project: Annotated[Text, Field(max_length=64)] = ""
    stop_after: After | None = None
    terminate_after: After | None = None
    idle_stop: After | None = None
    budget: Dollars | None = None
    """The most that this pod may ever cost."""
    gpu_type_ids: Annotated[list[Word], Field(max_length=64)] = []
    """Cards that do as well, in order of preference, after the one of `gpu`."""
    min_memory_gb: Gigabytes | None = None
    min_vcpu: Annotated[int, Field(ge=1, le=_MOST_PROCESSORS)] | None = None
    min_download_mbps: Rate = 0
    min_upload_mbps: Rate = 0
    min_disk_mbps: Rate = 0
    """Megabytes a second."""
    countries: Annotated[
        list[Annotated[str, Field(pattern="^[A-Za-z]{2}$")]], Field(max_length=300)
    ] = []
    public_ip: bool = False
    runtime: Annotated[Text, Field(min_length=1, max_length=64)] = "runc"
    ceiling: Dollars | None = None
    """The most for one card (or processor) and hour."""
    access: dict[str, Literal["open", "closed"]] = {}
    """Who may see an HTTP port through the gateway, by its number."""


class PunaChange(Sent):
    """What may be changed of it while the pod is there."""

    access: dict[str, Literal["open", "closed"]] | None = None
    returns: bool | None = None
    bid: Dollars | None = None
    """From the pod's next start on: a run keeps its price."""
    stop_after: After | None = None
    """From now, and from each start; null takes the time away, as below."""
    terminate_after: After | None = None
    """From now."""
    idle_stop: After | None = None
    budget: Dollars | None = None

    @model_validator(mode="before")
    @classmethod
    def _only_what_changes(cls, sent: object) -> object:
        """Say of what is known and never changes that it does not."""
        if isinstance(sent, dict):
            fixed = [name for name in sent if name in _FIXED]
            if fixed:
                raise ValueError(
                    f"'{fixed[0]}' is settled when a pod is rented; there can be changed: "
                    f"{', '.join(sorted(to_camel(name) for name in cls.model_fields))}"
                )
        return sent


_FIXED = {to_camel(name) for name in PunaWish.model_fields} - {
    to_camel(name) for name in PunaChange.model_fields
}


class PunaPod(Told):
    """What this market tells of a pod beyond RunPod's fields."""

    tenure: Literal["on_demand", "spot"]
    bid: str | None
    returns: bool
    project: str
    host: str | None
    reason: str
    stop_at: datetime | None
    terminate_at: datetime | None
    paid_until: datetime | None
    price: str
    """For one card (or processor) and hour."""
    an_hour: str
    """What an hour of it costs as it is now, its disks with it."""
    held: str
    spent: str
    urls: dict[str, str]
    """Where each HTTP port is seen, by its number."""
    access: dict[str, str]
    progress: str
    """What its host does for it now, such as how much of the image it has."""


class Persistent(Sent):
    """A disk that a pod keeps while it is stopped."""

    size: Annotated[int, Field(ge=10, le=MOST_GB)]
    path: Annotated[Text, Field(min_length=1, max_length=4096)]


class PersistentChange(Sent):
    """A larger one, or another place for it."""

    size: Unsaid[Annotated[int, Field(ge=10, le=MOST_GB)]] = unsaid()
    path: Unsaid[Annotated[Text, Field(min_length=1, max_length=4096)]] = unsaid()


class NetworkMount(Sent):
    """A network volume, of which this market has none."""

    volume_id: Word
    path: Annotated[Text, Field(min_length=1, max_length=4096)]


class Mounts(Sent):
    """Either."""

    persistent: Unsaid[Persistent] = unsaid()
    network: Unsaid[Annotated[list[NetworkMount], Field(min_length=1, max_length=1)]] = unsaid()


class MountsChange(Sent):
    """Either."""

    persistent: Unsaid[PersistentChange] = unsaid()
    network: Unsaid[Annotated[list[NetworkMount], Field(min_length=1, max_length=1)]] = unsaid()


class TemplateMounts(Sent):
    """What a template may mount."""

    persistent: Unsaid[Persistent] = unsaid()


Env = dict[Annotated[Text, Field(max_length=256)], Long]
Arguments = Annotated[list[Long], Field(max_length=1000)]
"""A command or an entrypoint, word by word."""
Ports = Annotated[
    list[Annotated[str, Field(pattern=r"^[0-9]{1,5}/(http|tcp)$")]], Field(max_length=100)
]
CudaVersion = Annotated[str, Field(pattern=r"^[0-9]{1,3}\.[0-9]{1,3}$")]


class Container(Sent):
    """What pods and templates have in common. None is: not said."""

    image: Unsaid[Annotated[Text, Field(min_length=1, max_length=512)]] = unsaid()
    args: Unsaid[Long] = unsaid()
    """The command as a shell reads it; `cmd` is the same one, taken apart."""
    entrypoint: Unsaid[Arguments] = unsaid()
    cmd: Unsaid[Arguments] = unsaid()
    disk: Unsaid[Gigabytes] = unsaid()
    env: Unsaid[Env] = unsaid()
    ports: Unsaid[Ports] = unsaid()
    registry: Word | None = None


class GpuWish(Sent):
    """Which cards."""

    id: Annotated[Text, Field(min_length=1, max_length=256)]
    count: Annotated[int, Field(ge=1, le=_MOST_CARDS)] = 1
    allowed_cuda_versions: Unsaid[Annotated[list[CudaVersion], Field(max_length=64)]] = unsaid()
    min_cuda_version: Unsaid[CudaVersion] = unsaid()
    min_ram_per_gpu: Unsaid[Gigabytes] = unsaid()
    min_vcpu_count_per_gpu: Unsaid[Annotated[int, Field(ge=1, le=_MOST_PROCESSORS)]] = unsaid()


class CpuWish(Sent):
    """Which processors."""

    id: Annotated[Text, Field(min_length=1, max_length=64)]
    vcpu_count: Annotated[int, Field(ge=2, le=_MOST_PROCESSORS)]


class CreatePod(Container):
    """`POST /v2/pods`."""

    name: Name
    gpu: Unsaid[GpuWish] = unsaid()
    cpu: Unsaid[CpuWish] = unsaid()
    cloud: Cloud = "SECURE"
    data_center_ids: Annotated[list[Word], Field(max_length=300)] = []
    mounts: Unsaid[Mounts] = unsaid()
    global_networking: bool = False
    start_ssh: Unsaid[bool] = unsaid()
    start_jupyter: Unsaid[bool] = unsaid()
    template_id: Unsaid[Word] = unsaid()
    puna: Unsaid[PunaWish] = unsaid()


class UpdatePod(Container):
    """`PATCH /v2/pods/{id}`: what is sent is changed, what is empty is cleared."""

    name: Unsaid[Name] = unsaid()
    mounts: Unsaid[MountsChange] = unsaid()
    locked: Unsaid[bool] = unsaid()
    global_networking: Unsaid[bool] = unsaid()
    template_id: Unsaid[Word] = unsaid()
    puna: Unsaid[PunaChange] = unsaid()


class ActOnPod(Sent):
    """`POST /v2/pods/{id}/action`."""

    action: PodAction


class GpuTold(Told):
    """The cards of a pod, and what it has beside them."""

    id: str
    count: int
    vcpu_count: int
    memory: int


class CpuTold(Told):
    """The processors of a pod without a card."""

    id: str
    vcpu_count: int
    memory: int


class PersistentTold(Told):
    """A pod's own volume."""

    size: int
    path: str


class MountsTold(Told):
    """What a pod keeps."""

    persistent: PersistentTold | None = absent()


class SshTold(Told):
    """A way to a shell."""

    host: str
    port: int
    username: str
    command: str


class SshWays(Told):
    """Through the market, and past it; null while there is no such way."""

    proxy: SshTold | None = None
    direct: SshTold | None = None


class GlobalNetworking(Told):
    """Private addresses, which this market has not."""

    enabled: bool = False


class GpuUse(Told):
    """Percentages of one card; what its host does not measure is left out."""

    util: int | None = absent()
    memory_util: int | None = absent()


class Use(Told):
    """A percentage, left out where the host does not measure it."""

    util: int | None = absent()


class PortTold(Told):
    """Where a port is open."""

    private: int
    public: int | None = absent()
    type: str
    ip: str | None = absent()


class RuntimeTold(Told):
    """What is seen of a pod that runs."""

    uptime: int
    gpus: list[GpuUse]
    cpu: Use
    memory: Use
    ports: list[PortTold]


class PodTold(Told):
    """A pod."""

    id: str
    name: str
    status: str
    actions: list[str]
    image: str
    args: str
    entrypoint: list[str]
    cmd: list[str]
    disk: int
    env: dict[str, str]
    ports: list[str]
    registry: str | None
    mounts: MountsTold
    gpu: GpuTold | None = absent()
    cpu: CpuTold | None = absent()
    cloud: str
    data_center_id: str | None
    cuda_version: str | None
    ssh: SshWays
    template: str | None
    cost: float
    locked: bool
    global_networking: GlobalNetworking
    runtime: RuntimeTold | None
    created_at: datetime
    started_at: datetime | None
    puna: PunaPod


class PodsTold(Told):
    """`GET /v2/pods`."""

    pods: list[PodTold]


class CreateTemplate(Container):
    """`POST /v2/templates`."""

    name: Name
    image: Annotated[Text, Field(min_length=1, max_length=512)]
    mounts: Unsaid[TemplateMounts] = unsaid()
    serverless: bool = False
    public: bool = False
    category: Category = "NVIDIA"
    start_ssh: bool = True
    start_jupyter: bool = True
    allowed_cuda_versions: Annotated[list[CudaVersion], Field(max_length=64)] = []


class UpdateTemplate(Container):
    """`PATCH /v2/templates/{id}`."""

    name: Unsaid[Name] = unsaid()
    mounts: Unsaid[TemplateMounts] = unsaid()
    serverless: Unsaid[bool] = unsaid()
    public: Unsaid[bool] = unsaid()
    category: Unsaid[Category] = unsaid()
    start_ssh: Unsaid[bool] = unsaid()
    start_jupyter: Unsaid[bool] = unsaid()
    allowed_cuda_versions: Unsaid[Annotated[list[CudaVersion], Field(max_length=64)]] = unsaid()


class TemplateTold(Told):
    """A template."""

    id: str
    name: str
    image: str
    args: str
    entrypoint: list[str]
    cmd: list[str]
    disk: int
    env: dict[str, str]
    ports: list[str]
    registry: str | None
    mounts: MountsTold
    serverless: bool
    public: bool
    category: str
    start_ssh: bool
    start_jupyter: bool
    allowed_cuda_versions: list[str]


class TemplatesTold(Told):
    """`GET /v2/templates`."""

    templates: list[TemplateTold]


class CreateRegistry(Sent):
    """`POST /v2/registries`."""

    name: Name
    username: Annotated[Text, Field(min_length=1, max_length=8192)]
    password: Annotated[Text, Field(min_length=1, max_length=8192)]


class RegistryTold(Told):
    """A credential, without what it is."""

    id: str
    name: str


class RegistriesTold(Told):
    """`GET /v2/registries`."""

    registries: list[RegistryTold]


class SshKeys(Sent):
    """`PUT /v2/account/ssh-keys`: all of them, anew."""

    keys: Annotated[
        list[
            Annotated[
                Text,
                Field(max_length=16_384, pattern=r"^(ssh|ecdsa|sk)-[^ ]+ +[A-Za-z0-9+/=]+( .*)?$"),
            ]
        ],
        Field(max_length=200),
    ]


class SshKeysTold(Told):
    """`GET /v2/account/ssh-keys`."""

    keys: list[str]


class LogLine(Told):
    """The payload of one event of `GET /v2/pods/{id}/logs`."""

    source: str
    line: str
    ts: str
