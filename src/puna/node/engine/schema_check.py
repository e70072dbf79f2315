"""Asks llguidance, the part of llama.cpp that follows JSON schemas, whether it can follow one.

llama.cpp's server does not ask: with a schema that llguidance refuses, it generates without any
constraint and says nothing to the client. So the worker asks first, through the C functions that
the engine's own library exports, and takes the first step with the schema too. What gets too hard
only later is noticed in the log (`child`). Only the worker uses this file.
"""

import ctypes
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

_BYTES = 256
_END = b"\xff</s>"
_MESSAGE_BYTES = 4096
_LIMITS_BYTES = 1024
"""More than `LlgConstraintInit` has. Only the library looks inside."""
_REFUSED = -1
_WARNED = 1


class _TokenizerInit(ctypes.Structure):
    _fields_ = (
        ("vocab_size", ctypes.c_uint32),
        ("tok_eos", ctypes.c_uint32),
        ("token_lens", ctypes.POINTER(ctypes.c_uint32)),
        ("token_bytes", ctypes.c_char_p),
        ("tokenizer_json", ctypes.c_char_p),
        ("tokenize_assumes_string", ctypes.c_bool),
        ("tokenize_fn", ctypes.c_void_p),
        ("use_approximate_greedy_tokenize_fn", ctypes.c_bool),
        ("tokenize_user_data", ctypes.c_void_p),
        ("slices", ctypes.c_void_p),
        ("later_fields", ctypes.c_uint8 * 256),
    )


@dataclass(frozen=True, slots=True)
class SchemaAnswer:
    """Why a schema cannot be followed, or which parts of it will be left out."""

    refusal: str = ""
    ignored: tuple[str, ...] = ()


class SchemaCheck:
    """Checks schemas; made once for a process. `library` is the engine's extension module."""

    def __init__(self, library: str) -> None:
        self._llg = ctypes.CDLL(library)
        self._llg.llg_new_tokenizer.restype = ctypes.c_void_p
        self._llg.llg_constraint_init_set_defaults.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        self._llg.llg_validate_grammar.restype = ctypes.c_int32
        self._llg.llg_new_matcher.restype = ctypes.c_void_p
        for function in (self._llg.llg_matcher_compute_mask, self._llg.llg_matcher_get_error):
            function.argtypes = (ctypes.c_void_p,)
        self._llg.llg_matcher_get_error.restype = ctypes.c_char_p
        self._llg.llg_free_matcher.argtypes = (ctypes.c_void_p,)
        self._llg.llg_free_matcher.restype = None

    def check(self, schema: Mapping[str, object]) -> SchemaAnswer:
        """Return llguidance's opinion. Blocks: a millisecond, or seconds for a monster."""
        grammar = f"%llguidance {{}}\nstart: %json {json.dumps(schema)}".encode()
        message = ctypes.create_string_buffer(_MESSAGE_BYTES)
        verdict = self._llg.llg_validate_grammar(
            self._limits, b"lark", grammar, message, ctypes.c_size_t(_MESSAGE_BYTES)
        )
        words = message.value.decode(errors="replace")
        if verdict == _REFUSED:
            return SchemaAnswer(refusal=_reason(words))
        if trouble := self._try(grammar):
            return SchemaAnswer(refusal=_reason(trouble))
        if verdict == _WARNED:
            lines = (line.removeprefix("WARNING: ").strip() for line in words.splitlines())
            return SchemaAnswer(ignored=tuple(line for line in lines if line))
        return SchemaAnswer()

    def _try(self, grammar: bytes) -> str:
        """Return what goes wrong when the first token is to be chosen by the grammar."""
        matcher = self._llg.llg_new_matcher(self._limits, b"lark", grammar)
        try:
            if not self._llg.llg_matcher_get_error(matcher):
                self._llg.llg_matcher_compute_mask(matcher)
            trouble: bytes = self._llg.llg_matcher_get_error(matcher) or b""
            return trouble.decode(errors="replace")
        finally:
            self._llg.llg_free_matcher(matcher)

    @cached_property
    def _limits(self) -> ctypes.Array[ctypes.c_char]:
        # A grammar is checked the same for any vocabulary; one of single bytes is made in no time.
        lengths = (ctypes.c_uint32 * (_BYTES + 1))(*([1] * _BYTES), len(_END))
        init = _TokenizerInit(
            vocab_size=_BYTES + 1,
            tok_eos=_BYTES,
            token_lens=lengths,
            token_bytes=bytes(range(_BYTES)) + _END,
            tokenize_assumes_string=True,
            use_approximate_greedy_tokenize_fn=True,
        )
        error = ctypes.create_string_buffer(_MESSAGE_BYTES)
        tokenizer = self._llg.llg_new_tokenizer(
            ctypes.byref(init), error, ctypes.c_size_t(_MESSAGE_BYTES)
        )
        if not tokenizer:
            raise RuntimeError(error.value.decode(errors="replace"))
        limits = ctypes.create_string_buffer(_LIMITS_BYTES)
        self._llg.llg_constraint_init_set_defaults(limits, tokenizer)
        return limits


def _reason(words: str) -> str:
    """Return llguidance's reason without the grammar or the state that it prints after it."""
    text = words.split("\n   1 |", maxsplit=1)[0]
    reason = " ".join(text.partition("failed to compile JSON schema:")[2].split())
    return reason or text.strip().split("\n", maxsplit=1)[0]
