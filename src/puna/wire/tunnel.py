"""What a market and an agent say over a tunnel: one SSH connection that the agent dials out.

The agent registers its public key by `POST /agent/v1/tunnel` and learns where to dial and which key
the gateway has. It asks for `LISTEN` to be forwarded to it, and then every stream that the gateway
opens names a pod, as the host that the stream comes from, and a port. A port above zero is the
pod's own and the stream is bare bytes. Port zero is the agent itself: the stream is frames, the
first an `ASK` and the first answer an `ANSWER`.
"""

from enum import IntEnum
from typing import Protocol

from pydantic import Field

from puna.wire.agent import PATH, Message

SOCKET_PATH = f"{PATH}/tunnel/socket"
"""Where a WebSocket carries the same connection, for networks that let no SSH out."""
LISTEN = ("pods", 1)
"""What the agent asks to be forwarded; nobody listens anywhere for it."""
AGENT = "host-"
"""An agent's user name is this and its host's id."""
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com")
"""The first takes half the processor time of the last."""
KEEPALIVE_S, MISSES = 7, 3
"""A peer that answers nothing is given up after 28 seconds."""
WINDOW = 256 * 1024
"""What a stream may hold that its reader has not read."""
PACKET = 32 * 1024
LONGEST_FRAME = 64 * 1024
MOST_KEPT = 5000
"""Lines of a container's log that are kept after its end."""
SIGNALS = frozenset({"ABRT", "ALRM", "HUP", "INT", "KILL", "PIPE", "QUIT", "TERM", "USR1", "USR2"})
"""Those of RFC 4254 that say no more than what they are."""
_HEAD = 5


class Registration(Message):
    """`POST /agent/v1/tunnel`, with the host's key as a bearer token."""

    public_key: str = Field(max_length=500)
    """In OpenSSH's one-line format, ed25519."""


class Door(Message):
    """Where the tunnel is to be dialled, and the key by which the gateway is known."""

    host: str
    """Empty where it is the market's own host."""
    port: int
    user: str
    gateway_key: str


class Size(Message):
    """A terminal's size."""

    columns: int = Field(default=80, ge=1, le=1000)
    rows: int = Field(default=24, ge=1, le=1000)


class Ask(Message):
    """What port zero of a pod is asked for."""

    kind: str
    """`shell` or `logs`."""
    words: tuple[str, ...] = ()
    """What to run; empty for the image's own shell."""
    terminal: str = ""
    """The terminal's type, such as `xterm-256color`; empty for none."""
    size: Size = Size()
    environ: dict[str, str] = Field(default={})
    since: str = ""
    """Logs: lines after this moment, in RFC 3339."""
    tail: int = Field(default=100, ge=0, le=MOST_KEPT)
    follow: bool = False


class Answer(Message):
    """What the agent says first: no code when it is so, or why it cannot be."""

    code: str = ""
    reason: str = ""


class Exited(Message):
    """How what ran in the pod ended."""

    code: int


class LogLine(Message):
    """A line that a container wrote; `at` is RFC 3339 with nanoseconds, as its log has it."""

    at: str
    text: str


class Ended(Message):
    """`POST /agent/v1/log`: the last lines of a container that has ended, once for each."""

    pod: str
    run: int = Field(ge=0, le=10**7)
    crashes: int = Field(default=0, ge=0)
    """How often a container of this run had ended before."""
    lines: list[LogLine] = Field(default=[], max_length=MOST_KEPT)


class Taken(Message):
    """The answer to `Ended`."""

    kept: int
    """How many lines the market has kept."""


class Kind(IntEnum):
    """What a frame holds: a message in JSON, or bytes."""

    ASK = 0
    ANSWER = 1
    INPUT = 2
    END = 3
    """No more input."""
    RESIZE = 4
    OUTPUT = 5
    ERRORS = 6
    LINE = 7
    EXIT = 8
    SIGNAL = 9
    """The name of a signal for what runs, without SIG."""


class Reads(Protocol):
    """The half of a stream that is read."""

    async def read(self, n: int = -1, /) -> bytes:
        """Return what is there, at most `n` bytes; nothing at the end."""

    async def readexactly(self, n: int, /) -> bytes:
        """Return `n` bytes. Raises `asyncio.IncompleteReadError` where the end comes before."""

    def at_eof(self) -> bool:
        """Tell whether the end has come and everything before it was read."""


class Writes(Protocol):
    """The half of a stream that is written."""

    def write(self, data: bytes, /) -> None:
        """Send some bytes, at once or later."""

    def write_eof(self) -> None:
        """Say that no more bytes come."""

    def close(self) -> None:
        """End the stream."""

    def is_closing(self) -> bool:
        """Tell whether it has ended, or is about to."""

    async def drain(self) -> None:
        """Wait while the other side does not keep up."""


def frame(kind: Kind, payload: bytes | Message = b"") -> bytes:
    """Return a frame."""
    body = payload.model_dump_json().encode() if isinstance(payload, Message) else payload
    return bytes((kind,)) + len(body).to_bytes(_HEAD - 1) + body


async def read_frame(reader: Reads) -> tuple[Kind, bytes]:
    """Return the next frame. Raises `EOFError` at the end, `ValueError` for what is none."""
    head = await reader.readexactly(_HEAD)
    length = int.from_bytes(head[1:])
    if length > LONGEST_FRAME:
        raise ValueError(f"a frame of {length} bytes")
    return Kind(head[0]), await reader.readexactly(length) if length else b""
