"""The part of an old file that reads and writes text, family by family, in llama.cpp's form.

What each family needs was read in August 2026 from what Ollama's patch of llama.cpp does at load.
A rule leaves alone what is in llama.cpp's form already.
"""

from binascii import Error, a2b_base64
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from puna.models.former.recast import Rewriting
from puna.models.gguf import GgufArray, GgufHeader, Scalar, read_array

TOKENS = "tokenizer.ggml.tokens"
_TYPES = "tokenizer.ggml.token_type"
_PRE = "tokenizer.ggml.pre"
_CHARSMAP = "tokenizer.ggml.precompiled_charsmap"
_VOCABULARY = (TOKENS, "tokenizer.ggml.scores", _TYPES)
_SENSES = ("v.", "mm.", "a.", "s.", "model.vision_tower.")
_EMBEDDING = "token_embd.weight"
_EPSILON = 1e-6
_LONG_GEMMA = 131_072
_BYTE, _NORMAL = 6, 1
_GEMMA_TURN_END = 106
_LLAMA3_TEXT_END, _LLAMA3_TURN_END = 128_001, 128_009


def _gemma3(new: Rewriting) -> None:
    new.copy("gemma3.rope.global.freq_base", "gemma3.rope.freq_base")
    new.copy("gemma3.rope.local.freq_base", "gemma3.rope.freq_base_swa")
    new.fill("gemma3.attention.layer_norm_rms_epsilon", _EPSILON)
    new.fill("gemma3.rope.freq_base", 1_000_000.0)
    new.fill("gemma3.rope.freq_base_swa", 10_000.0)
    if (new.number("context_length") or 0) >= _LONG_GEMMA:
        new.fill("gemma3.rope.scaling.type", "linear")
        new.fill("gemma3.rope.scaling.factor", 8.0)
    _fit_vocabulary(new, new.shape(_EMBEDDING))


def _embeddinggemma(new: Rewriting) -> None:
    new.become("gemma-embedding")
    new.forget(
        "gemma-embedding.attention.causal", "gemma-embedding.attention.sliding_window_pattern"
    )
    new.fill("gemma-embedding.rope.freq_base_swa", 10_000.0)
    for old, at in (("dense.0.weight", 2), ("dense.1.weight", 3)):
        if shape := new.shape(old):
            new.set(f"gemma-embedding.dense_{at}_feat_in", shape[0])
            new.set(f"gemma-embedding.dense_{at}_feat_out", shape[1])
            new.rename(old, f"dense_{at}.weight")
    new.rename("norm.weight", "output_norm.weight")


def _gemma3n(new: Rewriting) -> None:
    rows = new.shape("per_layer_token_embd.weight")
    if not rows or rows[1] >= (new.shape(_EMBEDDING) or (0, 0))[1]:
        return
    new.set("tokenizer.ggml.model", "llama")
    new.cut(_EMBEDDING, rows[1])
    _fit_vocabulary(new, rows)
    tokens, types = (new.header.metadata.get(key) for key in (TOKENS, _TYPES))
    if isinstance(tokens, GgufArray) and isinstance(types, GgufArray):
        count = min(rows[1], types.count)
        new.derive(_TYPES, count, lambda: _types_of(new.header)[:count])
    ends = new.header.array("tokenizer.ggml.eos_token_ids") or (1,)
    numbers = tuple(int(each) for each in ends)
    new.set("tokenizer.ggml.eos_token_ids", tuple(dict.fromkeys((*numbers, _GEMMA_TURN_END))))


def _types_of(header: GgufHeader) -> Sequence[Scalar]:
    """Return the types of tokens, those of bytes and of no use told by their words."""
    found = [header.metadata[key] for key in (TOKENS, _TYPES)]
    words, types = (read_array(header.path, each) for each in found if isinstance(each, GgufArray))
    return [_type_of(str(word), kind) for word, kind in zip(words, types, strict=False)]


def _type_of(word: str, kind: Scalar) -> Scalar:
    if len(word) == len("<0x00>") and word.startswith("<0x") and word.endswith(">"):
        return _BYTE
    return _NORMAL if word.startswith("<unused") else kind


