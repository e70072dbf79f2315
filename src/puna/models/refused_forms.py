"""Forms of Ollama's former engine that llama.cpp runs in no way, and files that work instead."""

from collections.abc import Mapping
from types import MappingProxyType

from puna.errors import Unsupported

_INSTEAD: Mapping[str, str] = MappingProxyType(
    {
        "deepseekocr": "hf.co/ggml-org/DeepSeek-OCR-GGUF",
        "embeddinggemma": "hf.co/ggml-org/embeddinggemma-300M-GGUF",
        "gemma3": "hf.co/ggml-org/gemma-3-4b-it-GGUF",
        "gemma3n": "hf.co/unsloth/gemma-3n-E4B-it-GGUF",
        "gptoss": "hf.co/ggml-org/gpt-oss-20b-GGUF",
        "mllama": "hf.co/ggml-org/gemma-3-12b-it-GGUF",
        "qwen25vl": "hf.co/ggml-org/Qwen2.5-VL-7B-Instruct-GGUF",
    }
)
"""For old forms, a file that llama.cpp loads; seen in public code on 2026-11-24.

llama.cpp runs no mllama (Llama 3.2 Vision) in any form: what stands there sees images as well.
"""
_REFUSED = frozenset({"deepseekocr", "mllama", "nemotron_h_omni"})
"""Forms that are not translated: llama.cpp has no such model, or it takes more than new names."""


class OldBlob(Unsupported):
    """The file is in a form that only Ollama's former engine reads."""

    code = "old_blob"


def refusal(architecture: str, label: str) -> OldBlob | None:
    """Return why a model of an architecture is not loaded; None if it is."""
    if architecture not in _REFUSED:
        return None
    return OldBlob(
        f'model "{label}" is a file of the form {architecture} made for Ollama\'s '
        "former engine, which llama.cpp cannot load",
        hint=advice(architecture),
    )


def advice(form: str) -> str:
    """Return what to do about a file that is not, or cannot be, put into llama.cpp's form."""
    instead = _INSTEAD.get(form)
    way = f"such as {instead}" if instead else "which hf.co has for most models"
    return f"get it in llama.cpp's own form, {way}"
