"""Adapters (LoRA): small weights that are loaded beside a model and change what it says."""

import random
import urllib.request
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest

from tests.builders import a_gguf_header
from tests.serving import Serving

pytestmark = [pytest.mark.journey, pytest.mark.model]

ADAPTER = {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"}
WIDTH, RANK = 576, 4


def an_adapter(width: int = WIDTH, seed: int = 1) -> bytes:
    """Return an adapter for SmolLM2 that changes what one of its layers looks for."""
    tensors = {
        "blk.0.attn_q.weight.lora_a": ("F32", (width, RANK)),
        "blk.0.attn_q.weight.lora_b": ("F32", (RANK, width)),
    }
    numbers = random.Random(seed)  # noqa: S311 - no secret
    values = array("f", (numbers.gauss(0, 1) for _ in range(2 * width * RANK)))
    return a_gguf_header({**ADAPTER, "adapter.lora.alpha": 64.0}, tensors) + values.tobytes()


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    with Serving(tmp_path) as one:
        yield one


def create(serving: Serving, name: str, adapter: bytes) -> str:
    """Make a model of SmolLM2 with an adapter, and return how that ended."""
    digest = f"sha256:{sha256(adapter).hexdigest()}"
    request = serving.url + f"/api/blobs/{digest}"
    assert upload(request, adapter) == 201
    body = {"model": name, "from": "smollm2", "adapters": {"lora.gguf": digest}}
    last = serving.ask("/api/create", body).last
    return str(last.get("status") or last.get("error"))


def upload(url: str, content: bytes) -> int:
    with urllib.request.urlopen(url, content, timeout=60) as reply:  # noqa: S310 - ours
        return int(reply.status)


def answer(serving: Serving, model: str) -> str:
    options = {"temperature": 0, "num_predict": 12, "seed": 1}
    body = {"model": model, "prompt": "What is the capital of France?", "stream": False}
    last = serving.ask("/api/generate", {**body, "options": options}).last
    return str(last.get("response") or last.get("error"))


def test_an_adapter_changes_what_a_model_says_and_only_that_model(serving: Serving) -> None:
    assert create(serving, "tuned", an_adapter()) == "success"
    before, tuned, after = (answer(serving, name) for name in ("smollm2", "tuned", "smollm2"))
    assert tuned != before
    assert after == before


def test_models_with_adapters_of_their_own_take_turns_in_one_engine(serving: Serving) -> None:
    names = ("one", "two", "smollm2")
    assert create(serving, "one", an_adapter(seed=1)) == "success"
    assert create(serving, "two", an_adapter(seed=2)) == "success"
    first = [answer(serving, name) for name in names]
    engines = [each.pid for each in serving.engines]
    second = [answer(serving, name) for name in (*names, *names)]
    assert len(set(first)) == 3
    assert second == [*first, *first]
    assert [each.pid for each in serving.engines] == engines
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda name: answer(serving, name), names * 2)) == [*first, *first]


def test_an_adapter_of_another_model_is_refused_by_name(serving: Serving) -> None:
    assert create(serving, "wrong", an_adapter(width=64)) == "success"
    assert "could not be loaded" in answer(serving, "wrong")


def test_what_is_no_adapter_makes_no_model(serving: Serving) -> None:
    weights = a_gguf_header({"general.architecture": "llama"}, {})
    assert "lora.gguf is no adapter" in create(serving, "none", weights)
