"""Which files of a repository a tag means, and what is said when none does."""

import pytest

from puna.models.digest import digest_of
from puna.models.hub_files import HubFile, NoGguf, NoSuchFormat, choose_files
from puna.units import Size

BIELIK = ["Bielik-11B-v3.0-Instruct.Q4_K_M.gguf", "Bielik-11B-v3.0-Instruct.Q8_0.gguf"]
GEMMA = [
    "gemma-3-4b-it-Q4_K_M.gguf",
    "gemma-3-4b-it-Q8_0.gguf",
    "mmproj-model-bf16.gguf",
    "mmproj-model-f16.gguf",
]
SHARDS = [f"Q4_K_M/big-Q4_K_M-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
OTHERS = ["README.md", "model.safetensors", "imatrix_unsloth.gguf", "x.imatrix.gguf"]


def files(*paths: str) -> list[HubFile]:
    return [HubFile(path, Size(9), digest_of(path.encode())) for path in paths]


@pytest.mark.parametrize(
    ("paths", "tag", "chosen"),
    [
        (BIELIK, "latest", BIELIK[0]),
        (BIELIK, "Q8_0", BIELIK[1]),
        (BIELIK, "q8_0", BIELIK[1]),
        (BIELIK, "Bielik-11B-v3.0-Instruct.Q8_0.gguf", BIELIK[1]),
        (BIELIK, "bielik-11b-v3.0-instruct.q8_0", BIELIK[1]),
        (["x-Q8_0.gguf", "x-Q5_K_M.gguf"], "latest", "x-Q5_K_M.gguf"),
        (["x-IQ1_S.gguf", "x-UD-Q4_K_XL.gguf", "x-f16.gguf"], "latest", "x-UD-Q4_K_XL.gguf"),
        (["x-UD-Q4_K_XL.gguf", "x-Q4_K_M.gguf"], "UD-Q4_K_XL", "x-UD-Q4_K_XL.gguf"),
        (["gpt-oss-20b-mxfp4.gguf"], "latest", "gpt-oss-20b-mxfp4.gguf"),
        (["model.gguf", *OTHERS], "latest", "model.gguf"),
        (["Q2_K/x.gguf", "Q6_K/x.gguf"], "Q6_K", "Q6_K/x.gguf"),
    ],
)
def test_a_tag_means_a_file(paths: list[str], tag: str, chosen: str) -> None:
    assert [file.path for file in choose_files(files(*paths), tag=tag).weights] == [chosen]


def test_all_shards_belong_together_in_their_order() -> None:
    choice = choose_files(files(*reversed(SHARDS), "big-Q8_0.gguf"))
    assert [file.path for file in choice.weights] == SHARDS
    assert choice.format == "Q4_K_M"
    by_file = choose_files(files(*SHARDS), path=SHARDS[1])
    assert [file.path for file in by_file.weights] == SHARDS


def test_a_model_of_which_a_shard_is_missing_is_none() -> None:
    with pytest.raises(NoGguf):
        choose_files(files(*SHARDS[:2]))


def test_a_projector_comes_along_in_halves() -> None:
    choice = choose_files(files(*GEMMA), tag="Q8_0")
    assert choice.projector is not None
    assert choice.projector.path == "mmproj-model-f16.gguf"
    assert choose_files(files(*BIELIK)).projector is None


def test_a_projector_of_another_folder_stays_there() -> None:
    choice = choose_files(files("a/x-Q4_0.gguf", "b/mmproj-f16.gguf"))
    assert choice.projector is None


def test_what_there_is_is_said() -> None:
    with pytest.raises(NoSuchFormat, match='no GGUF file "Q5_K_M"') as caught:
        choose_files(files(*BIELIK), tag="Q5_K_M")
    assert caught.value.hint == "has: Q4_K_M, Q8_0"
    with pytest.raises(NoSuchFormat):
        choose_files(files(*BIELIK), path="other.gguf")


def test_files_that_are_no_weights_are_none() -> None:
    with pytest.raises(NoGguf):
        choose_files(files(*OTHERS, "mmproj-f16.gguf"))
