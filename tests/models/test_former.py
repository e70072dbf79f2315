"""Files in old forms become what llama.cpp loads: the same numbers under its names."""

import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from puna.models.former.forms import former_of, projector_of
from puna.models.former.recast import Recast
from puna.models.former.writing import recast_bytes
from puna.models.gguf import GgufHeader, read_header
from puna.models.gguf_check import BadGguf
from tests.builders import LLAMA, Typed, a_gguf

Tensors = Mapping[str, tuple[str, tuple[int, ...]]]
NONE: Tensors = {}


def an_old(folder: Path, metadata: Mapping[str, object], tensors: Tensors = NONE) -> GgufHeader:
    (folder / "old.gguf").write_bytes(a_gguf(metadata, tensors))
    return read_header(folder / "old.gguf")


def rewritten(recast: Recast) -> GgufHeader:
    path = recast.source.path.with_name("new.gguf")
    path.write_bytes(b"".join(recast_bytes(recast)))
    return read_header(path)


def text_of(header: GgufHeader) -> GgufHeader:
    former = former_of(header)
    assert former is not None
    return rewritten(former.text)


def eyes_of(header: GgufHeader) -> GgufHeader:
    former = former_of(header)
    assert former is not None
    assert former.eyes is not None
    return rewritten(former.eyes)


def names(header: GgufHeader) -> set[str]:
    return {tensor.name for tensor in header.tensors}


def floats(header: GgufHeader, name: str) -> list[float]:
    (tensor,) = [each for each in header.tensors if each.name == name]
    raw = header.path.read_bytes()[header.data_offset + tensor.offset :][: tensor.size]
    return list(struct.unpack(f"<{tensor.elements}f", raw))


def filled(header: GgufHeader, name: str, raw: bytes) -> GgufHeader:
    (tensor,) = [each for each in header.tensors if each.name == name]
    content = bytearray(header.path.read_bytes())
    start = header.data_offset + tensor.offset
    content[start : start + len(raw)] = raw
    header.path.write_bytes(content)
    return read_header(header.path)


RENAMED = [
    ("gptoss", "blk.0.attn_sinks", "blk.0.attn_sinks.weight"),
    ("gptoss", "blk.0.attn_out.bias", "blk.0.attn_output.bias"),
    ("gptoss", "blk.0.ffn_norm.weight", "blk.0.post_attention_norm.weight"),
    ("lfm2", "output_norm.weight", "token_embd_norm.weight"),
    ("laguna", "blk.0.attn_g.weight", "blk.0.attn_gate.weight"),
    ("qwen3next", "blk.0.ssm_dt", "blk.0.ssm_dt.bias"),
    ("qwen35", "blk.0.ssm_dt", "blk.0.ssm_dt.bias"),
    ("nemotron_h_moe", "blk.1.ffn_latent_in.weight", "blk.1.ffn_latent_down.weight"),
    ("glmocr", "blk.0.post_attn_norm.weight", "blk.0.post_attention_norm.weight"),
    ("gemma4", "blk.0.ffn_gate_inp.per_expert_scale", "blk.0.ffn_down_exps.scale"),
]


@pytest.mark.parametrize(("family", "old", "new"), RENAMED)
def test_tensors_get_the_names_of_llama_cpp(
    tmp_path: Path, family: str, old: str, new: str
) -> None:
    facts: dict[str, object] = {"general.architecture": family, f"{family}.block_count": 1}
    facts |= {f"{family}.image_token_id": 7, "tokenizer.ggml.model": "llama"}
    assert names(text_of(an_old(tmp_path, facts, {old: ("F32", (32, 2))}))) == {new}


@pytest.mark.parametrize(
    ("family", "becomes"),
    [
        ("gptoss", "gpt-oss"),
        ("olmo3", "olmo2"),
        ("qwen25vl", "qwen2vl"),
        ("glm4moelite", "deepseek2"),
        ("glmocr", "glm4"),
    ],
)
def test_the_architecture_and_its_facts_get_the_name_of_llama_cpp(
    tmp_path: Path, family: str, becomes: str
) -> None:
    old = an_old(tmp_path, {"general.architecture": family, f"{family}.block_count": 3})
    new = text_of(old)
    assert (new.architecture, new.integer(f"{becomes}.block_count")) == (becomes, 3)


SENSES: Tensors = {
    "token_embd.weight": ("F32", (32, 4)),
    "v.blk.0.ln1.weight": ("F32", (32,)),
    "mm.0.weight": ("F32", (32,)),
}