def _gemma4(new: Rewriting) -> None:
    if new.header.text("tokenizer.ggml.model") == "llama":
        new.set("tokenizer.ggml.model", "gemma4")
    for block in range(new.number("block_count") or 0):
        new.rename(f"blk.{block}.ffn_gate_inp.per_expert_scale", f"blk.{block}.ffn_down_exps.scale")


def _gptoss(new: Rewriting) -> None:
    new.become("gpt-oss")
    if shape := new.shape("blk.0.ffn_gate_exps.weight"):
        new.fill("gpt-oss.expert_feed_forward_length", shape[1])
    new.fill("gpt-oss.rope.scaling.type", "yarn")
    new.set(_PRE, "gpt-4o")
    new.swap(".attn_out.", ".attn_output.")
    for block in range(new.number("block_count") or 0):
        new.rename(f"blk.{block}.attn_sinks", f"blk.{block}.attn_sinks.weight")
    new.swap(".ffn_norm.", ".post_attention_norm.")


def _lfm2(new: Rewriting) -> None:
    new.rename("output_norm.weight", "token_embd_norm.weight")
    new.set(_PRE, "lfm2")
    if shape := new.shape("blk.0.ffn_gate.weight"):
        new.set("lfm2.feed_forward_length", shape[1])


def _mistral3(new: Rewriting) -> None:
    scaling = "mistral3.rope.scaling"
    new.copy(f"{scaling}.beta_fast", f"{scaling}.yarn_beta_fast")
    new.copy(f"{scaling}.beta_slow", f"{scaling}.yarn_beta_slow")
    new.copy(f"{scaling}.mscale_all_dim", f"{scaling}.yarn_log_multiplier")
    new.copy("mistral3.rope.scaling_beta", "mistral3.attention.temperature_scale")
    if new.header.text(_PRE) in {None, "", "default"}:
        new.set(_PRE, "tekken")


def _qwen25vl(new: Rewriting) -> None:
    sections = new.numbers("rope.mrope_section")
    new.become("qwen2vl")
    if len(sections) >= _SECTIONS - 1:
        new.set("qwen2vl.rope.dimension_sections", (*sections[: _SECTIONS - 1], 0))


def _qwen3vl(new: Rewriting) -> None:
    new.set(new.own("rope.dimension_sections"), (24, 20, 20, 0))
    new.fill(new.own("n_deepstack_layers"), len(new.numbers("vision.deepstack_visual_indexes")))


def _qwen35(new: Rewriting) -> None:
    _one_head_count(new, least=2)
    sections = new.numbers("rope.dimension_sections")
    if len(sections) == _SECTIONS - 1:
        new.set(new.own("rope.dimension_sections"), (*sections, 0))
    _name_steps(new)
    # The layers that guess ahead are left out: the model answers the same without them.
    new.drop("mtp.")


def _qwen3next(new: Rewriting) -> None:
    _one_head_count(new, least=0)
    _name_steps(new)


def _one_head_count(new: Rewriting, *, least: int) -> None:
    """Give one number of heads where the old form has one for each layer, 0 where it has none."""
    counts = new.numbers("attention.head_count_kv")
    if most := max(counts, default=0) or (least if counts else 0):
        new.set(new.own("attention.head_count_kv"), most)


def _name_steps(new: Rewriting) -> None:
    for tensor in new.header.tensors:
        if tensor.name.endswith(".ssm_dt"):
            new.rename(tensor.name, f"{tensor.name}.bias")


def _glm4moelite(new: Rewriting) -> None:
    rank, turned = new.number("attention.kv_lora_rank"), new.number("rope.dimension_count")
    head = new.number("attention.key_length")
    new.become("deepseek2")
    new.set("deepseek2.attention.head_count_kv", 1)
    if rank is not None and turned is not None:
        new.set("deepseek2.attention.key_length", rank + turned)
        new.set("deepseek2.attention.value_length", rank)
    if head is not None:
        new.set("deepseek2.attention.key_length_mla", head)
        new.set("deepseek2.attention.value_length_mla", head)
    new.fill("deepseek2.expert_group_count", 1)
    new.fill("deepseek2.expert_group_used_count", 1)
    new.set(_PRE, "glm4")
    ends = new.header.array("tokenizer.ggml.eos_token_ids") or ()
    for at, key in ((1, "eot"), (2, "eom")):
        if len(ends) > at:
            new.fill(f"tokenizer.ggml.{key}_token_id", int(ends[at]))


