"""Which of some tokens comes next, in the words of llama.cpp's server. Pure."""

from collections.abc import Mapping, Sequence
from typing import cast

from puna.chat.messages import Json
from puna.node.engine.events import EngineFailed

_FAVOUR = 100.0
"""What is added to the logits of the tokens that count; nothing else is left of the others."""


def choice_question(prompt: Sequence[int], among: Sequence[int]) -> Mapping[str, Json]:
    """Return the question to `/completion` that tells how likely each of some tokens is."""
    return {
        "prompt": list(prompt),
        "n_predict": 1,
        "logit_bias": [[token, _FAVOUR] for token in among],
        "samplers": ["temperature"],
        "temperature": 1.0,
        "n_probs": len(among),
        "post_sampling_probs": True,
        "cache_prompt": True,
        "stream": False,
    }


def read_choice(answer: Mapping[str, object]) -> dict[int, float]:
    """Return the probabilities by token. Raises `EngineFailed` for an answer without any."""
    told = answer.get("completion_probabilities")
    if not isinstance(told, list) or not told:
        raise EngineFailed("the engine did not say how likely its tokens were")
    entries = cast("list[Mapping[str, float]]", told[0].get("top_probs", []))
    return {int(entry["id"]): float(entry["prob"]) for entry in entries}