@pytest.mark.parametrize(
    "family",
    ["gemma3", "gemma4", "llama4", "mistral3", "qwen25vl", "qwen3vl", "qwen3vlmoe", "qwen35"],
)
def test_a_file_that_sees_becomes_two(tmp_path: Path, family: str) -> None:
    facts: dict[str, object] = {"general.architecture": family, f"{family}.embedding_length": 32}
    facts |= {f"{family}.vision.block_count": 1, f"{family}.vision.embedding_length": 32}
    old = an_old(tmp_path, facts, SENSES)
    assert names(text_of(old)) == {"token_embd.weight"}
    eyes = eyes_of(old)
    assert {"v.blk.0.ln1.weight", "mm.0.weight"} <= names(eyes)
    assert eyes.architecture == "clip"
    assert eyes.metadata["clip.has_vision_encoder"] is True
    assert eyes.integer("clip.vision.block_count") == 1
    assert eyes.integer("clip.vision.projection_dim") == 32
    assert eyes.text("clip.projector_type") or eyes.text("clip.vision.projector_type")


def test_words_beyond_the_embedding_are_left_out(tmp_path: Path) -> None:
    words = ["a", "b", "<image>"]
    facts: dict[str, object] = {"general.architecture": "gemma3", "tokenizer.ggml.tokens": words}
    facts |= {"tokenizer.ggml.scores": [Typed("f", 1.0), Typed("f", 2.0), Typed("f", 3.0)]}
    new = text_of(an_old(tmp_path, facts, {"token_embd.weight": ("F32", (32, 2))}))
    assert new.array("tokenizer.ggml.tokens") == ("a", "b")
    assert new.array("tokenizer.ggml.scores") == (1.0, 2.0)
    assert new.number("gemma3.rope.freq_base") == 1_000_000.0


def test_an_embedding_longer_than_its_sisters_loses_its_last_rows(tmp_path: Path) -> None:
    words = ["<pad>", "<0x41>", "<unused9>", "<image>"]
    types = [Typed("i", 3), Typed("i", 1), Typed("i", 3), Typed("i", 3)]
    facts: dict[str, object] = {"general.architecture": "gemma3n", "tokenizer.ggml.tokens": words}
    facts |= {"tokenizer.ggml.token_type": types}
    tensors: Tensors = {
        "token_embd.weight": ("F32", (8, 4)),
        "per_layer_token_embd.weight": ("F32", (8, 3)),
    }
    new = text_of(an_old(tmp_path, facts, tensors))
    assert {tensor.shape for tensor in new.tensors} == {(8, 3)}
    assert new.array("tokenizer.ggml.token_type") == (3, 6, 1)
    assert new.array("tokenizer.ggml.eos_token_ids") == (1, 106)


def test_an_embedding_model_in_a_gemma_gets_its_own_name(tmp_path: Path) -> None:
    tensors: Tensors = {"dense.0.weight": ("F32", (8, 16)), "dense.1.weight": ("F32", (16, 8))}
    new = text_of(an_old(tmp_path, {"general.architecture": "gemma3"}, tensors))
    assert new.architecture == "gemma-embedding"
    assert names(new) == {"dense_2.weight", "dense_3.weight"}
    assert new.integer("gemma-embedding.dense_2_feat_out") == 16


def test_letters_of_a_charsmap_become_its_bytes(tmp_path: Path) -> None:
    facts: dict[str, object] = {"general.architecture": "bert", "tokenizer.ggml.model": "t5"}
    facts |= {"tokenizer.ggml.precompiled_charsmap": list("AQID")}
    new = text_of(an_old(tmp_path, facts))
    assert new.array("tokenizer.ggml.precompiled_charsmap") == (1, 2, 3)


def test_heads_that_differ_by_layer_become_one_number(tmp_path: Path) -> None:
    facts: dict[str, object] = {"general.architecture": "qwen35", "qwen35.image_token_id": 7}
    facts |= {"qwen35.attention.head_count_kv": [Typed("I", 0), Typed("I", 4), Typed("I", 0)]}
    facts |= {"qwen35.rope.dimension_sections": [Typed("i", 11), Typed("i", 11), Typed("i", 10)]}
    new = text_of(an_old(tmp_path, facts, {"mtp.fc.weight": ("F32", (8,))}))
    assert new.integer("qwen35.attention.head_count_kv") == 4
    assert new.array("qwen35.rope.dimension_sections") == (11, 11, 10, 0)
    assert not new.tensors


def test_compressed_attention_is_told_in_the_numbers_of_deepseek(tmp_path: Path) -> None:
    own = {"attention.kv_lora_rank": 512, "rope.dimension_count": 64, "attention.key_length": 256}
    facts: dict[str, object] = {f"glm4moelite.{name}": number for name, number in own.items()}
    ends = [Typed("i", 1), Typed("i", 2), Typed("i", 3)]
    facts |= {"general.architecture": "glm4moelite", "tokenizer.ggml.eos_token_ids": ends}
    new = text_of(an_old(tmp_path, facts))
    lengths = [new.integer(f"deepseek2.attention.{name}_length") for name in ("key", "value")]
    assert lengths == [576, 512]
    assert new.integer("deepseek2.attention.key_length_mla") == 256
    assert new.integer("tokenizer.ggml.eom_token_id") == 3


