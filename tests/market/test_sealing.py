"""What renters entrust to the market is not read from its database."""

from pathlib import Path

import pytest

from puna.errors import Invalid
from puna.market.db.sealing import Seal, Unsealable

SEAL = Seal(bytes(32))


def test_what_is_sealed_is_opened() -> None:
    sealed = SEAL.close("pa55 wórd", "secret:a")
    assert "pa55" not in sealed
    assert SEAL.open(sealed, "secret:a") == "pa55 wórd"


def test_the_same_text_is_never_sealed_the_same() -> None:
    assert SEAL.close("x", "secret:a") != SEAL.close("x", "secret:a")


@pytest.mark.parametrize(
    ("seal", "belongs_to", "change"),
    [
        (SEAL, "secret:b", ""),
        (Seal(b"1" * 32), "secret:a", ""),
        (SEAL, "secret:a", "AAAA"),
        (SEAL, "secret:a", "\u00e9"),
    ],
    ids=["another row", "another key", "changed", "no text of ours"],
)
def test_what_was_moved_or_changed_is_refused(seal: Seal, belongs_to: str, change: str) -> None:
    sealed = SEAL.close("x", "secret:a")
    with pytest.raises(Unsealable, match="another key"):
        seal.open(sealed + change, belongs_to)


def test_the_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "market" / "market.key"
    sealed = Seal.from_file(path).close("x", "secret:a")
    assert Seal.from_file(path).open(sealed, "secret:a") == "x"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["market.key"]


@pytest.mark.parametrize("text", ["", "c2hvcnQ=", "no\x00key"])
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "market.key"
    path.write_text(text)
    with pytest.raises(Invalid, match="holds no key"):
        Seal.from_file(path)


def test_what_is_derived_depends_on_the_key_and_the_purpose() -> None:
    assert SEAL.derive("a") == SEAL.derive("a")
    assert len({SEAL.derive("a"), SEAL.derive("b"), Seal(b"1" * 32).derive("a")}) == 3
