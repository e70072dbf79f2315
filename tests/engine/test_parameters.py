import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from puna.chat.marks import Illustrated
from puna.chat.messages import Json
from puna.errors import Invalid
from puna.models.fit_offload import CardShare
from puna.models.options import Sampling
from puna.node.engine.parameters import (
    InvalidLoad,
    InvalidSchema,
    Place,
    completion_parameters,
    load_parameters,
)
from puna.node.engine.request import (
    CacheType,
    Completion,
    EngineFacts,
    Grammar,
    LoadSpec,
    Speculation,
)
from puna.units import Size
from tests.pictures import an_image

SPEC = LoadSpec(Path("/models/x.gguf"), context=1024, slots=4, memory=Size(0))
FACTS = EngineFacts(
    context=1024, slots=4, memory=Size(0), threads=2, has_chat_template=True, vocabulary=100
)
ON_CARD = CardShare("CUDA1", number=1, layers=20, memory=Size(9))
ONE = {"gpu_layers": 20, "all_layers": 31, "shares": (ON_CARD,)}
TWO = {
    "gpu_layers": 20,
    "shares": (replace(ON_CARD, number=0, layers=12), replace(ON_CARD, number=2, layers=8)),
}
EYES = Path("/models/eyes.gguf")
COMPLETION = Completion(prompt=(1, 2, 3), sampling=Sampling(), max_tokens=50)


def load(spec: LoadSpec) -> dict[str, Json]:
    return load_parameters(spec, Place("/run/x.sock"), threads=3)


def ask(completion: Completion) -> dict[str, Json]:
    return completion_parameters(completion, FACTS)


def ask_with(**sampling: object) -> dict[str, Json]:
    return ask(replace(COMPLETION, sampling=replace(Sampling(), **sampling)))  # type: ignore[arg-type]


def with_schema(schema: object) -> Completion:
    text = schema if isinstance(schema, str) else json.dumps(schema)
    return replace(COMPLETION, grammar=Grammar(text))


def test_every_slot_gets_the_whole_context() -> None:
    assert load(SPEC)["n_ctx"] == 4096
    assert load(SPEC)["kv_unified"] is False


def test_what_the_estimate_of_memory_counts_on_is_so() -> None:
    parameters = load(replace(SPEC, batch=256))

    assert parameters["n_batch"] == parameters["n_ubatch"] == 256
    assert parameters["cache_ram_mib"] == 0
    assert parameters["fit_params"] is False


def test_the_child_has_no_web_page_and_listens_where_it_is_told() -> None:
    parameters = load_parameters(SPEC, Place("127.0.0.1", key="secret"), threads=1)

    assert parameters["ui"] is False
    assert parameters["hostnames"] == ["127.0.0.1"]
    assert parameters["api_keys"] == ["secret"]


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        pytest.param({}, "cpuparams.n_threads", 3, id="threads-default"),
        pytest.param({"threads": 7}, "cpuparams.n_threads", 7, id="threads"),
        pytest.param({"threads": 7}, "cpuparams_batch.n_threads", 7, id="threads-prefill"),
        pytest.param({}, "load_mode", "AUTO", id="mmap-default"),
        pytest.param({"use_mmap": True}, "load_mode", "MMAP", id="mmap"),
        pytest.param({"use_mmap": False}, "load_mode", "NONE", id="no-mmap"),
        pytest.param({"cache_type": CacheType.Q8_0}, "cache_type_k", "Q8_0", id="cache-keys"),
        pytest.param({"cache_type": CacheType.Q4_0}, "cache_type_v", "Q4_0", id="cache-values"),
        pytest.param({}, "flash_attn_type", "AUTO", id="flash-attention-default"),
        pytest.param({"flash_attention": False}, "flash_attn_type", "DISABLED", id="no-flash"),
        pytest.param({"gpu_layers": 20}, "n_gpu_layers", 0, id="no-card"),
        pytest.param({}, "main_gpu", -1, id="no-card-for-long-prompts"),
        pytest.param({}, "mmproj_use_gpu", False, id="no-card-for-images"),
        pytest.param(ONE, "n_gpu_layers", 20, id="layers"),
        pytest.param(ONE, "main_gpu", 1, id="card"),
        pytest.param(ONE, "split_mode", "NONE", id="one-card"),
        pytest.param(ONE, "mmproj_use_gpu", True, id="images"),
        pytest.param({**ONE, "projector": EYES}, "mmproj_device", "CUDA1", id="card-of-images"),
        pytest.param(TWO, "split_mode", "LAYER", id="two-cards"),
        pytest.param(TWO, "tensor_split", [12.0, 0.0, 8.0, *[0.0] * 125], id="layers-of-each"),
    ],
)
def test_a_load_says(change: dict[str, object], name: str, value: object) -> None:
    spec = replace(SPEC, **change)  # type: ignore[arg-type]

    assert load(spec)[name] == value


