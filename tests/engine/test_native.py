"""A build of llama.cpp is used only if its layouts are the known ones."""

import ctypes as c
import ctypes.util
from pathlib import Path

import pytest

from puna.node.engine.native import (
    ContextParams,
    ModelParams,
    WrongBuild,
    check_defaults,
    load_model,
    open_library,
)
from tests.engine.floats.test_forward import library

pytestmark = pytest.mark.model


def test_the_pinned_build_is_known() -> None:
    params = open_library(library()).llama_context_default_params()
    assert (params.n_batch, params.n_ubatch, params.n_seq_max) == (2048, 512, 1)


def test_the_layouts_have_the_sizes_of_the_pinned_build() -> None:
    assert (c.sizeof(ModelParams), c.sizeof(ContextParams)) == (80, 168)


@pytest.mark.parametrize(
    ("kind", "field"),
    [("model", "use_extra_bufts"), ("context", "n_batch"), ("context", "offload_kqv")],
)
def test_a_build_with_other_defaults_is_refused(kind: str, field: str) -> None:
    opened = open_library(library())
    params = {
        "model": opened.llama_model_default_params(),
        "context": opened.llama_context_default_params(),
    }
    setattr(params[kind], field, 0)
    with pytest.raises(WrongBuild, match="layouts are not known"):
        check_defaults(params["model"], params["context"])


def test_a_library_without_these_functions_is_refused() -> None:
    with pytest.raises(WrongBuild, match="has no llama_"):
        open_library(ctypes.util.find_library("c") or "libc.so.6")


def test_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="could not be loaded"):
        load_model(open_library(library()), str(tmp_path / "none.gguf"))
