"""The numbers, as Prometheus' own reader takes them: families, kinds, labels, histograms."""

from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families as families_of

from tests.api.stage import Stage, a_model, staged

KINDS = {
    "puna_requests": "counter",
    "puna_tokens": "counter",
    "puna_truncated_prompts": "counter",
    "puna_first_token_seconds": "histogram",
    "puna_output_tokens_per_second": "histogram",
    "puna_waiting_requests": "gauge",
    "puna_loaded_models": "gauge",
    "puna_model_memory_bytes": "gauge",
    "puna_engine_deaths": "counter",
}


async def families(stage: Stage) -> dict[str, Metric]:
    reply = await stage.ask("GET", "/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {each.name: each for each in families_of(reply.body.decode())}


async def test_every_family_has_its_kind_and_its_meaning(stage: Stage) -> None:
    await stage.generate()
    found = await families(stage)
    assert {name: each.type for name, each in found.items()} == KINDS
    assert all(each.documentation.endswith(".") for each in found.values())
    assert all(each.samples for each in found.values())


async def test_numbers_are_those_of_what_happened(stage: Stage) -> None:
    await stage.generate()
    await stage.generate()
    await stage.ask("GET", "/nowhere")
    requests = (await families(stage))["puna_requests"].samples
    counted = {
        (each.labels["method"], each.labels["route"], each.labels["status"]): each.value
        for each in requests
    }
    assert counted["POST", "/api/generate", "200"] == 2
    assert counted["GET", "(other)", "404"] == 1


async def test_a_histogram_ends_with_everything(stage: Stage) -> None:
    await stage.generate()
    samples = (await families(stage))["puna_first_token_seconds"].samples
    buckets = [each for each in samples if each.name.endswith("_bucket")]
    values = [each.value for each in buckets]
    assert values == sorted(values)
    assert buckets[-1].labels == {"le": "+Inf"}
    count = next(each.value for each in samples if each.name.endswith("_count"))
    assert values[-1] == count == 1


@pytest.fixture
def strange(tmp_path: Path) -> Path:
    path = tmp_path / 'a"b\\c\nd\\\x1b[31m é.gguf'
    path.write_bytes(a_model())
    return path


async def test_any_name_of_a_file_is_a_label(tmp_path: Path, strange: Path) -> None:
    async with staged(tmp_path) as stage:
        assert (await stage.generate(model=str(strange))).status == 200
        found = await families(stage)
    (loaded,) = {each.labels["model"] for each in found["puna_model_memory_bytes"].samples}
    assert loaded == str(strange)
