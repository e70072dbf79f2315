"""Model files made for Ollama's former engine, which stock llama.cpp cannot load.

They are told from the header, so that the refusal comes before the load and names a file that
works. Ollama's own copy of llama.cpp is patched to translate them.
"""

from puna.errors import Unsupported
from puna.models.gguf import GgufHeader

_NAMES = {
    "gptoss": "hf.co/ggml-org/gpt-oss-20b-GGUF",
    "qwen25vl": "hf.co/ggml-org/Qwen2.5-VL-7B-Instruct-GGUF",
    "mllama": "",
    "deepseekocr": "",
    "glmocr": "",
    "glm4moelite": "",
}
"""Architectures that llama.cpp does not know by this name, each with a file that it loads."""
_WITH_EYES = {"gemma3": "hf.co/ggml-org/gemma-3-4b-it-GGUF", "mistral3": "", "llama4": ""}
"""Those that llama.cpp knows, but not with the vision part in the same file."""


class OldBlob(Unsupported):
    """The file is in a form that only Ollama's former engine reads."""

    code = "old_blob"


def check_loadable(header: GgufHeader, label: str) -> None:
    """Raise `OldBlob` for a file that llama.cpp would refuse."""
    family = header.architecture
    if family in _NAMES:
        instead = _NAMES[family]
    elif family in _WITH_EYES and _has_eyes(header):
        instead = _WITH_EYES[family]
    else:
        return
    way = f"such as {instead}" if instead else "which hf.co has for most models"
    raise OldBlob(
        f'model "{label}" is a file of the form {family} made for Ollama\'s former engine, which '
        "llama.cpp cannot load",
        hint=f"get it in llama.cpp's own form, {way}",
    )


def check_projector(header: GgufHeader, label: str) -> None:
    """Raise `OldBlob` for a projector that does not say of which kind it is, as LLaVA's first."""
    keys = ("clip.projector_type", "clip.vision.projector_type")
    if header.architecture == "clip" and not any(header.text(key) for key in keys):
        raise OldBlob(
            f'the projector of model "{label}" does not say of which kind it is, and llama.cpp '
            "cannot load it",
            hint="get a newer mmproj file, such as those beside the model on hf.co",
        )


def _has_eyes(header: GgufHeader) -> bool:
    return any(tensor.name.startswith("v.") for tensor in header.tensors)
