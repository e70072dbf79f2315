"""`litellm`, unmodified: each of the three ways in which it speaks to a server like this one.

It is imported in a process of its own: it takes seconds, sets loggers of its own at import and
leaves clients open, none of which other tests should bear.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from tests.serving import Serving

pytestmark = [pytest.mark.model, pytest.mark.journey]

PROGRAM = """
import json, os, sys
import litellm
asked = json.loads(sys.argv[1])
told = {}
for model, base in asked.items():
    words = dict(model=model, api_base=base, api_key="none", max_tokens=8, temperature=0)
    words["messages"] = [{"role": "user", "content": "What is a hamburger?"}]
    whole = litellm.completion(**words)
    parts = [c.choices[0].delta.content or "" for c in litellm.completion(**words, stream=True)]
    choice = whole.choices[0]
    told[model] = {
        "text": choice.message.content,
        "streamed": "".join(parts),
        "tokens": whole.usage.completion_tokens,
    }
try:
    litellm.completion(**{**words, "model": "openai/none"})
except litellm.exceptions.NotFoundError as error:
    told["missing"] = type(error).__name__
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(server: Serving) -> Mapping[str, Mapping[str, object]]:
    """What it heard through each prefix."""
    asked = {
        "ollama/smollm2": server.url,
        "ollama_chat/smollm2": server.url,
        "openai/smollm2": f"{server.url}/v1",
    }
    settings = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(asked)],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    heard = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(heard, dict)
    return heard


@pytest.mark.parametrize("prefix", ["ollama", "ollama_chat", "openai"])
def test_it_answers_through_each_prefix(
    told: Mapping[str, Mapping[str, object]], prefix: str
) -> None:
    heard = told[f"{prefix}/smollm2"]
    assert heard["tokens"] == 8
    assert heard["text"]


@pytest.mark.parametrize("prefix", ["ollama", "ollama_chat", "openai"])
def test_a_stream_says_the_same_as_a_whole_answer(
    told: Mapping[str, Mapping[str, object]], prefix: str
) -> None:
    heard = told[f"{prefix}/smollm2"]
    assert heard["streamed"] == heard["text"]


def test_a_missing_model_is_its_own_error(told: Mapping[str, object]) -> None:
    assert told["missing"] == "NotFoundError"
