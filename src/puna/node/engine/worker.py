"""The child process: one llama.cpp server around one model, and nothing else of puna.

Native code can be killed for memory or crash; here that costs one model, never the node. The parent
(`process`) starts this file as a program and speaks to it in two ways: HTTP for the work, and lines
of JSON on standard input and output for the rest (what to load, is it ready, can this schema be
followed). Standard input is also the lifeline: when it closes, the parent is gone, and so is this.
"""

import contextlib
import ctypes
import functools
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Mapping
from types import ModuleType
from typing import BinaryIO, NoReturn

from puna.node.engine.card_report import add_backend, free_memory
from puna.node.engine.lifeline import die_with, go_first_when_memory_ends
from puna.node.engine.schema_check import SchemaCheck
from puna.node.engine.scorer import CannotScore, Scorer

_M_MMAP_THRESHOLD = -3
_LARGE_BLOCK = 4 * 2**20
"""Bytes from which a block goes back to the system when it is freed, instead of leaving a hole."""
# Variables by which llama.cpp would listen elsewhere, or take another program for its parent.
_FOREIGN_SETTINGS = ("AIP_MODE", "LLAMA_SERVER_ROUTER_PORT", "LLAMA_SERVER_CHILD_MODE")
_NATIVE_SETTINGS = {
    # Or llama.cpp starts a debugger to print its stack when an assertion fails.
    "GGML_NO_BACKTRACE": "1",
    # How often a thread that waits for the others looks before it sleeps; 300,000 by itself. Where
    # anything else wants a processor, such a thread keeps it from the one it waits for: decoding
    # fell from 75 tokens a second to 2. So it stays 75 where nothing else runs, and falls to 20.
    "GOMP_SPINCOUNT": "1000",
    # numpy's products need no threads here: where they are large, each core has a process.
    "OPENBLAS_NUM_THREADS": "1",
}
_ENUMS = {
    "cache_type_k": ("ggml_type", "GGML_TYPE_"),
    "cache_type_v": ("ggml_type", "GGML_TYPE_"),
    "flash_attn_type": ("llama_flash_attn_type", "LLAMA_FLASH_ATTN_TYPE_"),
    "pooling_type": ("llama_pooling_type", "LLAMA_POOLING_TYPE_"),
    "load_mode": ("llama_load_mode", "LLAMA_LOAD_MODE_"),
    "split_mode": ("llama_split_mode", "LLAMA_SPLIT_MODE_"),
    "speculative.types": ("common_speculative_type", "COMMON_SPECULATIVE_TYPE_"),
}


def main(parent: int) -> None:
    """Load what the first line of input says, report, and answer until input ends."""
    report = _own_output()
    die_with(parent)
    go_first_when_memory_ends()
    _prepare_native_environment()
    _give_large_blocks_back()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_input, args=(lines,), daemon=True).start()
    import xllamacpp  # noqa: PLC0415 - its libraries read the environment as they are loaded

    library = xllamacpp.xllamacpp.__file__
    parameters = json.loads(lines.get())
    if fault := add_backend(library):
        _say(report, {"failed": fault})
        sys.exit(1)
    if "score" in parameters:
        _score(library, parameters["score"], lines, report)
    if "labels" in parameters:
        from puna.node.engine.label_child import tell_labels  # noqa: PLC0415 - needs numpy

        say = functools.partial(_say, report)
        tell_labels(library, parameters["labels"], lines, say)
    settings = _settings(xllamacpp, parameters)
    free = free_memory(library) if parameters["n_gpu_layers"] else {}
    try:
        server = xllamacpp.Server(settings)
    except RuntimeError as error:
        _say(report, {"failed": str(error)})
        # The usual way out: it prints what llama.cpp's log still holds, which is the reason.
        sys.exit(1)
    # llama.cpp installs handlers of its own for both.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    left = free_memory(library) if free else {}
    taken = {name: before - left[name] for name, before in free.items()}
    _say(report, {"ready": server.listening_address, "taken": taken})
    schemas = SchemaCheck(library)
    while True:
        question = json.loads(lines.get())
        if "image" in question:
            from puna.node.engine.converting import png_of  # noqa: PLC0415 - few need its weight

            _say(report, {"check": question["check"], **png_of(question["image"])})
            continue
        answer = schemas.check(question["schema"])
        _say(
            report,
            {"check": question["check"], "refusal": answer.refusal, "ignored": answer.ignored},
        )


def _score(
    library: str,
    load: Mapping[str, object],
    lines: queue.SimpleQueue[bytes],
    report: BinaryIO,
) -> NoReturn:
    """Load a model to score, report, and answer until input ends."""
    try:
        scorer = Scorer(library, load)
    except RuntimeError as error:
        _say(report, {"failed": str(error)})
        sys.exit(1)
    facts = {"context": scorer.context, "vocabulary": scorer.vocabulary}
    _say(report, {"ready": "", "facts": facts})
    while True:
        question = json.loads(lines.get())
        answer: Mapping[str, object]
        try:
            answer = scorer.score(question)
        except CannotScore as error:
            answer = {"refusal": str(error)}
        _say(report, {"check": question["check"], **answer})


def _own_output() -> BinaryIO:
    """Return standard output, for reports alone: what native code prints goes to errors."""
    report = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return report


def _prepare_native_environment() -> None:
    environment = os.environ  # noqa: TID251 - for native code, not for puna
    for name in _FOREIGN_SETTINGS:
        environment.pop(name, None)
    for name, value in _NATIVE_SETTINGS.items():
        environment.setdefault(name, value)


def _give_large_blocks_back() -> None:
    """Keep glibc from raising that limit by itself; snapshots of slots would leave holes.

    They come and go in changing sizes, up to hundreds of megabytes each, and `models.fit` counts
    them without holes. Other C libraries do this anyway, or have no such choice.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)


def _read_input(lines: queue.SimpleQueue[bytes]) -> None:
    # Not sys.stdin: its buffer is locked while this waits, and that breaks the usual way out.
    rest = bytearray()
    while block := os.read(0, 2**16):
        first, *others = block.split(b"\n")
        rest += first
        for line in others:
            lines.put(bytes(rest))
            rest = bytearray(line)
    # Not sys.exit: taking llama.cpp's server apart can hang, and nothing here needs saving.
    os._exit(0)


def _settings(native: ModuleType, parameters: Mapping[str, object]) -> object:
    settings: object = native.CommonParams()
    for name, value in parameters.items():
        if name in _ENUMS:
            enum, prefix = _ENUMS[name]
            kind = getattr(native, enum)
            names = value if isinstance(value, list) else [value]
            values = [kind[f"{prefix}{each}"] for each in names]
            _set(settings, name, values if isinstance(value, list) else values[0])
        elif name == "lora_adapters" and isinstance(value, list):
            _set(settings, name, [native.CommonAdapterLoraInfo(path, 1.0) for path in value])
        else:
            _set(settings, name, value)
    return settings


def _set(settings: object, name: str, value: object) -> None:
    *path, last = name.split(".")
    for part in path:
        settings = getattr(settings, part)
    setattr(settings, last, value)


def _say(report: BinaryIO, words: Mapping[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):
        report.write(json.dumps(words).encode() + b"\n")
        report.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]))
