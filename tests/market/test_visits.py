"""Renters over SSH, with asyncssh's client and with OpenSSH's own."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from puna.market.db.accounts import set_public_keys
from puna.market.domain.pods import Action
from puna.units import Span
from tests.market.stage import Stage
from tests.market.tunnelling import GATEWAY_KEY, Rented, a_rented_pod, an_echo

SFTP_SERVERS = [
    Path(folder, "sftp-server")
    for folder in ("/usr/lib/openssh", "/usr/lib/ssh", "/usr/libexec", "/usr/libexec/openssh")
]
KEY = asyncssh.generate_private_key("ssh-ed25519")
_GOES_ON = "while :; do sleep 0.1; done"
"""A signal that comes before a `read` would be seen only after it."""
PUBLIC = KEY.export_public_key("openssh").decode().strip()


@dataclass
class Guest:
    """A renter whose key is known."""

    rented: Rented

    @asynccontextmanager
    async def connected(
        self, user: str = "", key: asyncssh.SSHKey = KEY
    ) -> AsyncIterator[asyncssh.SSHClientConnection]:
        """Connect to the pod, or to what `user` names."""
        connection = await asyncssh.connect(
            "127.0.0.1",
            self.rented.gateway.port,
            username=user or self.rented.pod.id,
            client_keys=[key],
            known_hosts=None,
            config=None,
        )
        async with connection:
            yield connection


@asynccontextmanager
async def a_guest(market: Stage) -> AsyncIterator[Guest]:
    async with a_rented_pod(market) as rented:
        async with market.database.transaction() as tx:
            await set_public_keys(tx, rented.caller.account.id, [f"{PUBLIC} ada@home"])
        rented.reach.lines[rented.pod.id] = []
        yield Guest(rented)


async def test_a_command_has_its_outputs_its_input_and_its_code(market: Stage) -> None:
    async with a_guest(market) as guest, guest.connected() as connection:
        done = await connection.run("cat; echo oops >&2; exit 7", input="typed")
    assert (done.stdout, done.stderr, done.exit_status) == ("typed", "oops\n", 7)


async def test_a_shell_has_a_terminal_of_the_visitors_size(market: Stage) -> None:
    async with a_guest(market) as guest, guest.connected() as connection:
        process = await connection.create_process(term_type="vt100", term_size=(90, 20))
        process.change_terminal_size(120, 40)
        assert await process.stdout.readline() == "120x40\n"
        process.stdin.write("exit 5\n")
        done = await process.wait()
        (ask,) = guest.rented.reach.asked
    assert done.exit_status == 5
    assert (ask.words, ask.terminal, ask.size.columns, ask.size.rows) == ((), "vt100", 90, 20)


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "USR1"])
async def test_signals_reach_what_runs(market: Stage, name: str) -> None:
    command = f"trap 'echo got {name}; exit 9' {name}; echo ready; {_GOES_ON}"
    async with a_guest(market) as guest, guest.connected() as connection:
        process = await connection.create_process(command)
        assert await process.stdout.readline() == "ready\n"
        process.send_signal(name)
        assert await process.stdout.readline() == f"got {name}\n"
        assert (await process.wait()).exit_status == 9


async def test_a_break_interrupts_and_signals_of_no_ones_are_left_out(market: Stage) -> None:
    async with a_guest(market) as guest, guest.connected() as connection:
        process = await connection.create_process(f"trap 'exit 3' INT; echo ready; {_GOES_ON}")
        assert await process.stdout.readline() == "ready\n"
        process.send_signal("STOP@nowhere")
        process.send_break(100)
        assert (await process.wait()).exit_status == 3


async def test_only_variables_of_the_terminal_are_passed_on(market: Stage) -> None:
    sent = {"LC_ALL": "C", "LD_PRELOAD": "/evil.so", "HOME": "/elsewhere"}
    async with a_guest(market) as guest, guest.connected() as connection:
        await connection.run("true", env=sent)
        assert guest.rented.reach.asked[0].environ == {"LC_ALL": "C"}


async def test_ports_of_the_pod_are_forwarded(market: Stage) -> None:
    async with (
        an_echo() as port,
        a_guest(market) as guest,
        guest.connected() as connection,
    ):
        guest.rented.reach.ports[guest.rented.pod.id, 5000] = port
        reader, writer = await connection.open_connection("localhost", 5000)
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"hello"


@pytest.mark.parametrize(
    "target", [("example.org", 80), ("169.254.169.254", 80), ("localhost", 0), ("10.0.0.1", 22)]
)
async def test_nothing_but_the_pod_is_reached(market: Stage, target: tuple[str, int]) -> None:
    async with a_guest(market) as guest, guest.connected() as connection:
        with pytest.raises(asyncssh.ChannelOpenError, match="only ports of the pod"):
            await connection.open_connection(*target)


async def test_a_visitor_takes_no_port_of_the_gateway(market: Stage) -> None:
    async with a_guest(market) as guest, guest.connected() as connection:
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.forward_remote_port("", 0, "localhost", 22)
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.forward_remote_port("pods", 1, "localhost", 22)


@pytest.mark.parametrize("user", ["nosuchpod00000", "market", "host-x", "root"])
async def test_a_renters_key_opens_nothing_else(market: Stage, user: str) -> None:
    async with a_guest(market) as guest:
        with pytest.raises(asyncssh.PermissionDenied):
            async with guest.connected(user):
                raise AssertionError


async def test_another_accounts_key_does_not_open_a_pod(market: Stage) -> None:
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    async with a_guest(market) as guest:
        eve = await market.account("eve@example.org")
        line = stranger.export_public_key("openssh").decode()
        async with market.database.transaction() as tx:
            await set_public_keys(tx, eve.account.id, [line])
        with pytest.raises(asyncssh.PermissionDenied):
            async with guest.connected(key=stranger):
                raise AssertionError


async def test_runpods_longer_name_of_a_pod_is_known(market: Stage) -> None:
    async with a_guest(market) as guest, guest.connected(f"{guest.rented.pod.id}-64411742") as line:
        assert (await line.run("echo here")).stdout == "here\n"


async def test_a_key_that_was_taken_away_opens_nothing_two_seconds_later(market: Stage) -> None:
    async with a_guest(market) as guest:
        async with guest.connected():
            pass
        async with market.database.transaction() as tx:
            await set_public_keys(tx, guest.rented.caller.account.id, [])
        await market.world.advance(Span.of(seconds=3))
        with pytest.raises(asyncssh.PermissionDenied):
            async with guest.connected():
                raise AssertionError


async def test_a_pod_that_is_stopped_says_so(market: Stage) -> None:
    async with a_guest(market) as guest:
        await market.act(guest.rented.caller, guest.rented.pod, Action.STOP)
        async with guest.connected() as connection:
            done = await connection.run("true")
    assert done.exit_status == 255
    assert "is EXITED" in str(done.stderr)


def openssh(guest: Guest, folder: Path, program: str) -> list[str]:
    """Return the beginning of a command line of OpenSSH's own programs."""
    identity = folder / "id"
    identity.write_bytes(KEY.export_private_key())
    identity.chmod(0o600)
    port = str(guest.rented.gateway.port)
    (folder / "known").write_text(f"[127.0.0.1]:{port} {GATEWAY_KEY}\n")
    options = (
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={folder / 'known'}",
        "BatchMode=yes",
    )
    flag = "-p" if program == "ssh" else "-P"
    words = [program, "-F", "/dev/null", "-i", str(identity), flag, port]
    return [*words, *(word for option in options for word in ("-o", option))]


