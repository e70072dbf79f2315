"""Models of many architectures with the widths of real ones, and what llama.cpp took for them.

The sizes are what llama.cpp b11549 itself printed for such files (`n_ubatch` 512, one stream for
each slot), in MiB with two decimals, recorded in November 2026. Only the numbers and tensors that
matter for memory are here; most have four layers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from puna.models.fit_memory import Plan
from puna.models.gguf import GgufHeader
from tests.builders import a_header

SMALL = Plan(context=512, parallel=1)
WIDE = Plan(context=4096, parallel=4)
UNEVEN = Plan(context=1000, parallel=3)
PLAIN = Plan(context=4096, parallel=1, has_flash_attention=False)
LESS = Plan(context=4096, parallel=2, cache_type="q8_0")


@dataclass(frozen=True)
class Recorded:
    """The cache, and the scratch with the outputs, that llama.cpp printed for a plan."""

    plan: Plan
    cache: float
    scratch: float


@dataclass(frozen=True)
class Known:
    """A model and what was recorded for it."""

    header: GgufHeader
    recorded: Sequence[Recorded]


def a_model(
    architecture: str,
    *,
    tensors: Mapping[str, tuple[str, Sequence[int]]] | None = None,
    vocabulary: int = 32_000,
    **numbers: object,
) -> GgufHeader:
    """Return the header of a model; two underscores in a name stand for a dot."""
    metadata: dict[str, object] = {"general.architecture": architecture}
    metadata |= {f"{architecture}.block_count": 4, f"{architecture}.vocab_size": vocabulary}
    metadata |= {
        f"{architecture}.{name.replace('__', '.')}": value for name, value in numbers.items()
    }
    return a_header(metadata, tensors or {})


def a_transformer(
    architecture: str, widths: tuple[int, int], heads: tuple[int, int, int], **more: object
) -> GgufHeader:
    """Return a model by its widths (embedding, feed-forward) and heads (all, cached, width)."""
    numbers: dict[str, object] = {
        "embedding_length": widths[0],
        "feed_forward_length": widths[1],
        "attention__head_count": heads[0],
        "attention__head_count_kv": heads[1],
        "attention__key_length": heads[2],
        "attention__value_length": heads[2],
    }
    return a_model(architecture, **(numbers | more))  # type: ignore[arg-type]


def experts(
    width: int, inside: int, count: int, **more: tuple[str, Sequence[int]]
) -> dict[str, object]:
    """Return the tensors of experts, which tell how wide they are."""
    tensors = {"blk.0.ffn_up_exps.weight": ("Q4_1", (width, inside, count))}
    return {"tensors": tensors | {name.replace("__", "."): each for name, each in more.items()}}


KNOWN: Mapping[str, Known] = {
    "llama 8b": Known(
        a_transformer("llama", (4096, 14336), (32, 8, 128), vocabulary=128_256),
        (
            Recorded(SMALL, 8.00, 125.01),
            Recorded(WIDE, 256.00, 129.98),
            Recorded(UNEVEN, 48.00, 126.73),
            Recorded(PLAIN, 64.00, 316.50),
            Recorded(LESS, 68.00, 129.08),
        ),
    ),
    "qwen2 7b": Known(
        a_transformer("qwen2", (3584, 18944), (28, 4, 128), vocabulary=152_064),
        (
            Recorded(WIDE, 128.00, 152.34),
            Recorded(UNEVEN, 24.00, 149.04),
            Recorded(PLAIN, 32.00, 276.59),
        ),
    ),
    "gemma2 9b": Known(
        a_transformer(
            "gemma2",
            (3584, 14336),
            (16, 8, 256),
            vocabulary=256_000,
            attention__sliding_window=4096,
        ),
        (
            Recorded(WIDE, 512.00, 130.94),
            Recorded(UNEVEN, 96.00, 124.19),
            Recorded(PLAIN, 128.00, 212.00),
            Recorded(LESS, 136.00, 129.51),
        ),
    ),
    "gemma3 4b": Known(
        a_transformer(
            "gemma3",
            (2560, 10240),
            (8, 4, 256),
            block_count=6,
            vocabulary=262_144,
            attention__sliding_window=1024,
        ),
        (
            Recorded(SMALL, 12.00, 87.03),
            Recorded(WIDE, 184.00, 94.53),
            Recorded(UNEVEN, 72.00, 90.20),
            Recorded(PLAIN, 46.00, 109.02),
            Recorded(LESS, 48.88, 93.06),
        ),
    ),
    "mixtral": Known(
        a_transformer(
            "llama",
            (4096, 14336),
            (32, 8, 128),
            block_count=2,
            expert_count=8,
            expert_used_count=2,
            **experts(4096, 14336, 8),
        ),
        (Recorded(WIDE, 128.00, 212.51), Recorded(PLAIN, 32.00, 316.13)),
    ),
    "qwen3 30b a3b": Known(
        a_transformer(
            "qwen3moe",
            (2048, 6144),
            (32, 4, 128),
            block_count=2,
            vocabulary=151_936,
            expert_count=128,
            expert_used_count=8,
            expert_feed_forward_length=768,
            **experts(2048, 768, 128),
        ),
        (Recorded(WIDE, 64.00, 94.34), Recorded(PLAIN, 16.00, 302.59)),
    ),
    "gpt-oss 20b": Known(
        a_transformer(
            "gpt-oss",
            (2880, 2880),
            (64, 8, 64),
            vocabulary=201_088,
            attention__sliding_window=128,
            expert_count=32,
            expert_used_count=4,
            expert_feed_forward_length=2880,
            **experts(2880, 2880, 32),
        ),
        (
            Recorded(SMALL, 4.00, 97.42),
            Recorded(WIDE, 76.00, 103.47),
            Recorded(PLAIN, 19.00, 570.41),
        ),
    ),
    "deepseek v2 lite": Known(
        a_transformer(
            "deepseek2",
            (2048, 10944),
            (16, 1, 576),
            block_count=27,
            vocabulary=102_400,
            attention__value_length=512,
            attention__key_length_mla=192,
            attention__value_length_mla=128,
            expert_count=64,
            expert_used_count=6,
            expert_feed_forward_length=1408,
            **experts(2048, 1408, 64, blk__0__ffn_up__weight=("Q4_1", (2048, 10944))),
        ),
        (
            Recorded(WIDE, 486.00, 89.70),
            Recorded(PLAIN, 121.50, 196.40),
            Recorded(LESS, 129.09, 88.92),
        ),
    ),
    "mamba2 2.7b": Known(
        a_model(
            "mamba2",
            vocabulary=50_288,
            embedding_length=2560,
            feed_forward_length=0,
            attention__head_count=0,
            ssm__conv_kernel=4,
            ssm__inner_size=5120,
            ssm__state_size=128,
            ssm__time_step_rank=80,
            ssm__group_count=1,
        ),
        (Recorded(SMALL, 10.25, 79.42), Recorded(WIDE, 40.98, 87.68)),
    ),
    "lfm2 1.2b": Known(
        a_transformer(
            "lfm2",
            (2048, 8192),
            (32, 8, 64),
            vocabulary=65_536,
            attention__head_count_kv=[0, 0, 8, 0],
            shortconv__l_cache=3,
        ),
        (Recorded(WIDE, 32.19, 73.02), Recorded(PLAIN, 8.05, 290.26)),
    ),
    "qwen3 next 80b": Known(
        a_transformer(
            "qwen3next",
            (2048, 5120),
            (16, 2, 256),
            vocabulary=151_936,
            expert_count=512,
            expert_used_count=10,
            expert_feed_forward_length=512,
            expert_shared_feed_forward_length=512,
            ssm__conv_kernel=4,
            ssm__inner_size=4096,
            ssm__state_size=128,
            ssm__time_step_rank=32,
            ssm__group_count=16,
            **experts(2048, 512, 512, blk__3__attn_q__weight=("Q4_1", (2048, 8192))),
        ),
        (
            Recorded(SMALL, 7.28, 91.10),
            Recorded(WIDE, 57.12, 96.34),
            Recorded(PLAIN, 14.28, 182.59),
        ),
    ),
    "falcon h1 1.5b": Known(
        a_transformer(
            "falcon-h1",
            (2048, 8192),
            (8, 2, 128),
            vocabulary=65_536,
            ssm__conv_kernel=4,
            ssm__inner_size=3072,
            ssm__state_size=256,
            ssm__time_step_rank=48,
            ssm__group_count=1,
        ),
        (
            Recorded(SMALL, 14.16, 68.77),
            Recorded(WIDE, 112.66, 79.28),
            Recorded(UNEVEN, 48.49, 69.90),
        ),
    ),
}
