"""How a model is loaded: what is asked wins, then what is set, then what fits."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from puna.models.fit import estimate_fit
from puna.models.fit_projector import projector_size
from puna.models.gguf import GgufHeader, read_header
from puna.models.options import Loading
from puna.node.card_plan import TooBig
from puna.node.engine.request import CacheType, LoadSpec, Speculation
from puna.node.placing import (
    LoadWish,
    Plans,
    context_for,
    plan_load,
    speculation_for,
    without_effect,
)
from puna.node.scheduler.state import Wanted
from puna.settings import NodeSettings, load_settings
from puna.units import Size
from tests.builders import LLAMA, a_gguf

PLENTY = Size(64 * 10**9)
NOTHING_ASKED = Loading()


def plenty() -> Size:
    return PLENTY


@pytest.fixture
def header(tmp_path: Path) -> GgufHeader:
    """A model that learnt 8192 tokens of context."""
    file = tmp_path / "model.gguf"
    file.write_bytes(a_gguf({**LLAMA, "llama.context_length": 8192}))
    return read_header(file)


def settings(**changes: object) -> NodeSettings:
    return replace(load_settings({}).node, **changes)  # type: ignore[arg-type]


def with_eyes(folder: Path) -> GgufHeader:
    """A projector: what makes a model see."""
    file = folder / "mmproj.gguf"
    metadata = {"general.architecture": "clip", "clip.vision.image_size": 448}
    sizes = {"clip.vision.patch_size": 14, "clip.vision.embedding_length": 1024}
    file.write_bytes(a_gguf({**metadata, **sizes}, {"v.weight": ("F16", (1024, 1024))}))
    return read_header(file)


def plan(
    header: GgufHeader,
    loading: Loading = NOTHING_ASKED,
    *,
    loaded: LoadSpec | None = None,
    free: Callable[[], Size] = lambda: PLENTY,
    **set_: object,
) -> Wanted:
    wish = LoadWish("model", header, loading)
    return plan_load(wish, settings(**set_), loaded=loaded, free=free)


@pytest.mark.parametrize(
    ("asked", "is_set", "context"),
    [
        (None, 0, 4096),
        (None, 2048, 2048),
        (1000, 2048, 1000),
        (None, 10**6, 8192),
        (10**6, 0, 8192),
        (1, 0, 4),
    ],
)
def test_the_context_is_asked_or_set_or_4096_within_what_the_model_learnt(
    header: GgufHeader, asked: int | None, is_set: int, context: int
) -> None:
    wish = LoadWish("model", header, Loading(num_ctx=asked))
    assert context_for(wish, settings(context_length=is_set)) == context


def test_what_is_asked_and_set_reaches_the_load(header: GgufHeader) -> None:
    loading = Loading(num_ctx=512, num_batch=64, num_thread=3, use_mmap=False)
    spec = plan(header, loading, num_parallel=2, kv_cache_type="q8_0", flash_attention=True).spec
    assert (spec.weights, spec.context, spec.slots) == (header.path, 512, 2)
    assert (spec.batch, spec.threads, spec.use_mmap) == (64, 3, False)
    assert (spec.cache_type, spec.flash_attention) == (CacheType.Q8_0, True)


def test_what_nobody_asked_for_is_automatic(header: GgufHeader) -> None:
    cards = {"gpu_layers", "main_gpu"}
    assert plan(header).auto == {"batch", "threads", "use_mmap", *cards}
    assert plan(header, Loading(num_batch=64, num_thread=1)).auto == {"use_mmap", *cards}


def test_a_larger_context_that_is_loaded_will_do(header: GgufHeader) -> None:
    loaded = plan(header, Loading(num_ctx=8192)).spec
    assert plan(header, loaded=loaded).spec == loaded


def test_a_smaller_context_that_is_loaded_will_not(header: GgufHeader) -> None:
    loaded = plan(header, Loading(num_ctx=64)).spec
    assert plan(header, loaded=loaded).spec.context == 4096


def test_one_who_asks_for_a_context_gets_that_one(header: GgufHeader) -> None:
    loaded = plan(header, Loading(num_ctx=8192)).spec
    assert plan(header, Loading(num_ctx=512), loaded=loaded).spec.context == 512


def test_nothing_is_measured_for_a_model_that_is_loaded(header: GgufHeader) -> None:
    def measured() -> Size:
        raise AssertionError("measured")

    loaded = plan(header).spec
    assert plan(header, loaded=loaded, free=measured).spec == loaded


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_as_many_slots_are_taken_as_fit(header: GgufHeader, slots: int) -> None:
    room = estimate_fit(header, context=4096, parallel=slots, rooms=()).needed
    assert plan(header, free=lambda: room).spec.slots == slots


def test_slots_that_are_set_are_not_made_fewer(header: GgufHeader) -> None:
    room = estimate_fit(header, context=4096, parallel=4, rooms=()).needed
    with pytest.raises(TooBig):
        plan(header, free=lambda: room, num_parallel=8)


@pytest.mark.parametrize(("asked", "batch"), [(1, 2), (2, 2), (3, 3)])
def test_a_tiny_batch_means_as_few_slots(header: GgufHeader, asked: int, batch: int) -> None:
    spec = plan(header, Loading(num_batch=asked)).spec
    assert (spec.batch, spec.slots) == (batch, batch)


def test_slots_that_are_set_each_have_a_token_in_a_batch(header: GgufHeader) -> None:
    first = plan(header, Loading(num_batch=1), num_parallel=8)
    assert (first.spec.batch, first.spec.slots) == (8, 8)
    again = plan(header, Loading(num_batch=1), num_parallel=8, loaded=first.spec)
    assert again.accepts(first.spec)


def test_what_does_not_fit_is_refused_with_bytes_and_advice(header: GgufHeader) -> None:
    room = Size(estimate_fit(header, context=4096, parallel=1, rooms=()).needed - 1000)
    with pytest.raises(TooBig, match=r"context of 4096 .* 1000 bytes too few") as refusal:
        plan(header, free=lambda: room)
    assert "context" in refusal.value.hint


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({}, ()),
        ({"num_gpu": 99, "main_gpu": 1}, ("num_gpu", "main_gpu")),
        ({"num_gpu": 0, "main_gpu": None}, ()),
        ({"num_gpu": -1}, ()),
        ({"draft_num_predict": 4}, ("draft_num_predict",)),
    ],
)
def test_options_of_cards_have_no_effect_without_one(
    given: dict[str, object], names: tuple[str, ...]
) -> None:
    assert without_effect(given, has_draft=False, has_cards=False) == names
    assert "draft_num_predict" not in without_effect(given, has_draft=True, has_cards=False)
    assert "num_gpu" not in without_effect(given, has_draft=False, has_cards=True)


def test_plans_for_a_loaded_model_are_made_once(header: GgufHeader) -> None:
    plans = Plans(settings(), lambda: PLENTY, tuple)
    wish = LoadWish("model", header, NOTHING_ASKED)
    loaded = plans.plan(wish, loaded=None).spec
    first = plans.plan(wish, loaded=loaded)
    assert plans.plan(wish, loaded=loaded) is first
    assert first == plan(header, loaded=loaded)


def test_a_file_that_changed_is_planned_again(header: GgufHeader) -> None:
    plans = Plans(settings(), lambda: PLENTY, tuple)
    loaded = plan(header).spec
    plans.plan(LoadWish("model", header, NOTHING_ASKED), loaded=loaded)
    metadata = {**header.metadata, "llama.context_length": 512}
    shorter = replace(header, metadata=metadata)
    wish = LoadWish("model", shorter, Loading(num_ctx=4096))
    assert plans.plan(wish, loaded=loaded).spec.context == 512


@pytest.mark.parametrize(
    ("setting", "has_draft", "asked", "kind"),
    [
        ("auto", False, None, None),
        ("auto", True, None, "draft"),
        ("auto", True, 0, None),
        ("ngram", False, None, "ngram"),
        ("ngram", True, 7, "draft"),
        ("off", True, 7, None),
    ],
)
def test_a_draft_model_guesses_ahead_unless_told_not_to(
    header: GgufHeader, setting: str, has_draft: bool, asked: int | None, kind: str | None
) -> None:
    draft = header if has_draft else None
    wish = LoadWish("model", header, Loading(draft_num_predict=asked), draft=draft)
    found = speculation_for(wish, settings(speculation=setting))
    assert (found and found.kind) == kind
    assert speculation_for(replace(wish, guesses=False), settings(speculation=setting)) is None


def test_a_draft_model_counts_in_memory_and_in_the_refusal(header: GgufHeader) -> None:
    wish = LoadWish("model", header, NOTHING_ASKED, draft=header)
    with_draft = plan_load(wish, settings(), loaded=None, free=lambda: PLENTY).spec
    assert with_draft.speculation == Speculation(header.path, 4)
    assert with_draft.memory > 1.9 * plan(header).spec.memory
    few = Size(with_draft.memory // 2)
    with pytest.raises(TooBig, match="for its draft model"):
        plan_load(wish, settings(num_parallel=4), loaded=None, free=lambda: few)


def test_an_adapter_is_loaded_and_counts_in_memory_and_in_the_refusal(header: GgufHeader) -> None:
    adapter = replace(header, path=Path("/models/lora"), file_size=7_000_000)
    wish = LoadWish("model", header, NOTHING_ASKED, adapters=(adapter,))
    tuned = plan_load(wish, settings(), loaded=None, free=lambda: PLENTY).spec
    assert tuned.adapters == (Path("/models/lora"),)
    assert tuned.memory == plan(header).spec.memory + 7_000_000
    with pytest.raises(TooBig, match="for its adapter"):
        plan_load(wish, settings(), loaded=None, free=lambda: Size(7_000_000))


def test_a_model_that_gets_an_adapter_is_planned_again(header: GgufHeader) -> None:
    plans = Plans(settings(), lambda: PLENTY, tuple)
    loaded = plan(header).spec
    plans.plan(LoadWish("model", header, NOTHING_ASKED), loaded=loaded)
    adapter = replace(header, path=Path("/models/lora"))
    wish = LoadWish("model", header, NOTHING_ASKED, adapters=(adapter,))
    assert plans.plan(wish, loaded=loaded).spec.adapters == (Path("/models/lora"),)


def tuned_by(header: GgufHeader, path: Path) -> LoadWish:
    return LoadWish(path.name, header, NOTHING_ASKED, adapters=(replace(header, path=path),))


def test_models_that_differ_in_their_adapters_share_one_engine(
    header: GgufHeader, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"1" * 10)
    two.write_bytes(b"2" * 10)
    first = plan_load(tuned_by(header, one), settings(), loaded=None, free=plenty).spec
    both = plan_load(tuned_by(header, two), settings(), loaded=first, free=plenty)
    assert both.spec.adapters == (one, two)
    assert both.own_adapters == (two,)
    again = plan_load(tuned_by(header, one), settings(), loaded=both.spec, free=plenty)
    bare = plan_load(
        LoadWish("bare", header, NOTHING_ASKED), settings(), loaded=both.spec, free=plenty
    )
    assert (again.spec, bare.spec) == (both.spec, both.spec)
    assert (again.own_adapters, bare.own_adapters) == ((one,), ())


def test_the_adapters_of_others_stay_as_long_as_there_is_room_and_they_are_there(
    header: GgufHeader, tmp_path: Path
) -> None:
    gone, large, mine = tmp_path / "gone", tmp_path / "large", tmp_path / "mine"
    mine.write_bytes(b"")
    with large.open("wb") as file:
        file.truncate(PLENTY)
    loaded = replace(plan(header).spec, adapters=(gone, large))
    found = plan_load(tuned_by(header, mine), settings(), loaded=loaded, free=plenty).spec
    assert found.adapters == (mine,)


def test_a_projector_is_loaded_with_its_model_and_counted(
    header: GgufHeader, tmp_path: Path
) -> None:
    eyes = with_eyes(tmp_path)
    blind = plan_load(LoadWish("m", header, NOTHING_ASKED), settings(), loaded=None, free=plenty)
    wish = LoadWish("m", header, NOTHING_ASKED, projector=eyes)
    seeing = plan_load(wish, settings(), loaded=None, free=plenty)
    assert (blind.spec.projector, seeing.spec.projector) == (None, eyes.path)
    assert seeing.spec.memory - blind.spec.memory == projector_size(eyes)
    assert not seeing.accepts(blind.spec)


def test_a_projector_that_does_not_fit_is_named(header: GgufHeader, tmp_path: Path) -> None:
    wish = LoadWish("m", header, NOTHING_ASKED, projector=with_eyes(tmp_path))
    needed = plan_load(wish, settings(), loaded=None, free=plenty).spec.memory
    with pytest.raises(TooBig, match="for its projector of memory"):
        plan_load(wish, settings(), loaded=None, free=lambda: Size(needed // 4))


def test_a_model_that_sees_uses_no_draft(header: GgufHeader, tmp_path: Path) -> None:
    wish = LoadWish("m", header, NOTHING_ASKED, draft=header, projector=with_eyes(tmp_path))
    assert speculation_for(wish, settings(speculation="on")) is None


@pytest.mark.parametrize(("asked", "batch"), [(None, 512), (64, 512), (1024, 1024)])
def test_a_model_that_sees_has_room_for_an_image_in_each_step(
    header: GgufHeader, tmp_path: Path, asked: int | None, batch: int
) -> None:
    wish = LoadWish("m", header, Loading(num_batch=asked), projector=with_eyes(tmp_path))
    assert plan_load(wish, settings(), loaded=None, free=plenty).spec.batch == batch