def test_a_llama_without_the_name_of_its_tokenizer_gets_it(tmp_path: Path) -> None:
    facts: dict[str, object] = {
        **LLAMA,
        "tokenizer.ggml.bos_token_id": 128_000,
        "tokenizer.ggml.pre": "default",
    }
    facts |= {"tokenizer.ggml.tokens": [""] * 128_256}
    facts |= {"tokenizer.ggml.eos_token_id": 128_001}
    new = text_of(an_old(tmp_path, facts))
    assert new.text("tokenizer.ggml.pre") == "llama-bpe"
    assert new.integer("tokenizer.ggml.eos_token_id") == 128_009


def test_rows_of_heads_change_places(tmp_path: Path) -> None:
    facts: dict[str, object] = {
        "general.architecture": "mistral3",
        "mistral3.vision.block_count": 1,
    }
    facts |= {"mistral3.vision.attention.head_count": 2, "mistral3.embedding_length": 2}
    tensors: Tensors = {"v.blk.0.attn_q.weight": ("F32", (1, 8))}
    old = filled(
        an_old(tmp_path, facts, tensors), "v.blk.0.attn_q.weight", struct.pack("<8f", *range(8))
    )
    eyes = eyes_of(old)
    assert floats(eyes, "v.blk.0.attn_q.weight") == [0, 2, 1, 3, 4, 6, 5, 7]
    assert floats(eyes, "v.token_embd.img_break") == [0, 0]


def test_frames_between_each_other_are_taken_apart_and_questions_joined(tmp_path: Path) -> None:
    facts: dict[str, object] = {"general.architecture": "qwen3vl", "qwen3vl.vision.block_count": 1}
    facts |= {"qwen3vl.vision.num_channels": 1}
    tensors: Tensors = {"v.patch_embed.weight": ("F16", (1, 1, 2, 3))}
    tensors = {**tensors, **{f"v.blk.0.attn_{at}.bias": ("F32", (1,)) for at in "qkv"}}
    old = an_old(tmp_path, facts, tensors)
    old = filled(old, "v.patch_embed.weight", struct.pack("<6e", *range(6)))
    for at, name in enumerate("qkv"):
        old = filled(old, f"v.blk.0.attn_{name}.bias", struct.pack("<f", at))
    eyes = eyes_of(old)
    assert floats(eyes, "v.patch_embd.weight") == [0, 2, 4]
    assert floats(eyes, "v.patch_embd.weight.1") == [1, 3, 5]
    assert floats(eyes, "v.blk.0.attn_qkv.bias") == [0, 1, 2]


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("F16", struct.pack("<32e", *range(32))),
        ("BF16", b"".join(struct.pack("<f", each)[2:] for each in range(32))),
        ("Q8_0", struct.pack("<e32b", 1.0, *range(32))),
    ],
)
def test_numbers_of_encoders_become_floats(tmp_path: Path, kind: str, raw: bytes) -> None:
    facts: dict[str, object] = {"general.architecture": "gemma3"}
    tensors: Tensors = {"v.position_embedding.weight": (kind, (32, 1))}
    old = filled(an_old(tmp_path, facts, tensors), "v.position_embedding.weight", raw)
    assert floats(eyes_of(old), "v.position_embd.weight") == list(range(32))


def test_numbers_that_cannot_be_made_floats_are_said(tmp_path: Path) -> None:
    tensors: Tensors = {"v.position_embedding.weight": ("Q4_K", (256, 1))}
    with pytest.raises(BadGguf, match="numbers in Q4_K"):
        eyes_of(an_old(tmp_path, {"general.architecture": "gemma3"}, tensors))


def test_what_is_known_before_writing_is_what_is_written(tmp_path: Path) -> None:
    former = former_of(an_old(tmp_path, {"general.architecture": "gemma3"}, SENSES))
    assert former is not None
    assert former.eyes is not None
    known, written = former.eyes.header(tmp_path / "new.gguf"), rewritten(former.eyes)
    assert {k: getattr(v, "items", v) for k, v in known.metadata.items()} == {
        k: getattr(v, "items", v) for k, v in written.metadata.items()
    }
    assert [(each.name, each.size) for each in known.tensors] == [
        (each.name, each.size) for each in written.tensors
    ]


@pytest.mark.parametrize("family", ["llama", "gemma2", "qwen3", "mistral3", "llama4", "gemma4"])
def test_files_in_the_form_of_llama_cpp_stay_as_they_are(tmp_path: Path, family: str) -> None:
    assert former_of(an_old(tmp_path, {"general.architecture": family})) is None


def test_a_projector_without_a_kind_is_one_of_llava(tmp_path: Path) -> None:
    facts: dict[str, object] = {"general.architecture": "clip", "clip.has_vision_encoder": True}
    recast = projector_of(an_old(tmp_path, facts))
    assert recast is not None
    assert rewritten(recast).text("clip.projector_type") == "mlp"
    again = an_old(tmp_path, {**facts, "clip.projector_type": "ldp"})
    assert projector_of(again) is None
