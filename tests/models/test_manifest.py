"""A manifest keeps its bytes, and a damaged one says what is wrong."""

import hashlib
import json
from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from puna.models.digest import digest_of
from puna.models.manifest import (
    MAX_MANIFEST,
    ConfigBlob,
    DamagedManifest,
    Layer,
    Manifest,
    MediaType,
    make_manifest,
)
from puna.units import Size
from tests.builders import a_config, a_digest, a_layer, a_manifest

OLLAMA_BYTES = (
    b'{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v2+json",\n'
    b'  "config": {"mediaType":"application/vnd.docker.container.image.v1+json","digest":"sha256:'
    + b"1" * 64
    + b'","size":485},"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:'
    + b"2" * 64
    + b'","size":1321082688},{"mediaType":"application/vnd.ollama.image.license","digest":"sha256:'
    + b"3" * 64
    + b'","size":7711,"from":"registry.ollama.ai/library/llama3.2:1b"}]}   \n'
)


def test_identity_is_the_digest_of_the_exact_bytes() -> None:
    manifest = Manifest.parse(OLLAMA_BYTES)

    assert manifest.raw == OLLAMA_BYTES
    assert manifest.digest.hex == hashlib.sha256(OLLAMA_BYTES).hexdigest()


def test_layers_keep_their_order_and_the_size_counts_the_config() -> None:
    manifest = Manifest.parse(OLLAMA_BYTES)

    assert [layer.media_type for layer in manifest.layers] == [MediaType.MODEL, MediaType.LICENSE]
    assert manifest.layers[1].source == "registry.ollama.ai/library/llama3.2:1b"
    assert manifest.size == 485 + 1_321_082_688 + 7711
    assert manifest.config.digest == "sha256:" + "1" * 64


def test_layers_are_found_by_kind() -> None:
    layers = a_layer("license", b"a"), a_layer("model", b"b"), a_layer("license", b"c")
    manifest = Manifest.parse(a_manifest(*layers))

    found = manifest.layers_of(MediaType.LICENSE, MediaType.PROMPT)

    assert [layer.digest for layer in found] == [a_digest(b"a"), a_digest(b"c")]


def test_a_blob_that_is_listed_twice_is_one_blob() -> None:
    manifest = Manifest.parse(a_manifest(a_layer("license"), a_layer("license"), config=b"{}"))

    assert len(manifest.layers) == 2
    assert [layer.digest for layer in manifest.blobs] == [a_digest(b"weights"), a_digest(b"{}")]


def test_layers_of_unknown_kinds_are_carried_along() -> None:
    raw = a_manifest({**a_layer(), "mediaType": "application/x-new", "annotations": {"a": "b"}})

    assert Manifest.parse(raw).layers[0].media_type == "application/x-new"


def test_a_manifest_without_layers_is_valid() -> None:
    assert Manifest.parse(a_manifest(layers=None)).layers == ()
    assert Manifest.parse(a_manifest(layers=[])).size == 2


def without(field: str) -> bytes:
    return json.dumps({k: v for k, v in json.loads(a_manifest()).items() if k != field}).encode()


