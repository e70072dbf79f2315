"""llama.cpp's C API, as far as scoring needs it, through the library inside the pinned wheel.

The layouts follow `llama.h` of that build. Before anything else the library's own default values
are compared with what the layouts must give, so another build is refused instead of misread. Used
only in the child process.
"""

import ctypes as c
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, cast

_I32, _U32, _F32, _PTR, _FLAG = c.c_int32, c.c_uint32, c.c_float, c.c_void_p, c.c_bool
_F16, _Q8_0, _Q4_0 = 1, 8, 2
CACHE_TYPES = {"f16": _F16, "q8_0": _Q8_0, "q4_0": _Q4_0}
_DEFAULT_BATCH, _DEFAULT_STEP = 2048, 512
_AUTOMATIC = -1
_SPLIT_MODES = {"NONE": 0, "LAYER": 1}
_NO_CARD: Mapping[str, object] = MappingProxyType(
    {"n_gpu_layers": 0, "main_gpu": -1, "split_mode": "NONE", "tensor_split": [0.0] * 128}
)


def _all(kind: type, names: str) -> list[tuple[str, type]]:
    return [(name, kind) for name in names.split()]


class ModelParams(c.Structure):
    """`llama_model_params`."""

    _fields_: ClassVar = [
        *_all(_PTR, "devices tensor_buft_overrides"),
        *_all(_I32, "n_gpu_layers split_mode load_mode lazy_mode main_gpu"),
        *_all(_PTR, "tensor_split progress_callback progress_user kv_overrides"),
        *_all(_FLAG, "vocab_only check_tensors use_extra_bufts no_host no_alloc load_mtp"),
    ]


class ContextParams(c.Structure):
    """`llama_context_params`."""

    _fields_: ClassVar = [
        *_all(_U32, "n_ctx n_batch n_ubatch n_seq_max n_rs_seq n_outputs_max"),
        *_all(_U32, "n_outputs_max_per_seq"),
        *_all(_I32, "n_threads n_threads_batch ctx_type rope_scaling_type pooling_type"),
        *_all(_I32, "attention_type flash_attn_type"),
        *_all(_F32, "rope_freq_base rope_freq_scale yarn_ext_factor yarn_attn_factor"),
        *_all(_F32, "yarn_beta_fast yarn_beta_slow"),
        ("yarn_orig_ctx", _U32),
        ("defrag_thold", _F32),
        *_all(_PTR, "cb_eval cb_eval_user"),
        *_all(_I32, "type_k type_v"),
        *_all(_PTR, "abort_callback abort_user"),
        ("unnamed", c.c_uint64),
        *_all(_FLAG, "embeddings offload_kqv no_perf op_offload swa_full kv_unified"),
        ("samplers", _PTR),
        ("n_samplers", c.c_size_t),
        ("ctx_other", _PTR),
    ]


class Batch(c.Structure):
    """`llama_batch`."""

    _fields_: ClassVar = [
        ("n_tokens", _I32),
        ("token", c.POINTER(_I32)),
        ("embd", c.POINTER(_F32)),
        ("pos", c.POINTER(_I32)),
        ("n_seq_id", c.POINTER(_I32)),
        ("seq_id", c.POINTER(c.POINTER(_I32))),
        ("logits", c.POINTER(c.c_int8)),
    ]


_SIGNATURES: dict[str, tuple[object, ...]] = {
    "llama_backend_init": (None,),
    "llama_model_default_params": (ModelParams,),
    "llama_context_default_params": (ContextParams,),
    "llama_model_load_from_file": (_PTR, c.c_char_p, ModelParams),
    "llama_init_from_model": (_PTR, _PTR, ContextParams),
    "llama_model_get_vocab": (_PTR, _PTR),
    "llama_vocab_n_tokens": (_I32, _PTR),
    "llama_vocab_is_eog": (_FLAG, _PTR, _I32),
    "llama_get_memory": (_PTR, _PTR),
    "llama_tokenize": (_I32, _PTR, c.c_char_p, _I32, c.POINTER(_I32), _I32, _FLAG, _FLAG),
    "llama_decode": (_I32, _PTR, Batch),
    "llama_get_logits_ith": (c.POINTER(_F32), _PTR, _I32),
    "llama_memory_clear": (None, _PTR, _FLAG),
    "llama_memory_seq_cp": (None, _PTR, _I32, _I32, _I32, _I32),
    "llama_memory_seq_rm": (_FLAG, _PTR, _I32, _I32, _I32),
}


class WrongBuild(RuntimeError):
    """The library has other layouts than these."""


def open_library(path: str) -> c.CDLL:
    """Load the library and make sure that it is the one that is known. Raises `WrongBuild`."""
    library = c.CDLL(path)
    for name, (result, *arguments) in _SIGNATURES.items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise WrongBuild(f"this build of llama.cpp has no {name}") from None
        function.restype, function.argtypes = result, arguments
    check_defaults(library.llama_model_default_params(), library.llama_context_default_params())
    library.llama_backend_init()
    return library


def load_model(
    library: c.CDLL,
    path: str,
    *,
    offload: Mapping[str, object] = _NO_CARD,
    vocab_only: bool = False,
) -> int:
    """Load a model, or only its tokens. Raises `RuntimeError`; the reason is in the log.

    `offload` says what goes on which cards, in the words of `parameters.offload_parameters`.
    """
    params = library.llama_model_default_params()
    params.vocab_only = vocab_only
    params.n_gpu_layers = cast("int", offload["n_gpu_layers"])
    params.main_gpu = cast("int", offload["main_gpu"])
    params.split_mode = _SPLIT_MODES[str(offload["split_mode"])]
    split = cast("list[float]", offload["tensor_split"])
    shares = (_F32 * len(split))(*split)
    params.tensor_split = c.cast(shares, _PTR)
    model: int | None = library.llama_model_load_from_file(path.encode(), params)
    if not model:
        raise RuntimeError("the model could not be loaded")
    return model


def check_defaults(model: ModelParams, context: ContextParams) -> None:
    """Raise `WrongBuild` if a library's default values are not where the layouts have them."""
    is_known = (
        model.use_extra_bufts
        and not (model.vocab_only or model.check_tensors)
        and (context.n_batch, context.n_ubatch) == (_DEFAULT_BATCH, _DEFAULT_STEP)
        and context.n_seq_max == 1
        and (context.type_k, context.type_v) == (_F16, _F16)
        and context.offload_kqv
        and not (context.embeddings or context.samplers or context.n_samplers)
        and (context.yarn_ext_factor, context.flash_attn_type) == (_AUTOMATIC, _AUTOMATIC)
    )
    if not is_known or sys.byteorder != "little":
        raise WrongBuild("this build of llama.cpp cannot score: its layouts are not known")
