"""What puna says to a person who reads Polish, and what stays English for programs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from puna.cli.catalogue import Catalogue, Template, language_of
from puna.cli.language import ENGLISH
from puna.cli.view import model_table
from puna.node.replies import Fields, ModelEntry
from tests.fakes.console import NOW, Ran, a_terminal, puna
from tests.fakes.node import FakeNode, a_card, a_tag, an_error

ROOT = Path(__file__).parent.parent.parent
_HELP = """
import sys
from puna.cli.main import main
sys.argv = ["puna", "--help"]
try:
    main()
finally:
    print("puna.cli.catalogue" in sys.modules, file=sys.stderr)
"""
NOWHERE = {"PUNA_HOST": "127.0.0.1:9"}
POLISH = language_of(("pl_PL", "pl"))


def po_polsku(*words: str, environ: dict[str, str], screen: bool = False, typed: str = "") -> Ran:
    """Run the program for a person who reads Polish."""
    terminal = a_terminal(typed, screen=screen, keys=bool(typed))
    return puna(*words, environ=environ, terminal=terminal._replace(language=POLISH))


def test_catalogues_are_whole_compiled_and_have_the_same_places() -> None:
    ran = subprocess.run(
        [sys.executable, ROOT / "tools/messages.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ((), "en"),
        (("xx", "yy"), "en"),
        (("pl",), "pl"),
        (("pl_PL", "pl"), "pl"),
        (("de_AT", "de", "pl"), "pl"),
        (("../pl",), "en"),
    ],
    ids=str,
)
def test_the_first_language_that_there_is_is_spoken(wanted: tuple[str, ...], code: str) -> None:
    assert language_of(wanted).code == code


@pytest.mark.parametrize(
    ("english", "polish"),
    [
        ("1 second ago", "Sekundę temu"),
        ("2 seconds ago", "2 sekundy temu"),
        ("5 minutes ago", "5 minut temu"),
        ("12 hours ago", "12 godzin temu"),
        ("22 hours ago", "22 godziny temu"),
        ("2 days from now", "za 2 dni"),
        ("3 weeks from now", "za 3 tygodnie"),
        ("25 months ago", "25 miesięcy temu"),
        ("4 years ago", "4 lata temu"),
        ("11 years ago", "11 lat temu"),
        ("About an hour ago", "Około godziny temu"),
        ("Never", "Nigdy"),
    ],
)
def test_numbers_take_their_forms(english: str, polish: str) -> None:
    assert POLISH.of(english) == polish


@pytest.mark.parametrize(
    ("english", "polish"),
    [
        ("model 'a' not found", "nie znaleziono modelu „a”"),
        ("Error: model 'a' not found", "Błąd: nie znaleziono modelu „a”"),
        ("model 'a' not found; similar: b, c", "nie znaleziono modelu „a”; podobne: b, c"),
        ('PUNA_HOST: "x" is not a whole number', "PUNA_HOST: „x” nie jest liczbą całkowitą"),
        ("/etc/x: permission denied", "/etc/x: brak uprawnień"),
        ("  Usage:  ", "  Użycie:  "),
        ("Usage:\n  nothing known\nOptions", "Użycie:\n  nothing known\nOpcje"),
        (
            "Error: model 'a' not found: nothing answers at b: timed out",
            "Błąd: nie znaleziono modelu „a”: nic nie odpowiada pod b: upłynął czas oczekiwania",
        ),
        (
            "a runs on CPU, 2 threads: 5 GB of memory, context 1",
            "a działa na CPU, 2 wątki: 5 GB pamięci, kontekst 1",
        ),
        ("nobody has translated this", "nobody has translated this"),
        ("x is y", "x is y"),
        ("", ""),
        ("\n", "\n"),
    ],
)
def test_a_message_is_known_by_the_text_around_its_values(english: str, polish: str) -> None:
    assert POLISH.of(english) == polish
    assert ENGLISH.of(english) == english


@pytest.mark.parametrize(
    "name", ["{model}", "Never", "' not found", "{0.__class__}", "a\\n", "żółć"]
)
def test_a_value_is_never_taken_for_a_message_or_a_place(name: str) -> None:
    assert POLISH.of(f"deleted '{name}'") == f"usunięto „{name}”"


@pytest.mark.parametrize(
    ("template", "text", "values"),
    [
        ("a {x} b", "a 1 b", {"x": "1"}),
        ("a {x} b", "a  b", {"x": ""}),
        ("a {x} b", "a b", None),
        ("{x}: {y}", "p: q: r", {"x": "p", "y": "q: r"}),
        ("{x} of {y} kept", "1 of 2 kept", {"x": "1", "y": "2"}),
        ("{x} of {y} kept", "1 of 2 lost", None),
        ("{x}{y} end", "one end", {"x": "", "y": "one"}),
        ("say {x}", "say what is it", {"x": "what is it"}),
        ("say {x}", "said it", None),
        ("'{x}'", "'", None),
    ],
)
def test_templates_read_what_stands_in_their_places(
    template: str, text: str, values: dict[str, str] | None
) -> None:
    assert Template.of(template).read(text) == values


def test_a_damaged_catalogue_is_the_only_thing_that_is_not_read_before_it_is_needed(
    tmp_path: Path,
) -> None:
    language = Catalogue("xx", tmp_path / "none.mo")
    assert language.code == "xx"
    with pytest.raises(FileNotFoundError):
        language.of("Usage:")


def test_help_is_in_polish_from_heading_to_variable() -> None:
    page = po_polsku("create", "--help", environ={}).out
    for words in (
        "Użycie: puna create [OPCJE] MODEL",
        "Zrób MODEL według pliku Modelfile.",
        "Nazwa pliku Modelfile.  [domyślnie: Modelfile]",
        "Pokaż tę pomoc i zakończ.",
        "Zmienne środowiskowe:",
        "gdzie nasłuchuje węzeł i gdzie łączą się klienci",
    ):
        assert words in page


@pytest.mark.parametrize("words", [["--help"], ["help"], []], ids=str)
def test_the_table_of_commands_is_in_polish(words: list[str]) -> None:
    page = po_polsku(*words, environ={}).out
    assert "\nPolecenia:\n" in page
    assert "  list        Wypisz modele\n" in page


@pytest.mark.parametrize("name", ["keys", "run", "fit", "search", "launch", "settings"])
def test_help_of_a_command_has_no_english_heading(name: str) -> None:
    page = po_polsku(name, "--help", environ={}).out
    assert "Opcje:" in page
    assert not {"Usage", "Options", "Show this"} & set(page.replace(":", "\n").splitlines())


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (
            ["lst"],
            ["Błąd: nieznane polecenie „lst” w „puna”; podobne: list", "użycie: puna --help"],
        ),
        (["show"], ["Błąd: brakuje argumentu „MODEL”", "użycie: puna show --help"]),
        (["ps"], ["Błąd: nie można połączyć się z serwerem; uruchom go poleceniem `puna serve`"]),
        (["run", "m", "--think=x"], ["Błąd: zła wartość --think: „x” (musi być true, false,"]),
    ],
    ids=str,
)
def test_failures_are_told_in_polish(words: list[str], lines: list[str]) -> None:
    said = po_polsku(*words, environ=NOWHERE).err.splitlines()
    assert len(said) == len(lines)
    for told, expected in zip(said, lines, strict=True):
        assert told.startswith(expected)


def test_what_the_node_says_in_english_is_shown_in_polish(node: FakeNode) -> None:
    node.canned["/api/show"] = an_error("blob sha256:ab is not in the registry", 404)
    ran = po_polsku("show", "x", environ=node.environ())
    assert ran.err.startswith("Błąd: bloku sha256:ab nie ma w rejestrze")


def test_a_table_is_polish_for_a_person_and_english_for_a_program(node: FakeNode) -> None:
    seen = po_polsku("list", environ=node.environ(), screen=True).lines
    assert seen[0].split() == ["NAZWA", "ID", "ROZMIAR", "ZMIENIONY"]
    assert seen[1].endswith("Około godziny temu")
    read = po_polsku("list", environ=node.environ()).lines
    assert read[0].split() == ["NAME", "ID", "SIZE", "MODIFIED"]
    assert read[1].endswith("About an hour ago")


@pytest.mark.parametrize("screen", [True, False])
def test_json_stays_as_it_is(screen: bool) -> None:
    ran = po_polsku("settings", "--json", environ={}, screen=screen)
    rows = {row["name"]: row["meaning"] for row in json.loads(ran.out)}
    assert rows["host"] == "where the node listens and clients go"


def test_a_deed_is_told_in_polish_to_a_person_only(node: FakeNode) -> None:
    words = ("cp", "smollm2:135m", "b")
    seen = po_polsku(*words, environ=node.environ(), screen=True).out
    assert seen == "skopiowano „smollm2:135m” do „b”\n"
    assert po_polsku(*words, environ=node.environ()).out == "copied 'smollm2:135m' to 'b'\n"


def test_a_card_is_in_polish_and_its_values_are_not(node: FakeNode) -> None:
    node.card = a_card(system="Never say Options.", license="Model")
    seen = po_polsku("show", "smollm2:135m", environ=node.environ(), screen=True).out
    assert "  Licencja\n    Model\n" in seen
    assert "Never say Options." in seen
    assert "    długość kontekstu    8192\n" in seen


def test_a_name_is_never_translated() -> None:
    entry = ModelEntry.of(Fields(a_tag("Never:latest")))
    assert "\nNever:latest" in model_table([entry], NOW, POLISH)


def test_a_conversation_is_in_polish(node: FakeNode) -> None:
    typed = "/set verbose\n/foo\n/load nope\n/?\nhi\n"
    ran = po_polsku("run", "smollm2:135m", environ=node.environ(), screen=True, typed=typed)
    for words in (
        "Ustawiono tryb „verbose”.",
        "Nieznane polecenie „/foo”. Pomoc: /?",
        "Nie znaleziono modelu „nope”",
    ):
        assert words in ran.out
    assert "A bun and meat." in ran.out
    assert "Polecenia:\n  /set            Ustaw zmienne rozmowy\n" in ran.err
    assert "łączny czas:          1.5s" in ran.err


def test_a_shell_gets_meanings_in_polish() -> None:
    lines = po_polsku("__complete", "--", "lis", environ={}).lines
    assert lines == ["none", "list\tWypisz modele"]


@pytest.mark.parametrize(
    ("environ", "first"),
    [
        ({"LANG": "pl_PL.UTF-8"}, "Użycie: puna"),
        ({"LANG": "pl_PL.UTF-8", "LC_ALL": "C"}, "Usage: puna"),
        ({"LANG": "en_US.UTF-8"}, "Usage: puna"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "pl"}, "Użycie: puna"),
    ],
    ids=str,
)
def test_a_process_speaks_the_language_of_its_locale(environ: dict[str, str], first: str) -> None:
    clean = {name: value for name, value in os.environ.items() if name[:3] not in {"LC_", "LAN"}}
    ran = subprocess.run(
        [sys.executable, "-c", _HELP],
        env=clean | environ,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert ran.stdout.startswith(first)
    assert ran.stderr.strip() == str(first.startswith("U\u017c"))
