"""What RunPod's version 2 tells of its catalogue and of bills, as it travels; no logic."""

from datetime import datetime

from pydantic import ConfigDict

from puna.wire.runpod_rest import TemplateTold, Told, absent


class CloudPrices(Told):
    """Dollars for one card and hour; zero where a cloud has none: typed clients want a number."""

    secure: float
    community: float
    serverless: float | None = absent()


class MostOfOne(Told):
    """How many cards one machine has at most."""

    secure: int
    community: int


class Availability(Told):
    """How much of a thing is free."""

    id: str
    name: str
    availability: str
    """`NONE`, `LOW`, `MEDIUM` or `HIGH`."""


class CudaTold(Told):
    """A version of CUDA, and whether a machine that has it is free."""

    version: str
    available: bool


class GpuType(Told):
    """A card that some machine has."""

    id: str
    name: str
    pool: str | None
    manufacturer: str
    memory: int
    secure: bool
    community: bool
    price: CloudPrices
    max_count: MostOfOne
    availability: str | None = absent()
    data_centers: list[Availability] | None = absent()
    cuda_versions: list[CudaTold] | None = absent()


class GpusTold(Told):
    """`GET /v2/catalog/gpus`."""

    gpus: list[GpuType]


class Processors(Told):
    """From how many to how many."""

    min: int
    max: int


class ProcessorPrices(Told):
    """Dollars for one processor and hour."""

    secure_per_vcpu: float
    serverless_per_vcpu: float


class CpuType(Told):
    """A kind of pods without a card."""

    id: str
    name: str
    group: str
    vcpu: Processors
    ram_gb_per_vcpu: float
    price: ProcessorPrices
    availability: str | None = absent()
    data_centers: list[Availability] | None = absent()


class CpusTold(Told):
    """`GET /v2/catalog/cpus`."""

    cpus: list[CpuType]


class DataCenter(Told):
    """A place in which machines stand."""

    id: str
    name: str
    region: str
    global_network: bool
    network_volume_types: list[str]
    compliance: list[str]
    gpu_availability: list[Availability] | None = absent()
    cpu_availability: list[Availability] | None = absent()


class DataCentersTold(Told):
    """`GET /v2/catalog/datacenters`."""

    data_centers: list[DataCenter]


class CatalogTemplates(Told):
    """`GET /v2/catalog/templates`."""

    templates: list[TemplateTold]


class BillRecord(Told):
    """What was spent in one stretch of time: amounts by name, in dollars."""

    model_config = ConfigDict(extra="allow")
    start_time: datetime
    end_time: datetime


class BillQuery(Told):
    """What was asked for, whole stretches of time."""

    start_time: datetime
    end_time: datetime
    bucket_size: str
    filter: dict[str, str] | None = absent()


class BillMetadata(Told):
    """How much there is, and its sums."""

    model_config = ConfigDict(extra="allow")
    query: BillQuery
    record_count: int
    totals: dict[str, float]


class BillTold(Told):
    """`GET /v2/billing` and each of its parts."""

    records: list[BillRecord]
    metadata: BillMetadata
