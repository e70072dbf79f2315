"""`puna keys`: made, shown once, listed, revoked."""

import multiprocessing
from pathlib import Path

import pytest

from puna.node.keys import KeyRing, KeyWish
from puna.world import RealWorld
from tests.fakes.console import puna


def run(home: Path, *words: str) -> tuple[int, str, str]:
    ran = puna("keys", *words, environ={"PUNA_HOME": str(home)})
    return ran.code, ran.out, ran.err


def test_a_key_is_printed_once_and_only_its_digest_is_kept(tmp_path: Path) -> None:
    code, out, _ = run(tmp_path, "create", "laptop", "--expires", "30d")
    file = tmp_path / "keys.json"
    assert (code, len(out.strip())) == (0, 37)
    assert out.strip() not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_list_tells_everything_but_the_key(tmp_path: Path) -> None:
    secret = run(tmp_path, "create", "ci", "--scope", "manage", "--expires", "30d")[1].strip()
    lines = run(tmp_path, "list")[1].splitlines()
    assert lines[0].split() == ["NAME", "KEY", "SCOPE", "CREATED", "LAST", "USED", "EXPIRES"]
    assert lines[1].split()[:3] == ["ci", f"{secret[:11]}...", "manage"]
    assert "Never" in lines[1]
    assert "4 weeks from now" in lines[1]


def test_a_revoked_key_is_listed_no_more_and_its_name_is_free(tmp_path: Path) -> None:
    run(tmp_path, "create", "a")
    assert run(tmp_path, "revoke", "a")[1] == "revoked 'a'\n"
    assert len(run(tmp_path, "list")[1].splitlines()) == 1
    assert run(tmp_path, "create", "a")[0] == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("create", "a", "--expires", "soon"), '"soon" is not a length of time'),
        (("create", "a", "--scope", "root"), "invalid value for '--scope'"),
        (("create", "../a"), '"../a" is no name for a key'),
        (("revoke", "b"), 'no key is named "b"'),
    ],
)
def test_bad_words_get_one_line(tmp_path: Path, words: tuple[str, ...], complaint: str) -> None:
    code, out, err = run(tmp_path, *words)
    assert (code, out) == (1, "")
    assert err.startswith("Error: ")
    assert complaint in err


def test_two_keys_of_one_name_are_refused(tmp_path: Path) -> None:
    run(tmp_path, "create", "a")
    assert 'a key named "a" exists' in run(tmp_path, "create", "a")[2]


def _make(home: str, number: int) -> None:
    KeyRing(Path(home), RealWorld()).create(KeyWish(name=f"k{number}"))


def test_keys_made_at_once_are_all_kept(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    makers = [context.Process(target=_make, args=(str(tmp_path), n)) for n in range(8)]
    for maker in makers:
        maker.start()
    for maker in makers:
        maker.join()
    assert {key.name for key in KeyRing(tmp_path, RealWorld()).all_keys()} == {
        f"k{n}" for n in range(8)
    }
