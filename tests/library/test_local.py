import json
from pathlib import Path

import pytest

from puna.chat.messages import Message, Role
from puna.errors import Unsupported
from puna.library.blobs import BlobDamaged, BlobMissing
from puna.library.local import DamagedLayer, Facts, LocalModel
from puna.models.details import Capability
from puna.models.gguf import BadGguf
from puna.models.name import ModelName
from tests.builders import LLAMA, a_config, a_digest, a_gguf, a_layer, a_manifest
from tests.stores import a_library, blob_name, put, put_blob, put_manifest


def model(root: Path, weights: bytes = b"", **texts: bytes) -> LocalModel:
    put(root, "tiny", weights or a_gguf(), **texts)
    return a_library(root).find(ModelName("tiny"))


def test_the_texts_of_a_model_are_read_from_its_layers(tmp_path: Path) -> None:
    found = model(
        tmp_path,
        template=b"{{ .Prompt }}",
        system="be kind, Ä".encode(),
        params=b'{"temperature": 0.5, "stop": ["a", "b"]}',
        messages=b'[{"role": "user", "content": "hi"}]',
        license=b"do what you like",
    )
    assert found.template == "{{ .Prompt }}"
    assert found.system == "be kind, Ä"
    assert found.parameters == {"temperature": 0.5, "stop": ["a", "b"]}
    assert found.messages == (Message(Role.USER, "hi"),)
    assert found.licenses == ("do what you like",)


def test_a_model_without_texts_has_empty_ones(tmp_path: Path) -> None:
    found = model(tmp_path)
    assert (found.template, found.system, found.licenses, found.messages) == (None, "", (), ())
    assert found.parameters == {}
    assert (found.projectors, found.adapters, found.draft) == ((), (), None)


def test_an_old_prompt_layer_is_a_template(tmp_path: Path) -> None:
    assert model(tmp_path, prompt=b"{{ .System }}").template == "{{ .System }}"


def test_the_size_is_that_of_all_blobs(tmp_path: Path) -> None:
    found = model(tmp_path, system=b"be kind")
    assert found.size == len(a_gguf()) + len(b"be kind") + len(a_config())


@pytest.mark.parametrize("params", [b"", b"[1]", b"{", b"\xff", b'{"a":1,"a":2}', b"[" * 10**6])
def test_damaged_parameters_are_reported_with_the_model(tmp_path: Path, params: bytes) -> None:
    found = model(tmp_path, params=params)
    with pytest.raises(DamagedLayer, match='"tiny:latest"'):
        _ = found.parameters
    assert found.details.family == "llama"


@pytest.mark.parametrize(
    "messages", [{}, ["hi"], [{"role": "user", "content": 5}], [{"role": "king", "content": ""}]]
)
def test_damaged_messages_are_reported_with_the_model(tmp_path: Path, messages: object) -> None:
    found = model(tmp_path, messages=json.dumps(messages).encode())
    with pytest.raises(DamagedLayer, match='"tiny:latest"'):
        _ = found.messages


def test_a_template_for_tools_makes_a_model_that_takes_tools(tmp_path: Path) -> None:
    plain = model(tmp_path)
    able = model(tmp_path, template=b"{{ .Tools }}")
    assert Capability.TOOLS not in plain.details.capabilities
    assert Capability.TOOLS in able.details.capabilities


def test_missing_weights_spoil_the_model_and_not_its_texts(tmp_path: Path) -> None:
    found = model(tmp_path, system=b"be kind")
    found.weights.unlink()
    with pytest.raises(BadGguf, match="no such file"):
        found.header()
    assert found.system == "be kind"


def test_a_missing_text_is_named_by_its_digest(tmp_path: Path) -> None:
    found = model(tmp_path, system=b"be kind")
    (tmp_path / "blobs" / blob_name(b"be kind")).unlink()
    with pytest.raises(BlobMissing, match=blob_name(b"be kind")[7:]):
        _ = found.system


def test_a_model_without_gguf_weights_says_what_it_is(tmp_path: Path) -> None:
    config = a_config(model_format="safetensors")
    put_blob(tmp_path, config)
    put_manifest(tmp_path, "mlx", a_manifest(a_layer("tensor", b"x", name="t"), config=config))
    with pytest.raises(Unsupported, match='"mlx:latest" has no GGUF weights'):
        _ = a_library(tmp_path).find(ModelName("mlx")).weights


def test_what_is_known_of_a_file_is_read_anew_when_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    facts = Facts()
    path.write_bytes(a_gguf())
    assert facts.details(path, (), "").context_length == 2048
    path.write_bytes(a_gguf({**LLAMA, "llama.context_length": 4096, "general.author": "me"}))
    assert facts.details(path, (), "").context_length == 4096


def test_many_files_do_not_fill_the_memory_and_stay_right(tmp_path: Path) -> None:
    facts = Facts(headers=2, details=2)
    paths = [tmp_path / f"{number}.gguf" for number in range(5)]
    for number, path in enumerate(paths):
        path.write_bytes(a_gguf({**LLAMA, "llama.context_length": 100 + number}))
    lengths = [facts.details(path, (), "").context_length for path in (*paths, *paths)]
    assert lengths == [100, 101, 102, 103, 104] * 2


def test_a_licence_that_is_listed_a_thousand_times_is_read_once(tmp_path: Path) -> None:
    text = b"L" * 2**20
    put_blob(tmp_path, a_config())
    put_blob(tmp_path, text)
    layers = [a_layer("license", text)] * 4000
    put_manifest(tmp_path, "tiny", a_manifest(*layers, config=a_config()))
    assert a_library(tmp_path).find(ModelName("tiny")).licenses == (text.decode(),)


def test_more_licences_than_anybody_reads_are_refused(tmp_path: Path) -> None:
    texts = [bytes([number]) * 9 * 2**20 for number in range(4)]
    for text in texts:
        put_blob(tmp_path, text)
    layers = [a_layer("license", text) for text in texts]
    put_manifest(tmp_path, "tiny", a_manifest(*layers, config=a_config()))
    with pytest.raises(DamagedLayer, match=r'"tiny:latest" has more than 33 MB of license'):
        _ = a_library(tmp_path).find(ModelName("tiny")).licenses


def test_a_flipped_bit_in_a_text_is_seen(tmp_path: Path) -> None:
    found = model(tmp_path, template=b"{{ .Prompt }}")
    put_blob(tmp_path, b"{{ .Prompt }}").write_bytes(b"{{ .Prompt |}")
    with pytest.raises(BlobDamaged, match=a_digest(b"{{ .Prompt }}")):
        _ = found.template
