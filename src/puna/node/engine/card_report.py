"""What llama.cpp can compute on, asked through ggml's C API; a program that tells it and ends.

Drivers wake up when they are asked, and one that crashes or hangs takes no other process with it.
"""

import ctypes as c
import json
import os
import sys
from typing import ClassVar

from puna.node.engine.lifeline import die_with

BACKEND_VARIABLE = "GGML_BACKEND_PATH"
"""ggml's own variable: a file with one more backend, built from the same sources."""
_CARD, _INTEGRATED = 1, 2


class _Props(c.Structure):
    """`ggml_backend_dev_props`."""

    _fields_: ClassVar = [
        ("name", c.c_char_p),
        ("description", c.c_char_p),
        ("free", c.c_size_t),
        ("total", c.c_size_t),
        ("kind", c.c_int),
        ("address", c.c_char_p),
        ("caps", c.c_bool * 5),
    ]


def main(parent: int, library: str) -> None:
    """Write a line of JSON with every card, or with why there is none to tell of."""
    report = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # native code prints where it likes
    die_with(parent)
    fault = add_backend(library)
    words = {"failed": fault} if fault else {"cards": report_cards(library)}
    report.write(json.dumps(words).encode() + b"\n")
    report.flush()
    os._exit(0)  # taking a driver apart can crash, and the answer is given


def add_backend(library: str) -> str:
    """Load the backend that `GGML_BACKEND_PATH` names; return why that fails, else nothing."""
    path = os.environ.get(BACKEND_VARIABLE)  # noqa: TID251 - for native code, not for puna
    if not path:
        return ""
    # What such a file leaves open it finds in the library, if that is there for everybody.
    native = c.CDLL(library, mode=c.RTLD_GLOBAL)
    native.ggml_backend_load.restype = c.c_void_p
    native.ggml_backend_load.argtypes = [c.c_char_p]
    is_there = native.ggml_backend_load(path.encode())
    return "" if is_there else f"{BACKEND_VARIABLE}={path} is no backend of this build"


def report_cards(library: str) -> list[dict[str, object]]:
    """Return every card that this llama.cpp sees, with the memory that is free now."""
    native = c.CDLL(library)
    native.ggml_backend_dev_count.restype = c.c_size_t
    native.ggml_backend_dev_get.restype = c.c_void_p
    native.ggml_backend_dev_get.argtypes = [c.c_size_t]
    native.ggml_backend_dev_get_props.restype = None
    native.ggml_backend_dev_get_props.argtypes = [c.c_void_p, c.POINTER(_Props)]
    native.ggml_backend_dev_backend_reg.restype = c.c_void_p
    native.ggml_backend_dev_backend_reg.argtypes = [c.c_void_p]
    native.ggml_backend_reg_name.restype = c.c_char_p
    native.ggml_backend_reg_name.argtypes = [c.c_void_p]
    found = []
    for number in range(native.ggml_backend_dev_count()):
        device, props = native.ggml_backend_dev_get(number), _Props()
        native.ggml_backend_dev_get_props(device, props)
        if props.kind not in {_CARD, _INTEGRATED}:
            continue
        backend = native.ggml_backend_reg_name(native.ggml_backend_dev_backend_reg(device))
        found.append(
            {
                "name": _text(props.name),
                "description": _text(props.description),
                "free": props.free,
                "total": props.total,
                "address": _text(props.address),
                "backend": _text(backend),
                "is_integrated": props.kind == _INTEGRATED,
            }
        )
    return found


def free_memory(library: str) -> dict[str, int]:
    """Return how many bytes are free on each card now, by the engine's names."""
    cards = report_cards(library)
    return {str(each["name"]): int(str(each["free"])) for each in cards}


def _text(words: bytes | None) -> str:
    return (words or b"").decode(errors="replace")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
