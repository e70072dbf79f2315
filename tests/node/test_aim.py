"""What the purpose of a load makes of a model: a table."""

import pytest

from puna.models.options import Loading
from puna.node.engine.request import LoadSpec, Pooling, Purpose
from puna.node.placing import LoadWish, plan_load
from puna.settings import load_settings
from puna.units import Size
from tests.builders import LLAMA, LLAMA_TENSORS, Metadata, a_header

BERT: dict[str, object] = {
    "general.architecture": "bert",
    "bert.block_count": 2,
    "bert.context_length": 512,
    "bert.embedding_length": 64,
    "bert.attention.head_count": 4,
}
AUTOMATIC = Loading()
ROOMY = Size(8 * 10**9)


def planned(metadata: Metadata, purpose: Purpose, loading: Loading = AUTOMATIC) -> LoadSpec:
    wish = LoadWish("x", a_header(metadata, LLAMA_TENSORS), loading, purpose)
    settings = load_settings({}).node
    return plan_load(wish, settings, loaded=None, free=lambda: ROOMY).spec


@pytest.mark.parametrize(
    ("metadata", "purpose", "slots", "batch", "pooling"),
    [
        (LLAMA, Purpose.ANSWER, 4, 512, None),
        (LLAMA, Purpose.EMBED, 4, 512, Pooling.LAST),
        ({**LLAMA, "llama.pooling_type": 1}, Purpose.EMBED, 4, 2048, None),
        ({**LLAMA, "llama.pooling_type": 3}, Purpose.EMBED, 4, 512, None),
        ({**LLAMA, "llama.pooling_type": 4}, Purpose.EMBED, 4, 2048, Pooling.RANK),
        (BERT, Purpose.EMBED, 32, 512, Pooling.MEAN),
        (BERT | {"bert.pooling_type": 2}, Purpose.EMBED, 32, 512, None),
        (LLAMA, Purpose.SCORE, 1, 512, None),
    ],
)
def test_a_purpose_decides_slots_batch_and_pooling(
    metadata: Metadata, purpose: Purpose, slots: int, batch: int, pooling: Pooling | None
) -> None:
    spec = planned(metadata, purpose)
    assert (spec.slots, spec.batch, spec.pooling) == (slots, batch, pooling)
    assert spec.purpose is purpose


def test_a_whole_text_is_one_step_whatever_batch_is_asked() -> None:
    assert planned(BERT, Purpose.EMBED, Loading(num_batch=64, num_ctx=128)).batch == 128


def test_the_rows_that_a_step_makes_are_counted() -> None:
    embeds, answers = (planned(LLAMA, each).memory for each in (Purpose.EMBED, Purpose.ANSWER))
    assert embeds > answers


def test_engines_for_two_purposes_are_two() -> None:
    embeds, answers = (planned(LLAMA, each) for each in (Purpose.EMBED, Purpose.ANSWER))
    assert embeds.key != answers.key
