"""Images named in a prompt: which words are files, what is left of the text, what is said."""

import os
from pathlib import Path

import pytest

from puna.cli.pictures import begins_with_file, named_files, read_prompt
from puna.errors import Invalid
from tests.pictures import a_picture, an_image


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images, in which the person stands."""
    monkeypatch.chdir(tmp_path)
    for name in ("photo.jpg", "my photo.PNG", "it's (1).webp", "sub.png.jpeg"):
        kind = {"G": "png", "p": "webp"}.get(name[-1], "jpeg")
        (tmp_path / name).write_bytes(a_picture("red", (30, 20), kind))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "left", "paths"),
    [
        ("what is ./photo.jpg", "what is", ["./photo.jpg"]),
        ("./photo.jpg what is it?", "what is it?", ["./photo.jpg"]),
        ("compare ./photo.jpg and ./photo.jpg", "compare  and", ["./photo.jpg", "./photo.jpg"]),
        ("see ./my photo.PNG now", "see  now", ["./my photo.PNG"]),
        (r"see ./my\ photo.PNG now", "see  now", ["./my photo.PNG"]),
        ("see './my photo.PNG' now", "see  now", ["./my photo.PNG"]),
        ('see "./photo.jpg"', "see", ["./photo.jpg"]),
        (r"./it\'s\ \(1\).webp", "", ["./it's (1).webp"]),
        ("one or / the other: ./photo.jpg", "one or / the other:", ["./photo.jpg"]),
        ("./photo.jpg, then", ", then", ["./photo.jpg"]),
        ("./sub.png.jpeg?", "?", ["./sub.png.jpeg"]),
    ],
)
def test_a_file_is_found_and_taken_out_of_the_text(text: str, left: str, paths: list[str]) -> None:
    asked = read_prompt(text, sees=True)
    assert asked.text == left
    assert asked.notes == tuple(f"Added image '{path}'" for path in paths)
    assert [(image.width, image.height) for image in asked.images] == [(30, 20)] * len(paths)


def test_an_absolute_path_is_found(folder: Path) -> None:
    asked = read_prompt(f"{folder}/photo.jpg what?", sees=True)
    assert (asked.text, asked.notes) == ("what?", (f"Added image '{folder}/photo.jpg'",))


def test_a_path_from_home_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert read_prompt("~/photo.jpg", sees=True).notes == ("Added image '~/photo.jpg'",)


@pytest.mark.parametrize(
    "text",
    [
        "what is photo.jpg",
        "https://example.com/photo.jpg",
        "and/or photo.jpg",
        "./photo.txt",
        "./photo.jpgs",
        "a" * 10_000 + "/" + "b" * 10_000 + ".png",
        "/\0.png x"[3:],
    ],
)
def test_other_words_are_words(text: str) -> None:
    assert read_prompt(text, sees=True) == read_prompt(text, sees=False)
    assert list(named_files(text)) == []


def test_what_is_not_there_stays_text_and_that_is_said() -> None:
    asked = read_prompt("look at ./none.png and ./photo.jpg", sees=True)
    assert asked.text == "look at ./none.png and"
    assert asked.notes == (
        "Couldn't find './none.png': the model sees its name only",
        "Added image './photo.jpg'",
    )


def test_a_model_that_sees_nothing_gets_the_name_and_the_person_knows() -> None:
    asked = read_prompt("what is ./photo.jpg", sees=False)
    assert (asked.text, asked.images) == ("what is ./photo.jpg", ())
    assert asked.notes == (
        "warning: this model sees no images, so it gets the name './photo.jpg' only",
    )


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.wav", b"RIFF", "'./x.wav' is audio, and models here hear nothing"),
        ("x.png", b"hello", "'./x.png': invalid image input: this is no image"),
        ("x.jpg", b"", "'./x.jpg': invalid image input: the image is empty"),
    ],
)
def test_a_file_that_is_no_image_is_refused(
    folder: Path, name: str, content: bytes, words: str
) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(Invalid, match=words):
        read_prompt(f"what is ./{name}", sees=True)


def test_a_huge_file_is_not_read(folder: Path) -> None:
    with (folder / "huge.png").open("wb") as file:
        file.truncate(200_000_000)
    with pytest.raises(Invalid, match=r"'\./huge\.png' is larger than 100 MB"):
        read_prompt("./huge.png", sees=True)


def test_what_is_no_file_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    notes = read_prompt("./pipe.png ./folder.png", sees=True).notes
    names = ("./pipe.png", "./folder.png")
    assert notes == tuple(f"Couldn't find '{name}': the model sees its name only" for name in names)


def test_an_image_is_the_file(folder: Path) -> None:
    (image,) = read_prompt("./photo.jpg", sees=True).images
    assert image.content == (folder / "photo.jpg").read_bytes()
    assert image == an_image("red", (30, 20), "jpeg")


@pytest.mark.parametrize(
    ("text", "is_file"),
    [("/no/such.png what", True), ("/load x.png", False), ("/bye", False), ("see ./a.png", False)],
)
def test_a_line_that_begins_with_a_file(text: str, *, is_file: bool) -> None:
    assert begins_with_file(text) is is_file
