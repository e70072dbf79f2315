"""Files made for Ollama's former engine are told before a load, with a file that works."""

from pathlib import Path

import pytest

from puna.models.gguf import read_header
from puna.models.old_blobs import OldBlob, check_loadable
from tests.builders import a_gguf


@pytest.mark.parametrize("family", ["deepseekocr", "nemotron_h_omni", "mllama"])
def test_a_file_that_llama_cpp_cannot_load_is_refused(tmp_path: Path, family: str) -> None:
    (tmp_path / "old.gguf").write_bytes(a_gguf({"general.architecture": family}))
    with pytest.raises(OldBlob, match=f'model "old" is a file of the form {family}'):
        check_loadable(read_header(tmp_path / "old.gguf"), "old")


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_others_are_not(tmp_path: Path, family: str) -> None:
    (tmp_path / "new.gguf").write_bytes(a_gguf({"general.architecture": family}))
    check_loadable(read_header(tmp_path / "new.gguf"), "new")
