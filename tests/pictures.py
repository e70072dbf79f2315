"""Images made in memory, and a projector of random numbers that the engine really loads."""

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Picture

import gguf
from puna.chat.images import Image, read_image

SMOLLM2_WIDTH = 576


def a_picture(
    colour: str = "red", size: tuple[int, int] = (64, 48), kind: str = "png", **options: object
) -> bytes:
    """Return the bytes of an image of one colour."""
    written = io.BytesIO()
    mode = "P" if kind == "gif" else "RGB"
    Picture.new("RGB", size, colour).convert(mode).save(written, kind, **options)
    return written.getvalue()


def as_text(content: bytes) -> str:
    """Return bytes in base64."""
    return base64.b64encode(content).decode()


def as_url(content: bytes, kind: str = "png") -> str:
    """Return bytes as a data URL."""
    return f"data:image/{kind};base64,{as_text(content)}"


def an_image(colour: str = "red", size: tuple[int, int] = (64, 48), kind: str = "png") -> Image:
    """Return an image that was read."""
    return read_image(a_picture(colour, size, kind), "image")


@dataclass(frozen=True)
class Eyes:
    """The numbers of a projector's shape: an image is one token for each patch."""

    out: int = SMOLLM2_WIDTH
    width: int = 32
    layers: int = 2
    side: int = 56
    patch: int = 14

    @property
    def numbers(self) -> dict[str, int]:
        return {
            "image_size": self.side,
            "patch_size": self.patch,
            "embedding_length": self.width,
            "feed_forward_length": 2 * self.width,
            "block_count": self.layers,
            "projection_dim": self.out,
            "attention.head_count": 2,
        }

    def tensors(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        width, inner = self.width, 2 * self.width
        yield "v.class_embd", (width,)
        yield "v.patch_embd.weight", (width, 3, self.patch, self.patch)
        yield "v.position_embd.weight", ((self.side // self.patch) ** 2 + 1, width)
        yield from _with_bias("v.pre_ln", width)
        for layer in range(self.layers):
            block = f"v.blk.{layer}"
            for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
                yield from _with_bias(f"{block}.{name}", width, width)
            for name in ("ln1", "ln2"):
                yield from _with_bias(f"{block}.{name}", width)
            yield from _with_bias(f"{block}.ffn_up", inner, width)
            yield from _with_bias(f"{block}.ffn_down", width, inner)
        yield from _with_bias("mm.0", self.out, width)
        yield from _with_bias("mm.2", self.out, self.out)


def write_projector(path: Path, eyes: Eyes = Eyes()) -> Path:
    """Write a projector of LLaVA's kind, of random numbers."""
    dice = np.random.default_rng(7)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_string("clip.projector_type", "mlp")
    for name in ("has_vision_encoder", "has_llava_projector"):
        writer.add_bool(f"clip.{name}", True)  # noqa: FBT003 - its own way
    for name, number in eyes.numbers.items():
        writer.add_uint32(f"clip.vision.{name}", number)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    for name in ("image_mean", "image_std"):
        writer.add_array(f"clip.vision.{name}", [0.5, 0.5, 0.5])
    for name, shape in eyes.tensors():
        is_norm = name.endswith(("ln.weight", "ln1.weight", "ln2.weight"))
        numbers = np.ones(shape) if is_norm else 0.2 * dice.standard_normal(shape)
        writer.add_tensor(name, numbers.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _with_bias(name: str, *shape: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", shape
    yield f"{name}.bias", shape[:1]
