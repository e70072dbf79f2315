"""What Docker takes otherwise: moments of a log, and the words of a refusal."""

import pytest

from puna.agent.moby import after, words_in


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        ("1970-01-01T00:00:01Z", "1.000000001"),
        ("1970-01-01T00:00:01.5Z", "1.500000001"),
        ("1970-01-01T01:00:01.123456789+01:00", "1.123456790"),
        ("1970-01-01T00:00:01.999999999Z", "2.000000000"),
        ("yesterday", "yesterday"),
    ],
)
def test_a_log_goes_on_after_a_moment(moment: str, told: str) -> None:
    assert after(moment) == told


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ('{"message": "no such\\nthing"}', "no such thing"),
        ('{"cause": "that is podman"}', "that is podman"),
        ("page not found", "page not found"),
        ("[1]", "[1]"),
        ("{}", "{}"),
    ],
)
def test_a_refusal_is_said_in_the_engine_s_words(answer: str, words: str) -> None:
    assert words_in(answer) == words
