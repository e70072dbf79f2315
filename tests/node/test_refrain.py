"""A piece that comes more than thirty times in a row, and what is none."""

from puna.node.refrain import Refrain


def length_until_it_goes_on(*pieces: str) -> int | None:
    refrain = Refrain()
    return next((n for n, piece in enumerate(pieces, 1) if refrain.goes_on(piece)), None)


def test_the_thirty_second_time_is_too_often() -> None:
    assert length_until_it_goes_on(*["la"] * 100) == 32


def test_white_space_makes_no_difference_and_is_a_piece_too() -> None:
    assert length_until_it_goes_on(*["la", " la", "la\n"] * 40) == 32
    assert length_until_it_goes_on("a", *["\n", " "] * 40) == 33


def test_a_character_in_two_tokens_is_one_piece() -> None:
    assert length_until_it_goes_on(*["", "🌟"] * 40) == 64


def test_a_rhyme_may_go_on() -> None:
    assert length_until_it_goes_on(*["la", "lu"] * 100) is None
