"""What `puna create` will not do is said in one line, with what to do next, and leaves nothing."""

from collections.abc import Iterator
from pathlib import Path

import ollama
import pytest

from tests.builders import LLAMA, LLAMA_TENSORS, a_gguf
from tests.serving import Serving
from tests.stores import leftovers, put
from tests.weights.builders import a_plain_model
from tests.weights.huggingface import change, tiny_folder

pytestmark = [pytest.mark.journey, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    put(root, "tiny", a_gguf(LLAMA, LLAMA_TENSORS))
    return root


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory, store: Path) -> Iterator[Serving]:
    home = tmp_path_factory.mktemp("home")
    with Serving(home, PUNA_MODELS=str(store), PUNA_ENGINE="scripted") as one:
        yield one


def create(serving: Serving, folder: Path, text: str, *options: str) -> str:
    """Make a model by the command, and return what it said at its end."""
    (folder / "Modelfile").write_text(text)
    done = serving.run("create", "new", "-f", str(folder / "Modelfile"), *options)
    assert done.returncode == 1, done.stderr
    return done.stderr[done.stderr.index("Error") :]


def test_a_level_that_is_none_is_refused_before_a_file_is_read(
    serving: Serving, tmp_path: Path
) -> None:
    said = create(serving, tmp_path, "FROM ./absent.gguf\n", "-q", "q9")
    assert said.startswith("Error: unsupported quantization type Q9 - supported types are F32")


def test_a_file_that_is_not_there_is_no_name_of_a_model(serving: Serving, tmp_path: Path) -> None:
    said = create(serving, tmp_path, "FROM ./absent.gguf\n")
    assert said == f"Error: no such file: ./absent.gguf\nlooked in {tmp_path}\n"


def test_a_reason_that_comes_in_the_middle_has_its_hint(serving: Serving, tmp_path: Path) -> None:
    files = tiny_folder(tmp_path / "m")
    change(files["config.json"], architectures=["Phi3ForCausalLM"])
    said = create(serving, tmp_path, "FROM ./m\n")
    assert "models of the kind Phi3ForCausalLM cannot be converted" in said
    assert "make one with llama.cpp's convert_hf_to_gguf.py" in said


def test_weights_that_lost_precision_are_not_quantized(
    serving: Serving, store: Path, tmp_path: Path
) -> None:
    said = create(serving, tmp_path, "FROM tiny\n", "-q", "Q8_0")
    assert "only supported for F16, BF16 and F32 models\nthis one is Q4_0: start from" in said
    assert not leftovers(store)


def test_what_was_converted_to_be_quantized_does_not_stay(
    serving: Serving, store: Path, tmp_path: Path
) -> None:
    tiny_folder(tmp_path / "m", hidden_size=256)
    (tmp_path / "Modelfile").write_text("FROM ./m\n")
    before = set((store / "blobs").iterdir())
    done = serving.run("create", "two", "-q", "Q8_0", "-f", str(tmp_path / "Modelfile"))
    assert done.returncode == 0, done.stderr
    made = set((store / "blobs").iterdir()) - before
    assert sum(path.read_bytes().startswith(b"GGUF") for path in made) == 1
    assert "creating new layer" in done.stderr
    shown = serving.ask("/api/show", {"model": "two"}).last["details"]
    assert isinstance(shown, dict)
    assert shown["quantization_level"] == "Q8_0"


def test_ollamas_own_client_converts_and_quantizes(serving: Serving, tmp_path: Path) -> None:
    files = tiny_folder(tmp_path / "m", hidden_size=256)
    with ollama.Client(serving.url) as client:
        digests = {name: client.create_blob(path) for name, path in files.items()}
        steps = list(client.create("three", files=digests, quantize="q4_K_M", stream=True))
        assert [step.status for step in steps][-1] == "success"
        assert client.show("three").details.quantization_level == "Q4_K_M"


def test_progress_never_goes_back(serving: Serving, tmp_path: Path) -> None:
    (tmp_path / "f16.gguf").write_bytes(a_plain_model(shapes={"token_embd.weight": (256, 30_000)}))
    with ollama.Client(serving.url) as client:
        files = {"f16.gguf": client.create_blob(tmp_path / "f16.gguf")}
        steps = list(client.create("four", files=files, quantize="F32", stream=True))
    done = [step.completed for step in steps if step.status == "quantizing F16 model to F32"]
    assert len(done) > 3
    assert done == sorted(done)
