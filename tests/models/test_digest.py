"""A digest is 64 hexadecimal digits and nothing else, so it can name a file."""

import hashlib
import pickle
import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from puna.models.digest import Digest, InvalidDigest, digest_of, digest_of_chunks, digest_of_file
from puna.models.regular_file import UnusableFile

HEX = hashlib.sha256(b"llama").hexdigest()


@pytest.mark.parametrize("text", [f"sha256:{HEX}", f"sha256-{HEX}", f"sha256:{HEX.upper()}"])
def test_both_forms_give_the_same_digest(text: str) -> None:
    digest = Digest.parse(text)

    assert digest == f"sha256:{HEX}"
    assert digest.hex == HEX
    assert digest.short == HEX[:12]
    assert digest.blob_name == f"sha256-{HEX}"


INVALID = {
    "empty": "",
    "only the kind": "sha256:",
    "no kind": HEX,
    "other kind": f"sha512:{HEX}",
    "upper-case kind": f"SHA256:{HEX}",
    "too short": f"sha256:{HEX[1:]}",
    "too long": f"sha256:{HEX}0",
    "very long": "sha256:" + "0" * 10_000_000,
    "no hexadecimal": f"sha256:{'g' * 64}",
    "parents": "sha256:" + "../" * 21 + "x",
    "parents behind": f"sha256:{HEX}/../../x",
    "parents before": f"../sha256:{HEX}",
    "slash form": f"sha256/{HEX}",
    "line end": f"sha256:{HEX}\n",
    "nul": f"sha256:{HEX}\0",
    "nul inside": f"sha256:{HEX[:63]}\0",
    "space": f" sha256:{HEX}",
    "partial": f"sha256-{HEX}-partial",
    "other digits": "sha256:" + "\u0661" * 64,
    "full-width": "sha256:" + "\uff41" * 64,
    "half a pair": "sha256:" + "\ud800" * 64,
    "escape": f"\x1b[31msha256:{HEX}",
}


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID.keys())
def test_what_is_no_digest_is_refused_in_one_printable_line(text: str) -> None:
    with pytest.raises(InvalidDigest) as caught:
        Digest.parse(text)

    assert caught.value.status == 400
    assert re.fullmatch(r"[^\n\x00\x1b]{1,130}", caught.value.message)
    assert caught.value.message.encode()


def test_the_constructor_checks_too() -> None:
    with pytest.raises(InvalidDigest):
        Digest("../../etc/passwd")


@given(
    st.one_of(
        st.text(max_size=80),
        st.text(alphabet="0aF./\\:-\0", min_size=60, max_size=70).map("sha256:".__add__),
        st.text(alphabet="0123456789abcdefABCDEF", min_size=64, max_size=64).map("sha256-".__add__),
    )
)
def test_no_text_makes_a_file_name_that_is_more_than_a_name(text: str) -> None:
    try:
        digest = Digest.parse(text)
    except InvalidDigest:
        return

    assert re.fullmatch(r"sha256-[0-9a-f]{64}", digest.blob_name)
    assert Path("/store/blobs", digest.blob_name).parent == Path("/store/blobs")
    assert Digest.parse(digest.blob_name) == digest


@given(st.lists(st.binary(max_size=50), max_size=8))
def test_pieces_and_whole_give_the_same_digest(pieces: list[bytes]) -> None:
    assert digest_of_chunks(pieces) == digest_of(b"".join(pieces))


def test_a_digest_survives_pickling() -> None:
    digest = digest_of(b"llama")

    assert pickle.loads(pickle.dumps(digest)) == digest  # noqa: S301 - our own bytes


def test_a_file_has_the_digest_of_its_content(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"llama" * 300_000)

    assert digest_of_file(tmp_path / "blob") == digest_of(b"llama" * 300_000)


def test_a_missing_file_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match="no such file"):
        digest_of_file(tmp_path / "absent")
