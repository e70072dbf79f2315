import pytest
from hypothesis import given, strategies as st

from puna.node.engine.last_words import epitaph, load_failure

BAD_MAGIC = b"""\
0.00.005.285 E gguf_init_from_reader: invalid magic characters: 'junk', expected 'GGUF'
0.00.005.389 E llama_model_load_from_file_impl: failed to load model
0.00.005.391 E srv    load_model: failed to load model, '/tmp/junk.gguf'
"""
NO_MEMORY = b"""\
0.00.005.285 E some_earlier: trouble
0.00.005.389 E ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 99
"""
BAD_PROJECTOR = b"""\
0.00.004.049 E mtmd_get_memory_usage: error: Failed to load CLIP model from /x

0.00.385.669 E clip_init: failed to load model '/x': load_hparams: unknown projector type: y

0.00.387.118 E mtmd_init_from_file: error: Failed to load CLIP model from /x
"""
ASSERTION = b"""\
0.15.312.768 E srv    send_error: task id = 17, error: Prompt contains invalid tokens
/src/ggml.c:3000: GGML_ASSERT(x > 0) failed
Fatal Python error: Aborted
"""
OLD_ERROR = b"0.15.312.768 E srv    send_error: task id = 17, error: long answered\n"
NO_LIBRARY = b"""\
Traceback (most recent call last):
ImportError: libgomp.so.1: cannot open shared object file
"""


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        pytest.param(
            BAD_MAGIC,
            "gguf_init_from_reader: invalid magic characters: 'junk', expected 'GGUF'",
            id="the-first-error-is-the-cause",
        ),
        pytest.param(
            NO_MEMORY,
            "ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 99",
            id="memory-says-more",
        ),
        pytest.param(
            b"0.1 E srv    load_model: no such thing", "load_model: no such thing", id="source"
        ),
        pytest.param(
            BAD_PROJECTOR,
            "clip_init: failed to load model '/x': load_hparams: unknown projector type: y",
            id="a-forecast-is-no-cause",
        ),
        pytest.param(b"", "llama.cpp gives no reason", id="silence"),
    ],
)
def test_a_failed_load_says_why(log: bytes, reason: str) -> None:
    assert load_failure(log) == reason


@pytest.mark.parametrize(
    ("code", "log", "words"),
    [
        (-11, b"", "the engine crashed (SIGSEGV)"),
        (
            -6,
            ASSERTION,
            "the engine crashed (SIGABRT): /src/ggml.c:3000: GGML_ASSERT(x > 0) failed",
        ),
        (-9, OLD_ERROR, "the engine was killed, as the system does when memory runs out"),
        (-99, b"", "the engine crashed (signal 99)"),
        (
            1,
            NO_LIBRARY,
            (
                "the engine ended with exit code 1:"
                " ImportError: libgomp.so.1: cannot open shared object file"
            ),
        ),
        (0, b"", "the engine ended with exit code 0"),
        (None, b"", "the engine does not answer"),
    ],
)
def test_the_last_words_name_the_end_and_its_cause(
    code: int | None, log: bytes, words: str
) -> None:
    assert epitaph(code, log) == words


@given(st.integers(min_value=-200, max_value=255) | st.none(), st.binary())
def test_any_end_is_told_in_one_printable_line(code: int | None, log: bytes) -> None:
    words = epitaph(code, log)

    assert words.isprintable()
    assert len(words) < 500
