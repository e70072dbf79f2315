import os
import shutil
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

from puna.node.engine.den import Den, sweep_dens

KILLED_OWNER = """
    import os, signal, sys
    from pathlib import Path
    from puna.node.engine.den import Den
    print(Den.dig(Path(sys.argv[1])).path, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_only_its_owner_may_enter(tmp_path: Path) -> None:
    den = Den.dig(tmp_path)

    assert stat.S_IMODE(den.path.stat().st_mode) == 0o700
    den.fill()


def test_the_path_of_the_socket_is_short_enough_for_every_system() -> None:
    den = Den.dig()

    assert len(os.fsencode(den.socket)) <= 100
    den.fill()


def test_a_filled_den_is_gone_and_can_be_filled_again(tmp_path: Path) -> None:
    den = Den.dig(tmp_path)
    den.socket.touch()

    den.fill()
    den.fill()

    assert list(tmp_path.iterdir()) == []


def test_the_den_of_a_killed_process_is_swept(tmp_path: Path) -> None:
    program = [sys.executable, "-c", textwrap.dedent(KILLED_OWNER), str(tmp_path)]
    left = subprocess.run(program, check=False, capture_output=True, text=True).stdout.strip()

    assert Path(left).is_dir()
    sweep_dens(tmp_path)
    assert not Path(left).exists()


def test_the_den_of_the_living_is_not_swept(tmp_path: Path) -> None:
    den = Den.dig(tmp_path)

    sweep_dens(tmp_path)

    assert den.path.is_dir()
    den.fill()


def test_a_sweep_follows_no_links_and_touches_nothing_else(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    den = Den.dig(tmp_path)
    shutil.copytree(den.path, precious)
    den.fill()
    (tmp_path / "puna-engine-trap").symlink_to(precious)
    (tmp_path / "puna-engine-empty").mkdir()

    sweep_dens(tmp_path)

    assert (precious / "lock").exists()
    assert (tmp_path / "puna-engine-empty").is_dir()