DAMAGED = {
    "empty": b"",
    "cut": a_manifest()[:-2],
    "not an object": b"[]",
    "null": b"null",
    "not UTF-8": b"\xff" + a_manifest(),
    "deep": b'{"layers":' + b"[" * 500_000,
    "huge": b" " * MAX_MANIFEST + a_manifest(),
    "key twice": a_manifest()[:-1] + b',"layers":[]}',
    "other version": a_manifest(schemaVersion=1),
    "version as text": a_manifest(schemaVersion="2"),
    "no config": without("config"),
    "config null": a_manifest(config_type=None).replace(b'"config": {', b'"config": null, "x": {'),
    "config a list": a_manifest().replace(b'"config": {', b'"config": [], "x": {'),
    "layers an object": a_manifest(layers={}),
    "layers a text": a_manifest(layers="none"),
    "layers a number": a_manifest(layers=0),
    "layer a text": a_manifest(layers=["sha256:" + "0" * 64]),
    "layer null": a_manifest(layers=[None]),
    "no digest": a_manifest(a_layer(digest=None)),
    "digest a number": a_manifest(a_layer(digest=1)),
    "digest a path": a_manifest(a_layer(digest="sha256:../../../../etc/passwd")),
    "digest too short": a_manifest(a_layer(digest="sha256:00")),
    "digest with line end": a_manifest(a_layer(digest="sha256:" + "0" * 64 + "\n")),
    "no size": a_manifest(a_layer(size=None)),
    "size negative": a_manifest(a_layer(size=-1)),
    "size a float": a_manifest(a_layer(size=1.5)),
    "size true": a_manifest(a_layer(size=True)),
    "size a text": a_manifest(a_layer(size="1")),
    "size beyond 64 bits": a_manifest(a_layer(size=2**64)),
    "size NaN": a_manifest(a_layer(size=float("nan"))),
    "no media type": a_manifest(a_layer(mediaType="")),
    "media type a list": a_manifest(a_layer(mediaType=[])),
    "from a number": a_manifest({**a_layer(), "from": 1}),
    "name a list": a_manifest(a_layer(name=["a"])),
}


@pytest.mark.parametrize("raw", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_manifest_says_so_in_one_line(raw: bytes) -> None:
    with pytest.raises(DamagedManifest) as caught:
        Manifest.parse(raw)

    assert "\n" not in caught.value.message


@given(st.binary(max_size=200) | st.integers(0, 600).map(lambda cut: OLLAMA_BYTES[:cut]))
def test_any_bytes_give_a_manifest_or_damage(raw: bytes) -> None:
    with suppress(DamagedManifest):
        assert Manifest.parse(raw).raw == raw


@given(st.integers(0, len(OLLAMA_BYTES) - 1), st.integers(0, 255))
def test_a_changed_byte_gives_another_identity_or_damage(place: int, byte: int) -> None:
    raw = OLLAMA_BYTES[:place] + bytes([byte]) + OLLAMA_BYTES[place + 1 :]
    original = Manifest.parse(OLLAMA_BYTES)
    try:
        changed = Manifest.parse(raw)
    except DamagedManifest:
        return

    assert (changed.digest == original.digest) == (raw == OLLAMA_BYTES)


def test_a_made_manifest_reads_back_as_itself() -> None:
    layers = [
        Layer(MediaType.MODEL, digest_of(b"model"), Size(5), source="smollm2:latest"),
        Layer(MediaType.TENSOR, digest_of(b"tensor"), Size(6), name="blk.0.ü"),
    ]
    made = make_manifest(Layer(MediaType.CONFIG, digest_of(b"{}"), Size(2)), layers)

    assert Manifest.parse(made.raw) == made
    assert made.raw.endswith(b"\n")
    assert made.raw.startswith(b'{"schemaVersion":2,"mediaType":"application/vnd.docker.distrib')


def test_a_config_says_what_the_model_is() -> None:
    config = ConfigBlob.parse(a_config(renderer="qwen3-coder", context_length=8192))

    assert config.model_format == "gguf"
    assert config.model_families == ("llama",)
    assert config.model_type == "134.52M"
    assert config.file_type == "Q4_1"
    assert config.renderer == "qwen3-coder"
    assert config.context_length == 8192


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        a_config(model_families=None, parser=None, rootfs={"type": "layers", "diff_ids": []}),
        a_config(draft={"model_format": "gguf"}, something_new=[1, 2]),
    ],
    ids=["empty", "old", "new"],
)
def test_old_and_new_configs_are_read(raw: bytes) -> None:
    assert ConfigBlob.parse(raw).parser == ""


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"\x80",
        a_config(model_family=1),
        a_config(model_families="llama"),
        a_config(model_families=["llama", 1]),
        a_config(context_length=-1),
        a_config(context_length="8192"),
        a_config(context_length=True),
    ],
)
def test_a_damaged_config_is_damage(raw: bytes) -> None:
    with pytest.raises(DamagedManifest):
        ConfigBlob.parse(raw)
