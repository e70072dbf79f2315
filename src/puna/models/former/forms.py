"""Tell an old form from the header of a file, and what the file becomes in llama.cpp's own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from puna.models.former.eyes import FAMILIES, write_eyes
from puna.models.former.recast import Recast, Rewriting
from puna.models.former.texts import TOKENS, write_text_part
from puna.models.gguf import GgufArray, GgufHeader, ValueKind

_VISION = ("v.", "mm.")
_LLAMA3_WORDS = 128_256
_LLAMA3_BEGIN = 128_000


@dataclass(frozen=True, slots=True)
class Former:
    """A file in an old form: which, and what it becomes."""

    form: str
    text: Recast
    eyes: Recast | None = None
    """The part that sees images, which llama.cpp wants in a file of its own."""


def former_of(header: GgufHeader) -> Former | None:
    """Return what the file becomes in llama.cpp's form; None for one that needs no change."""
    form = _form_of(header)
    if form is None:
        return None
    text = Rewriting(header)
    write_text_part(text, form)
    if form not in FAMILIES or not _begins(header, "v."):
        return Former(form, text.done())
    eyes = Rewriting(header)
    write_eyes(eyes, form)
    return Former(form, text.done(), eyes.done())


def projector_of(header: GgufHeader) -> Recast | None:
    """Return what a projector without a kind becomes: one of LLaVA's first; None for others."""
    keys = ("clip.projector_type", "clip.vision.projector_type")
    is_kindless = header.architecture == "clip" and not any(header.text(key) for key in keys)
    if not is_kindless or header.metadata.get("clip.has_vision_encoder") is not True:
        return None
    new = Rewriting(header)
    new.set("clip.projector_type", "mlp")
    return new.done()


def _form_of(header: GgufHeader) -> str | None:
    family = header.architecture
    if family == "gemma3" and _has(header, "dense.0.weight"):
        return "embeddinggemma"
    told = _TELLS.get(family)
    return family if told is not None and told(header) else None


def _has(header: GgufHeader, *names: str) -> bool:
    return any(tensor.name in names for tensor in header.tensors)


def _begins(header: GgufHeader, *prefixes: str) -> bool:
    return any(tensor.name.startswith(prefixes) for tensor in header.tensors)


def _ends(header: GgufHeader, suffix: str) -> bool:
    return any(tensor.name.endswith(suffix) for tensor in header.tensors)


def _has_keys(header: GgufHeader, *names: str) -> bool:
    return any(header.own_key(name) in header.metadata for name in names)


def _is_gemma3(header: GgufHeader) -> bool:
    padding = ("tokenizer.ggml.add_padding_token", "tokenizer.ggml.add_unknown_token")
    return (
        _begins(header, *_VISION)
        or _has_keys(header, "mm.tokens_per_image", "rope.global.freq_base", "rope.local.freq_base")
        or any(key in header.metadata for key in padding)
        or not _has_keys(header, "attention.layer_norm_rms_epsilon")
    )


def _is_gemma3n(header: GgufHeader) -> bool:
    names = ("token_embd.weight", "per_layer_token_embd.weight")
    rows = [each.shape[-1] for each in header.tensors if each.name in names]
    return len(set(rows)) > 1


def _is_gemma4(header: GgufHeader) -> bool:
    senses = (*_VISION, "a.", "model.vision_tower.")
    return _begins(header, *senses) or header.text("tokenizer.ggml.model") == "llama"


def _is_mistral3(header: GgufHeader) -> bool:
    scaling = ("rope.scaling.beta_fast", "rope.scaling.mscale_all_dim", "rope.scaling_beta")
    return _begins(header, *_VISION) or _has_keys(header, *scaling)


def _is_qwen35(header: GgufHeader) -> bool:
    names = ("vision.block_count", "image_token_id", "ssm.v_head_reordered")
    is_mixed = header.architecture == "qwen35moe" and _has_keys(header, "feed_forward_length")
    return (
        is_mixed
        or _has_keys(header, *names, "rope.mrope_interleaved")
        or _begins(header, "mtp.", "v.")
    )


def _is_laguna(header: GgufHeader) -> bool:
    swa = ("rope.swa.dimension_count", "rope.swa.freq_base")
    return _has_keys(header, *swa) or _has(header, "blk.0.attn_g.weight")


def _is_lfm2(header: GgufHeader) -> bool:
    return _has(header, "output_norm.weight") and not _has(header, "token_embd_norm.weight")


def _is_nemotron(header: GgufHeader) -> bool:
    return _begins(header, "mtp.") or any(".ffn_latent_in." in each.name for each in header.tensors)


def _is_snowflake(header: GgufHeader) -> bool:
    letters = header.metadata.get("tokenizer.ggml.precompiled_charsmap")
    is_text = isinstance(letters, GgufArray) and letters.kind is ValueKind.STRING
    return is_text and header.text("tokenizer.ggml.model") == "t5"


def _is_llama3(header: GgufHeader) -> bool:
    words = header.metadata.get(TOKENS)
    return (
        isinstance(words, GgufArray)
        and words.count == _LLAMA3_WORDS
        and header.integer("tokenizer.ggml.bos_token_id") == _LLAMA3_BEGIN
        and header.text("tokenizer.ggml.pre") in {None, "", "default"}
    )


def _always(header: GgufHeader) -> bool:
    del header
    return True


_TELLS: Mapping[str, Callable[[GgufHeader], bool]] = MappingProxyType(
    {
        "bert": _is_snowflake,
        "gemma3": _is_gemma3,
        "gemma3n": _is_gemma3n,
        "gemma4": _is_gemma4,
        "glm4moelite": _always,
        "glmocr": _always,
        "gptoss": _always,
        "laguna": _is_laguna,
        "lfm2": _is_lfm2,
        "llama": _is_llama3,
        "llama4": lambda header: _begins(header, *_VISION),
        "mistral3": _is_mistral3,
        "nemotron_h_moe": _is_nemotron,
        "olmo3": _always,
        "qwen25vl": _always,
        "qwen35": _is_qwen35,
        "qwen35moe": _is_qwen35,
        "qwen3next": lambda header: _ends(header, ".ssm_dt"),
        "qwen3vl": lambda header: not _has_keys(header, "rope.dimension_sections"),
        "qwen3vlmoe": lambda header: not _has_keys(header, "rope.dimension_sections"),
    }
)
"""For each architecture that has old files, how they are told from those of llama.cpp."""
