"""Model files made for Ollama's former engine, which stock llama.cpp cannot load.

They are told from the header. Most are put into llama.cpp's form once (`models.former`); what
cannot be is refused before a load, with the name of a file that works.
"""

from puna.models.former.forms import former_of, projector_of
from puna.models.gguf import GgufHeader
from puna.models.refused_forms import OldBlob, advice, refusal

__all__ = ["OldBlob", "check_loadable", "check_projector", "way_out"]


def check_loadable(header: GgufHeader, label: str) -> None:
    """Raise `OldBlob` for a file that llama.cpp would refuse and that is not translated."""
    if refused := refusal(header.architecture, label):
        raise refused


def check_projector(header: GgufHeader, label: str) -> None:
    """Raise `OldBlob` for a projector that does not say of which kind it is, nor is LLaVA's."""
    keys = ("clip.projector_type", "clip.vision.projector_type")
    is_kindless = header.architecture == "clip" and not any(header.text(key) for key in keys)
    if is_kindless and projector_of(header) is None:
        raise OldBlob(
            f'the projector of model "{label}" does not say of which kind it is, and llama.cpp '
            "cannot load it",
            hint="get a newer mmproj file, such as those beside the model on hf.co",
        )


def way_out(header: GgufHeader) -> str:
    """Return what to do about a file that cannot be put into llama.cpp's form."""
    found = former_of(header)
    return advice(found.form if found else header.architecture)
