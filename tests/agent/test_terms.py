"""Prices, hours and pauses are the owner's, and his own programs come first if he says so."""

from pathlib import Path

import pytest

from puna.agent.notebook import Offer
from puna.agent.terms import (
    owners_programs,
    programs_on_cards,
    range_of,
    read_hours,
    read_public,
    terms_of,
)
from puna.errors import Invalid

OFFER = Offer(price=360_000, least_bid=100_000, opens="22:00", closes="07:00")


def test_the_offer_is_reported_as_it_is() -> None:
    terms = terms_of(OFFER)
    assert (terms.price, terms.least_bid) == (360_000, 100_000)
    assert (terms.opens, terms.closes, terms.is_paused) == ("22:00", "07:00", False)


@pytest.mark.parametrize(
    ("changes", "is_used", "is_paused"),
    [
        ({"is_paused": True}, False, True),
        ({"yields": True}, True, True),
        ({"yields": True}, False, False),
        ({"yields": False}, True, False),
    ],
)
def test_pauses(changes: dict[str, bool], is_used: bool, is_paused: bool) -> None:
    assert terms_of(OFFER.model_copy(update=changes), is_used=is_used).is_paused is is_paused


def test_hours() -> None:
    assert read_hours("22:00-07:00") == ("22:00", "07:00")
    assert read_hours(" 22:00 - 07:00 ") == ("22:00", "07:00")
    assert read_hours("") == ("", "")


@pytest.mark.parametrize(
    "text", ["22:00", "22-7", "25:00-07:00", "22:00-", "a-b", "1:00-2:00-3:00"]
)
def test_what_is_no_part_of_the_day_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as failed:
        read_hours(text)
    assert "22:00-07:00" in failed.value.hint


def test_a_program_is_the_owners_if_it_is_in_none_of_our_containers(tmp_path: Path) -> None:
    for pid, group in ((1, "0::/libpod-abc/x"), (2, "0::/user.slice")):
        (tmp_path / f"proc/{pid}").mkdir(parents=True)
        (tmp_path / f"proc/{pid}/cgroup").write_text(group)
    assert not owners_programs([1], ["abc"], tmp_path)
    assert owners_programs([1, 2], ["abc"], tmp_path)
    assert owners_programs([1], [], tmp_path)
    assert not owners_programs([3], [], tmp_path), "it has ended"


def test_without_a_driver_nobody_computes() -> None:
    assert programs_on_cards() == []


def test_ports_that_lead_to_pods_are_a_range_at_an_address() -> None:
    assert read_public("203.0.113.7", "40000-40999") == ("203.0.113.7", "40000-40999")
    assert read_public("", "") == ("", "")
    assert range_of("40000-40999") == range(40_000, 41_000)
    assert range_of("") == range(0)


@pytest.mark.parametrize(
    ("address", "ports", "complaint"),
    [
        ("203.0.113.7", "", "go together"),
        ("", "40000-40999", "go together"),
        ("here", "40000-40999", "not an address"),
        ("::1", "40000-40999", "not an address"),
        ("203.0.113.7", "40000", "not ports of yours"),
        ("203.0.113.7", "22-99", "not ports of yours"),
        ("203.0.113.7", "50000-40000", "not ports of yours"),
        ("203.0.113.7", "40000-70000", "not ports of yours"),
        ("203.0.113.7", "40000-40001; drop", "not ports of yours"),
    ],
)
def test_what_cannot_lead_to_pods_is_refused(address: str, ports: str, complaint: str) -> None:
    with pytest.raises(Invalid, match=complaint):
        read_public(address, ports)