@pytest.mark.parametrize(
    "change",
    [
        {"context": 0},
        {"context": -1},
        {"context": 40_000_000},
        {"slots": 0},
        {"slots": 257},
        {"context": 2**24, "slots": 256},
        {"batch": 0},
        {"batch": 1, "slots": 1},
        {"batch": 3, "slots": 4},
        {"batch": 10**9},
        {"threads": 513},
        {"main_gpu": -1},
        {"gpu_layers": -2},
        {"cache_type": CacheType.Q8_0, "flash_attention": False},
    ],
    ids=str,
)
def test_a_load_that_would_kill_the_engine_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InvalidLoad):
        load(replace(SPEC, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sampling", "name", "value"),
    [
        pytest.param({"temperature": 0.5}, "temperature", 0.5, id="temperature"),
        pytest.param({"temperature": -1.0}, "temperature", 0.0, id="cold"),
        pytest.param({"top_k": -5}, "top_k", 0, id="top-k-off"),
        pytest.param({"top_k": 10**12}, "top_k", 2**31 - 1, id="top-k-huge"),
        pytest.param({"top_p": 7.0}, "top_p", 1.0, id="top-p-off"),
        pytest.param({"typical_p": 0.4}, "typical_p", 0.4, id="typical"),
        pytest.param({"repeat_penalty": 0.0}, "repeat_penalty", 0.01, id="no-division-by-zero"),
        pytest.param({"repeat_last_n": -1}, "repeat_last_n", 1024, id="look-back-at-all"),
        pytest.param({"repeat_last_n": 10**9}, "repeat_last_n", 1024, id="look-back-no-further"),
        pytest.param({"seed": 42}, "seed", 42, id="seed"),
        pytest.param({"seed": -7}, "seed", -1, id="seed-random"),
        pytest.param({"seed": 2**32 - 1}, "seed", 0, id="seed-that-means-random"),
        pytest.param({"num_keep": -1}, "n_keep", -1, id="keep-the-prompt"),
        pytest.param({"num_keep": 24}, "n_keep", 24, id="keep"),
        pytest.param({"stop": ("a", "", "b", "a")}, "stop", ["a", "b"], id="stops-once-not-empty"),
    ],
)
def test_a_completion_says(sampling: dict[str, object], name: str, value: object) -> None:
    assert ask_with(**sampling)[name] == value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(Invalid, match="temperature must be a number"):
        ask_with(temperature=value)


def test_ten_thousand_stop_strings_are_taken_and_a_megabyte_of_them_is_not() -> None:
    stops = tuple(f"stop {number}" for number in range(10_000))

    assert ask_with(stop=stops)["stop"] == list(stops)
    with pytest.raises(Invalid, match="stop strings"):
        ask_with(stop=("x" * 2**20, "y"))


@pytest.mark.parametrize("token", [-1, 100, 2**31, 10**30])
def test_a_token_outside_the_vocabulary_is_refused(token: int) -> None:
    with pytest.raises(Invalid, match=f"token {token} is not in the vocabulary"):
        ask(replace(COMPLETION, prompt=(1, token)))


def test_without_shift_the_answer_ends_where_the_context_does() -> None:
    endless = replace(COMPLETION, max_tokens=10**9)

    assert ask(endless)["n_predict"] == 10**9
    assert ask(replace(endless, shift=False))["n_predict"] == 1024 - 3


@pytest.mark.parametrize(("logprobs", "native"), [(None, 0), (0, 1), (1, 1), (20, 20)])
def test_log_probabilities_of_the_chosen_token_alone_can_be_asked(
    logprobs: int | None, native: int
) -> None:
    assert ask(replace(COMPLETION, logprobs=logprobs))["n_probs"] == native


@pytest.mark.parametrize("logprobs", [-1, 101])
def test_an_absurd_number_of_log_probabilities_is_refused(logprobs: int) -> None:
    with pytest.raises(Invalid, match="logprobs must be between"):
        ask(replace(COMPLETION, logprobs=logprobs))


def test_any_json_is_an_object_and_a_schema_keeps_its_order() -> None:
    schema = {"type": "object", "properties": {"b": {}, "a": {}}}
    sent = ask(with_schema(schema))["json_schema"]

    anything = ask(replace(COMPLETION, grammar=Grammar()))["json_schema"]

    assert isinstance(sent, dict)
    assert isinstance(anything, dict)
    assert anything["type"] == "object"
    assert ask(with_schema({}))["json_schema"] == anything
    assert json.dumps(sent["properties"]) == '{"b": {}, "a": {}}'


def nested(depth: int) -> str:
    return '{"items":' * depth + "{}" + "}" * depth


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        pytest.param("{", "is not JSON", id="no-json"),
        pytest.param("[]", "is not an object", id="list"),
        pytest.param("null", "is not an object", id="null"),
        pytest.param({"x": "y" * 2**18}, "larger than", id="large"),
        pytest.param(nested(100), "deeper than", id="deep"),
        pytest.param(nested(20_000), "deeper than", id="deeper-than-python"),
        pytest.param({"minItems": 10**9}, "counts more than", id="items"),
        pytest.param({"x": dict.fromkeys(map(str, range(1001)))}, "1000 keys", id="keys"),
        pytest.param({"maxItems": 1e308}, "counts more than", id="huge-float"),
        pytest.param('{"minItems": NaN}', "counts more than", id="not-a-number"),
        pytest.param([{"minItems": 60_000}], "is not an object", id="list-of-schemas"),
        pytest.param(
            {"anyOf": [{"minItems": 60_000}, {"maxItems": 60_000}]}, "counts more", id="together"
        ),
    ],
)
def test_a_schema_that_could_kill_the_engine_is_refused(schema: object, words: str) -> None:
    with pytest.raises(InvalidSchema, match=words):
        ask(with_schema(schema))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=20))
