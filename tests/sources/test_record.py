from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from puna.library.sources.record import Installed, RecordLine, installed, is_inside
from puna.models.digest import Digest
from puna.units import Size
from tests.builders import a_digest
from tests.stores import a_package

HASH = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
EMPTY = Digest(a_digest(b""))


@pytest.fixture
def package(tmp_path: Path) -> Installed:
    dist_info = a_package(tmp_path)
    return Installed("tiny-llama", "1.0", dist_info)


def test_distributions_are_found_by_their_folders(tmp_path: Path) -> None:
    a_package(tmp_path, "Tiny_Llama", version="2.0")
    a_package(tmp_path, "other.one")
    (tmp_path / "unrelated").mkdir()
    found = [(package.distribution, package.version) for package in installed([str(tmp_path)])]
    assert found == [("tiny-llama", "2.0"), ("other-one", "1.0")]


def test_of_one_distribution_in_two_folders_the_first_counts(tmp_path: Path) -> None:
    for version in ("2.0", "1.0"):
        a_package(tmp_path / version, version=version)
    path = [str(tmp_path / "2.0"), str(tmp_path / "1.0")]
    assert [package.version for package in installed(path)] == ["2.0"]


@pytest.mark.parametrize("folder", ["", "/nonexistent", __file__])
def test_what_is_no_folder_of_packages_is_passed_over(folder: str) -> None:
    assert list(installed([folder])) == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"a.gguf,sha256={HASH},7", RecordLine("a.gguf", EMPTY, Size(7))),
        (f'"a,""b"".gguf",sha256={HASH},7', RecordLine('a,"b".gguf', EMPTY, Size(7))),
        ("RECORD,,", RecordLine("RECORD", None, None)),
        ("a.gguf,md5=1B2M2Y8AsgTpgAmY7PhCfg,7", RecordLine("a.gguf", None, Size(7))),
        ("a.gguf,sha256=!!,-7", RecordLine("a.gguf", None, None)),
        ("a.gguf,sha256=AAAA,7", RecordLine("a.gguf", None, Size(7))),
        ("a.gguf", RecordLine("a.gguf", None, None)),
    ],
    ids=["plain", "quoted", "itself", "other hash", "no hash", "short hash", "only a path"],
)
def test_a_line_of_record(package: Installed, line: str, expected: RecordLine) -> None:
    (package.dist_info / "RECORD").write_text(f"{line}\n\n")
    assert package.record() == (expected,)


@given(st.binary(max_size=300))
def test_no_record_is_too_broken_to_read(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    dist_info = tmp_path_factory.mktemp("site") / "x-1.dist-info"
    dist_info.mkdir()
    for name in ("RECORD", "entry_points.txt"):
        (dist_info / name).write_bytes(content)
    package = Installed("x", "1", dist_info)
    assert all(isinstance(line, RecordLine) for line in package.record())
    assert all(len(point) == 2 for point in package.entry_points("puna.models"))


def test_entry_points_of_one_group_are_read(package: Installed) -> None:
    text = "[console_scripts]\nx = y:z\n[puna.models]\n# note\na = p\nb:1b=q:r.gguf\n[other]\nc=d\n"
    (package.dist_info / "entry_points.txt").write_text(text)
    assert package.entry_points("puna.models") == (("a", "p"), ("b:1b", "q:r.gguf"))


def test_a_package_without_record_lists_nothing(package: Installed) -> None:
    (package.dist_info / "RECORD").unlink()
    assert package.record() == ()


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("pkg/a.gguf", True),
        ("../../../bin/tool", False),
        ("pkg/../../x", False),
        ("/etc/passwd", False),
        ("pkg\\..\\x", False),
        ("", False),
    ],
)
def test_which_paths_stay_among_the_packages(*, path: str, inside: bool) -> None:
    assert is_inside(path) is inside
