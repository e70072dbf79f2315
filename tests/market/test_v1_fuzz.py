"""Whatever is sent to version 1 becomes a pod, or is refused with a reason."""

from typing import Any

from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from puna.errors import PunaError
from puna.market.domain.specs import check
from puna.market.http.rest_v1.words import change_of, wish_of
from puna.wire.runpod_v1 import CreatePodV1, UpdatePodV1

WORDS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=12),
    st.lists(st.text(max_size=5), max_size=3),
    st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=2),
)
FIELDS = (
    *("name", "env", "ports", "dockerArgs", "dockerStartCmd", "dockerEntrypoint", "locked"),
    *("containerDiskInGb", "volumeInGb", "volumeMountPath", "containerRegistryAuthId", "puna"),
    *("gpuCount", "gpuTypeIds", "minRAMPerGPU", "minVCPUPerGPU", "allowedCudaVersions"),
    *("countryCodes", "dataCenterIds", "minDownloadMbps", "vcpuCount", "cpuFlavorIds", "other"),
)
BODIES = st.fixed_dictionaries(
    {"imageName": st.one_of(st.just("img"), WORDS)},
    optional=dict.fromkeys(FIELDS, WORDS) | {"computeType": st.sampled_from(["GPU", "CPU"])},
)


def outcome(body: dict[str, Any]) -> int:
    """Return the status that a body gets from what is checked without a database."""
    try:
        check(wish_of(CreatePodV1.model_validate(body), None).spec)
    except ValidationError:
        return 400
    except PunaError as refused:
        return refused.status
    return 201


@settings(max_examples=150, deadline=None)
@given(BODIES)
def test_any_body_is_a_pod_or_refused(body: dict[str, Any]) -> None:
    assert outcome(body) in {201, 400, 404}


@settings(max_examples=100, deadline=None)
@given(BODIES)
def test_any_change_is_a_change_or_refused(body: dict[str, Any]) -> None:
    try:
        change = change_of(UpdatePodV1.model_validate(body))
    except ValidationError:
        return
    assert change.image is None or change.image == body["imageName"]
