"""Messages over several lines."""

import pytest

from puna.cli.repl.entry import is_open, without_fence


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello", False),
        ('"""', True),
        ('"""hello', True),
        ('"""hello\nyou', True),
        ('"""hello"""', False),
        ('"""hello\nyou"""', False),
        ('"""hello\n"""  ', False),
        ('say """x', False),
        ('/set system """You are', True),
        ('/set system """You are"""', False),
        ("/set system You are", False),
        ('/show """', False),
    ],
)
def test_triple_quotes_keep_a_message_open(text: str, expected: bool) -> None:
    assert is_open(text) is expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "hello"),
        ('"""hello"""', "hello"),
        ('"""hello\nyou\n"""', "hello\nyou\n"),
        ('"""never closed', "never closed"),
        ('a """quoted""" word', 'a """quoted""" word'),
    ],
)
def test_the_quotes_are_no_part_of_the_message(text: str, message: str) -> None:
    assert without_fence(text) == message
