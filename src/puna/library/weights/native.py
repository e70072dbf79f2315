"""Number formats by llama.cpp's own code, through the library inside the pinned wheel.

Only functions over plain pointers and numbers are called, whose forms have not changed in years.
Used only in a child process.
"""

import ctypes as c
from importlib.util import find_spec
from pathlib import Path

from puna.errors import Failed

_I64, _PTR = c.c_int64, c.c_void_p
_SIGNATURES: dict[str, tuple[object, ...]] = {
    "ggml_quantize_chunk": (c.c_size_t, c.c_int, _PTR, _PTR, _I64, _I64, _I64, _PTR),
    "ggml_validate_row_data": (c.c_bool, c.c_int, _PTR, c.c_size_t),
    "ggml_fp16_to_fp32_row": (None, _PTR, _PTR, _I64),
    "ggml_bf16_to_fp32_row": (None, _PTR, _PTR, _I64),
    "ggml_row_size": (c.c_size_t, c.c_int, _I64),
}
_F32, _F16, _BF16 = 0, 1, 30


class NoNativeLibrary(Failed):
    """The wheel that holds llama.cpp is not where it should be, or is another one."""

    code = "no_native_library"


class NotFinite(Failed):
    """A tensor holds a number that is none, or infinite, in its old or new format."""

    code = "not_finite"


class Formats:
    """llama.cpp's formats. Calls release Python's lock, so several threads may use one."""

    def __init__(self) -> None:
        spec = find_spec("xllamacpp")
        folder = Path(spec.origin).parent if spec and spec.origin else Path()
        paths = sorted(path for path in folder.glob("xllamacpp*") if path.suffix in {".so", ".pyd"})
        try:
            self._library = c.CDLL(str(paths[0]))
            for name, (result, *arguments) in _SIGNATURES.items():
                function = getattr(self._library, name)
                function.restype, function.argtypes = result, arguments
        except (IndexError, OSError, AttributeError) as error:
            raise NoNativeLibrary(
                "llama.cpp's number formats cannot be used", hint="install puna again"
            ) from error

    def row_size(self, kind: int, numbers: int) -> int:
        """Return the bytes of a row."""
        return int(self._library.ggml_row_size(kind, numbers))

    def convert(self, rows: bytearray, old: int, new: int, width: int) -> bytes:
        """Return rows of `width` numbers in another format. Raises `NotFinite`."""
        count = len(rows) // self.row_size(old, width)
        raw = (c.c_char * len(rows)).from_buffer(rows)
        self._check(raw, old)
        floats = self._floats(raw, old, count * width)
        size = count * self.row_size(new, width)
        made = (c.c_char * size)()
        written = self._library.ggml_quantize_chunk(new, floats, made, 0, count, width, None)
        if written != size:
            raise NoNativeLibrary(f"llama.cpp wrote {written} bytes where {size} were due")
        self._check(made, new)
        return made.raw

    def _floats(self, raw: "c.Array[c.c_char]", old: int, numbers: int) -> "c.Array[c.c_char]":
        if old == _F32:
            return raw
        floats = (c.c_char * (4 * numbers))()
        widen = {_F16: "ggml_fp16_to_fp32_row", _BF16: "ggml_bf16_to_fp32_row"}[old]
        getattr(self._library, widen)(raw, floats, numbers)
        return floats

    def _check(self, raw: "c.Array[c.c_char]", kind: int) -> None:
        if not self._library.ggml_validate_row_data(kind, raw, len(raw)):
            raise NotFinite("a number in it is infinite or none")