def test_any_text_is_a_schema_or_refused(schema: object) -> None:
    try:
        sent = ask(with_schema({"enum": schema}))["json_schema"]
    except InvalidSchema:
        return
    assert isinstance(sent, dict)


@pytest.mark.parametrize(
    ("speculation", "parameters"),
    [
        (None, {}),
        (
            Speculation(),
            {
                "speculative.types": ["NGRAM_SIMPLE"],
                "speculative.ngram_simple.size_n": 6,
                "speculative.ngram_simple.size_m": 8,
            },
        ),
        (
            Speculation(Path("/models/small.gguf"), most=1000),
            {
                "speculative.types": ["DRAFT_SIMPLE"],
                "speculative.draft.mparams.path": "/models/small.gguf",
                "speculative.draft.n_max": 64,
                "speculative.draft.n_gpu_layers": 0,
            },
        ),
    ],
    ids=["none", "ngram", "draft"],
)
def test_tokens_are_guessed_ahead_as_asked(
    speculation: Speculation | None, parameters: dict[str, Json]
) -> None:
    found = load(replace(SPEC, speculation=speculation))
    assert {name: found[name] for name in found if "speculative" in name} == parameters


def test_a_draft_model_is_on_the_card_where_the_model_is() -> None:
    draft = Speculation(Path("/models/small.gguf"))
    found = load(replace(SPEC, speculation=draft, **ONE))  # type: ignore[arg-type]
    assert found["speculative.draft.n_gpu_layers"] == 2**16


def test_biases_reach_tokens_of_the_vocabulary_only() -> None:
    assert ask(replace(COMPLETION, logit_bias={5: -1e9}))["logit_bias"] == [[5, -1e6]]
    with pytest.raises(Invalid, match="token 100 is not"):
        ask(replace(COMPLETION, logit_bias={100: 1.0}))


def test_a_projector_is_loaded_and_no_other_program_gets_what_it_cannot_read() -> None:
    blind, seeing = load(SPEC), load(replace(SPEC, projector=Path("/models/eyes.gguf")))
    assert (blind["mmproj.path"], seeing["mmproj.path"]) == ("", "/models/eyes.gguf")
    assert blind["video_ffmpeg_bin_dir"] == seeing["video_ffmpeg_bin_dir"] == os.devnull


def test_images_go_beside_a_text_with_the_engines_own_marks() -> None:
    red, blue = an_image("red"), an_image("blue")
    prompt = Illustrated(("a", red, "b [img-0] ", blue, "c"))
    facts = replace(FACTS, image_mark="<mark>")
    asked = completion_parameters(replace(COMPLETION, prompt=prompt, shift=False), facts)
    assert asked["prompt"] == {
        "prompt_string": "a<mark>b [img-0] <mark>c",
        "multimodal_data": [red.base64, blue.base64],
    }
    assert asked["n_predict"] == COMPLETION.max_tokens


def test_a_model_that_sees_nothing_gets_no_images() -> None:
    with pytest.raises(Invalid, match="sees no images"):
        ask(replace(COMPLETION, prompt=Illustrated(("", an_image(), "?"))))


def test_each_answer_says_which_of_the_loaded_adapters_it_is_for() -> None:
    facts = replace(FACTS, adapters=(Path("/a"), Path("/b")))
    tuned = replace(COMPLETION, adapters=(Path("/b"),))
    assert completion_parameters(tuned, facts)["lora"] == [
        {"id": 0, "scale": 0.0},
        {"id": 1, "scale": 1.0},
    ]
    assert completion_parameters(COMPLETION, facts)["lora"] == [
        {"id": 0, "scale": 0.0},
        {"id": 1, "scale": 0.0},
    ]
    assert "lora" not in completion_parameters(COMPLETION, FACTS)
