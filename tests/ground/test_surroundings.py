"""What the variables that many programs share say of the person at the terminal."""

import pytest

from puna.settings import read_desk, read_environment


@pytest.mark.parametrize(
    ("environ", "languages"),
    [
        ({}, ()),
        ({"LANG": "C.UTF-8"}, ()),
        ({"LANG": "en_GB.UTF-8"}, ()),
        ({"LANG": "pl_PL.UTF-8"}, ("pl_PL", "pl")),
        ({"LANG": "pl"}, ("pl",)),
        ({"LANG": "de_AT@euro"}, ("de_AT", "de")),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "pl_PL.UTF-8"}, ("pl_PL", "pl")),
        ({"LANG": "pl_PL.UTF-8", "LC_ALL": "en_US.UTF-8"}, ()),
        ({"LANG": "pl_PL.UTF-8", "LC_ALL": "C"}, ()),
        ({"LANG": "pl_PL.UTF-8", "LC_ALL": ""}, ("pl_PL", "pl")),
        ({"LC_ALL": "C", "LANGUAGE": "pl"}, ()),
        ({"LANG": "C.UTF-8", "LANGUAGE": "pl"}, ("pl",)),
        ({"LANG": "pl_PL", "LANGUAGE": "de:pl"}, ("de", "pl")),
        ({"LANG": "pl_PL", "LANGUAGE": "de:en:pl"}, ("de",)),
    ],
    ids=str,
)
def test_languages_are_chosen_by_the_rules_of_gettext(
    environ: dict[str, str], languages: tuple[str, ...]
) -> None:
    assert read_desk(environ).languages == languages


@pytest.mark.parametrize(
    ("environ", "editor"),
    [
        ({}, "vi"),
        ({"EDITOR": "nano"}, "nano"),
        ({"EDITOR": "nano", "VISUAL": "code -w"}, "code -w"),
    ],
    ids=str,
)
def test_the_editor_is_the_visual_one_if_there_is_one(environ: dict[str, str], editor: str) -> None:
    assert read_desk(environ).editor == editor


def test_a_program_that_is_started_gets_every_variable() -> None:
    environ = {"PATH": "/bin", "X": ""}
    assert read_environment(environ) == environ