async def ran(*words: str, typed: bytes = b"") -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(typed)
    return await process.wait(), output


needs_openssh = pytest.mark.skipif(shutil.which("ssh") is None, reason="OpenSSH is not installed")


@needs_openssh
async def test_openssh_runs_a_command_and_knows_the_gateway(market: Stage, tmp_path: Path) -> None:
    async with a_guest(market) as guest:
        words = [*openssh(guest, tmp_path, "ssh"), f"{guest.rented.pod.id}@127.0.0.1"]
        done = await ran(*words, "cat; exit 4", typed=b"x" * 1_000_000)
    assert done == (4, b"x" * 1_000_000)


@needs_openssh
async def test_scp_copies_a_file_into_a_pod_and_back(market: Stage, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(b"rows" * 50_000)
    async with a_guest(market) as guest:
        words, there = [*openssh(guest, tmp_path, "scp"), "-O"], f"{guest.rented.pod.id}@127.0.0.1:"
        place = f"{there}{tmp_path / 'there'}"
        assert await ran(*words, "-q", str(tmp_path / "here"), place) == (0, b"")
        assert await ran(*words, "-q", place, str(tmp_path / "back")) == (0, b"")
    assert (tmp_path / "back").read_bytes() == b"rows" * 50_000


async def test_sftp_is_what_the_image_has_or_says_what_to_install(market: Stage) -> None:
    async with a_guest(market) as guest, guest.connected() as connection:
        process = await connection.create_process(subsystem="sftp", encoding=None)
        process.stdin.write(b"\0\0\0\5\1\0\0\0\3")
        process.stdin.write_eof()
        done = await process.wait()
    is_there = any(each.exists() for each in SFTP_SERVERS)
    assert done.exit_status == (0 if is_there else 127)
    assert is_there or "install openssh-sftp-server" in str(done.stderr)


async def test_a_flood_of_visitors_without_keys_has_an_end(market: Stage) -> None:
    async with a_guest(market) as guest, guest.connected() as connection:
        lines = [
            await asyncio.open_connection("127.0.0.1", guest.rented.gateway.port)
            for _ in range(300)
        ]
        greetings = [await greeting(reader) for reader, _ in lines]
        assert sum(text.startswith(b"SSH-2.0-") for text in greetings) == 250
        assert (await connection.run("echo still here")).stdout == "still here\n"
        for _, writer in lines:
            writer.close()
        async with asyncio.timeout(10):
            while not await is_let_in(guest):
                pass


async def is_let_in(guest: Guest) -> bool:
    try:
        async with guest.connected() as another:
            return (await another.run("echo here too")).stdout == "here too\n"
    except (OSError, asyncssh.Error):
        return False  # the gateway has not seen yet that the others have gone


async def greeting(reader: asyncio.StreamReader) -> bytes:
    """Return what the gateway says first, nothing where it hangs up."""
    try:
        return await reader.readline()
    except ConnectionError:
        return b""
