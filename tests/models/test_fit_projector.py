"""What a projector takes: the bytes that were measured, and the pictures that it may get."""

import pytest

from puna.models.fit_projector import projector_size, work_size
from puna.models.gguf import GgufHeader
from tests.builders import a_header


def a_projector(**numbers: object) -> GgufHeader:
    """Return the header of a projector, without weights unless it has some."""
    values = {f"clip.vision.{name}": value for name, value in numbers.items()}
    kind = {"clip.projector_type": numbers.get("kind", "mlp")}
    return a_header({"general.architecture": "clip", **kind, **values}, {})


@pytest.mark.parametrize(
    ("width", "inner", "side", "patch", "measured_mb"),
    [
        (32, 64, 56, 14, 5),
        (768, 1536, 512, 16, 52),
        (768, 3072, 512, 16, 58),
        (1024, 2048, 336, 14, 45),
        (1024, 4096, 336, 14, 49),
        (1024, 2048, 448, 14, 63),
        (1024, 4096, 448, 14, 71),
        (1024, 2048, 896, 14, 159),
    ],
)
def test_what_was_measured_is_counted_and_little_more(
    width: int, inner: int, side: int, patch: int, measured_mb: int
) -> None:
    header = a_projector(
        embedding_length=width, feed_forward_length=inner, image_size=side, patch_size=patch
    )
    counted = work_size(header) / 1e6
    assert measured_mb <= counted <= 1.5 * measured_mb + 12


def test_a_projector_of_any_size_is_counted_for_its_largest_picture() -> None:
    sizes = {"image_size": 560, "patch_size": 14, "embedding_length": 1280}
    fixed = work_size(a_projector(**sizes))
    free = work_size(a_projector(kind="qwen2.5vl_merger", **sizes))
    limited = work_size(a_projector(kind="qwen2.5vl_merger", image_max_pixels=560 * 560, **sizes))
    assert free > 8 * fixed
    assert limited == fixed


def test_weights_and_one_photograph_are_counted() -> None:
    blind = a_header({"general.architecture": "clip"}, {})
    heavy = a_header({"general.architecture": "clip"}, {"v.x": ("F16", (1024, 1024))})
    assert projector_size(heavy) - projector_size(blind) == 2 * 1024 * 1024
    assert projector_size(blind) - work_size(blind) > 160_000_000


def test_a_file_that_says_nothing_is_no_failure() -> None:
    assert work_size(a_projector(patch_size=0)) > 0