def _glmocr(new: Rewriting) -> None:
    sections = new.numbers("rope.mrope_section")
    length = new.number("attention.key_length")
    new.become("glm4")
    if len(sections) == _SECTIONS - 1:
        new.set("glm4.rope.dimension_sections", (*sections, 0))
    if length is not None:
        new.fill("glm4.rope.dimension_count", length)
    new.set(_PRE, "chatglm-bpe")
    new.swap(".attn_out.", ".attn_output.")
    new.swap(".post_attn_norm.", ".post_attention_norm.")
    new.swap(".post_ffn_norm.", ".post_ffw_norm.")
    for block in range(new.number("block_count") or 0):
        gate, up = (f"blk.{block}.ffn_{name}.weight" for name in ("gate", "up"))
        new.join(up, (gate, up))


def _laguna(new: Rewriting) -> None:
    new.copy("laguna.rope.swa.dimension_count", "laguna.rope.dimension_count_swa")
    new.copy("laguna.rope.swa.freq_base", "laguna.rope.freq_base_swa")
    new.swap(".attn_g.weight", ".attn_gate.weight")


def _nemotron(new: Rewriting) -> None:
    inner = next((t.shape for t in new.header.tensors if ".ffn_latent_in.weight" in t.name), ())
    if inner:
        new.fill("nemotron_h_moe.moe_latent_size", inner[1])
    new.swap(".ffn_latent_in.", ".ffn_latent_down.")
    new.swap(".ffn_latent_out.", ".ffn_latent_up.")
    new.drop("mtp.")


def _snowflake(new: Rewriting) -> None:
    letters = new.header.metadata.get(_CHARSMAP)
    if isinstance(letters, GgufArray):
        text = "".join(str(each) for each in read_array(new.header.path, letters))
        try:
            new.set(_CHARSMAP, a2b_base64(text))
        except Error:
            return  # it stays as it is, and llama.cpp says what it thinks of it


def _llama3(new: Rewriting) -> None:
    new.set(_PRE, "llama-bpe")
    if new.header.integer("tokenizer.ggml.eos_token_id") in {None, _LLAMA3_TEXT_END}:
        new.set("tokenizer.ggml.eos_token_id", _LLAMA3_TURN_END)
    new.fill("tokenizer.ggml.eot_token_id", _LLAMA3_TURN_END)


def _fit_vocabulary(new: Rewriting, shape: tuple[int, ...]) -> None:
    """Leave out the words that no row of the embedding belongs to: those of images."""
    if len(shape) > 1:
        for key in _VOCABULARY:
            new.shorten(key, shape[1])


_SECTIONS = 4
_RULES: Mapping[str, Callable[[Rewriting], None]] = MappingProxyType(
    {
        "bert": _snowflake,
        "embeddinggemma": _embeddinggemma,
        "gemma3": _gemma3,
        "gemma3n": _gemma3n,
        "gemma4": _gemma4,
        "glm4moelite": _glm4moelite,
        "glmocr": _glmocr,
        "gptoss": _gptoss,
        "laguna": _laguna,
        "lfm2": _lfm2,
        "llama": _llama3,
        "mistral3": _mistral3,
        "nemotron_h_moe": _nemotron,
        "olmo3": lambda new: new.become("olmo2"),
        "qwen25vl": _qwen25vl,
        "qwen35": _qwen35,
        "qwen35moe": _qwen35,
        "qwen3next": _qwen3next,
        "qwen3vl": _qwen3vl,
        "qwen3vlmoe": _qwen3vl,
    }
)


def write_text_part(new: Rewriting, form: str) -> None:
    """Turn a file of a form into what llama.cpp loads as the model; without eyes and ears."""
    if rule := _RULES.get(form):  # llama4 needs no more than the next line
        rule(new)
    new.drop(*_SENSES)
