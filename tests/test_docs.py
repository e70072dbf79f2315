"""The documents are true: links lead somewhere, generated pages are fresh, transcripts run."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import free_port

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = re.findall(r"^\$ (.+)$", (ROOT / "README.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_project_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_generated_pages_are_fresh() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/write_docs.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.journey
@pytest.mark.model
def test_the_readmes_commands_run_as_written(tmp_path: Path) -> None:
    port = free_port()
    bin_folder = Path(sys.executable).parent
    environ = os.environ | {
        "PUNA_HOME": str(tmp_path),
        "PUNA_HOST": f"127.0.0.1:{port}",
        "PATH": f"{bin_folder}:{os.environ['PATH']}",
    }
    work = tmp_path / "work"
    work.mkdir()
    (work / "keywords.csv").write_text("id,keyword\n1,black banana\n2,red boots\n3,\n")
    (work / "labels.txt").write_text("footwear\nfood\n")
    try:
        outcomes = [
            _run(command.replace("11434", str(port)), environ, work) for command in COMMANDS
        ]
    finally:
        _run("puna stop --server", environ, work)
    assert [outcome for outcome in outcomes if outcome] == []


def _run(command: str, environ: dict[str, str], folder: Path) -> str:
    """Run one command of the README; return what went wrong."""
    done = subprocess.run(
        shlex.split(command),
        env=environ,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    said = done.stdout.strip() or done.stderr.strip()  # a job talks on stderr alone
    ok = done.returncode == 0 and said and '"error"' not in done.stdout
    return "" if ok else f"{command}: {done.stdout}{done.stderr}"
