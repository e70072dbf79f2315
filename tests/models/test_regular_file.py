"""Only regular files are opened, whatever else a path may lead to, and nothing waits."""

import os
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from puna.models.regular_file import UnusableFile, open_regular


def test_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")

    with open_regular(tmp_path / "a") as file:
        assert file.readall() == b"content"


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "link").symlink_to(tmp_path / "a")

    with open_regular(tmp_path / "link") as file:
        assert file.readall() == b"content"


def refusal_of(path: Path) -> str:
    with pytest.raises(UnusableFile) as caught:
        open_regular(path)
    return caught.value.message


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert refusal_of(tmp_path) == f'cannot read "{tmp_path}": it is a directory'


def test_a_named_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert "it is a named pipe" in refusal_of(tmp_path / "pipe")


def test_a_socket_is_refused() -> None:
    with TemporaryDirectory(prefix="puna") as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/s")

        assert "it is a socket" in refusal_of(Path(folder, "s"))


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/dev/tty", "/dev/random"])
def test_a_device_is_refused(path: str) -> None:
    assert "it is a device" in refusal_of(Path(path))


def test_a_link_to_a_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/zero")

    assert "it is a device" in refusal_of(tmp_path / "link")


def test_a_broken_link_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "absent")

    assert "no such file" in refusal_of(tmp_path / "link")


def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "link")

    assert "its links lead in a circle" in refusal_of(tmp_path / "link")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_forbidden_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").touch(mode=0)

    assert "no permission to read it" in refusal_of(tmp_path / "secret")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("absent", "no such file"),
        ("a" * 300, "the name is too long"),
        ("nul\0", "this cannot be the name of a file"),
        ("half\ud800pair", "this cannot be the name of a file"),
        ("escape\x1b[31m\n", "no such file"),
    ],
)
def test_a_hostile_name_gets_one_printable_line(tmp_path: Path, name: str, reason: str) -> None:
    message = refusal_of(tmp_path / name)

    assert message.endswith(reason)
    assert not {"\n", "\0", "\x1b"} & set(message)
    assert message.encode()
