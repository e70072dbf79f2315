"""What a person writes for a model: names, hub repositories, links and files."""

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from puna.errors import Invalid
from puna.models.name import InvalidName, ModelName
from puna.models.reference import (
    FileReference,
    HubReference,
    InvalidReference,
    LibraryReference,
    parse_reference,
)

CWD = Path("/here")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("smollm2", "smollm2"),
        ("smollm2:135m", "smollm2:135m"),
        ("localhost:5000/a/b", "localhost:5000/a/b"),
        ("http://localhost:5000/a/b", "http://localhost:5000/a/b"),
        ("https://ollama.com/library/qwen3:8b", "qwen3:8b"),
        ("https://ollama.com/ana/qwen3", "ana/qwen3"),
        ("https://www.ollama.com/qwen3", "qwen3"),
        (" https://ollama.com/library/qwen3\n", "qwen3"),
    ],
)
def test_a_name_is_a_library_reference(text: str, name: str) -> None:
    assert parse_reference(text, cwd=CWD) == LibraryReference(ModelName.parse(name))


LINK = "https://huggingface.co/ana/llama"


@pytest.mark.parametrize(
    ("text", "name", "file", "revision"),
    [
        ("hf.co/ana/llama", "hf.co/ana/llama", "", "main"),
        ("hf.co/ana/llama:Q8_0", "hf.co/ana/llama:Q8_0", "", "main"),
        ("huggingface.co/ana/llama", "huggingface.co/ana/llama", "", "main"),
        ("https://hf.co/ana/llama:Q8_0", "hf.co/ana/llama:Q8_0", "", "main"),
        (LINK, "hf.co/ana/llama", "", "main"),
        (f"{LINK}/", "hf.co/ana/llama", "", "main"),
        (f"  {LINK}?library=llama-cpp#usage ", "hf.co/ana/llama", "", "main"),
        (f"{LINK}/tree/main", "hf.co/ana/llama", "", "main"),
        (f"{LINK}/tree/v1.0", "hf.co/ana/llama", "", "v1.0"),
        (f"{LINK}/blob/main/x.gguf", "hf.co/ana/llama:x.gguf", "x.gguf", "main"),
        (f"{LINK}/resolve/main/x.gguf?download=true", "hf.co/ana/llama:x.gguf", "x.gguf", "main"),
        (f"{LINK}/raw/v1/q/x.gguf", "hf.co/ana/llama:x.gguf", "q/x.gguf", "v1"),
        (f"{LINK}?show_file_info=x.gguf", "hf.co/ana/llama:x.gguf", "x.gguf", "main"),
        ("hf.co/ana/llama/blob/main/x.gguf", "hf.co/ana/llama:x.gguf", "x.gguf", "main"),
    ],
)
def test_a_hub_repository_is_a_hub_reference(
    text: str, name: str, file: str, revision: str
) -> None:
    expected = HubReference(ModelName.parse(name), file, revision)

    assert parse_reference(text, cwd=CWD) == expected


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("./x.gguf", "/here/x.gguf"),
        ("../x.gguf", "/here/../x.gguf"),
        ("/models/x.gguf", "/models/x.gguf"),
        ("./no-ending", "/here/no-ending"),
        ("/with space/ü.gguf", "/with space/ü.gguf"),
        (".", "/here"),
        ("..", "/here/.."),
        ("file:///models/x%20y.gguf", "/models/x y.gguf"),
        ("file://localhost/x.gguf", "/x.gguf"),
    ],
)
def test_a_path_is_a_file_reference(text: str, path: str) -> None:
    assert parse_reference(text, cwd=CWD) == FileReference(Path(path))


def test_a_tilde_is_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert parse_reference("~/x.gguf", cwd=CWD) == FileReference(tmp_path / "x.gguf")


def test_a_gguf_file_that_lies_here_wins_over_a_model_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "here.gguf").touch()

    found = parse_reference("here.gguf", cwd=tmp_path)
    absent = parse_reference("absent.gguf", cwd=tmp_path)

    assert found == FileReference(tmp_path / "here.gguf")
    assert absent == LibraryReference(ModelName("absent.gguf"))


@pytest.mark.parametrize(
    "text",
    [
        "https://huggingface.co",
        "https://huggingface.co/ana",
        "https://huggingface.co/datasets/ana/rows",
        "https://huggingface.co/spaces/ana/demo",
        "https://huggingface.co/ana.b/llama",
        f"{LINK}/blob/main/..%2F..%2Fx.gguf",
        f"{LINK}/blob/main/../x.gguf",
        f"{LINK}/blob/..%2F/x.gguf",
        f"{LINK}/blob/main/x%00.gguf",
        f"{LINK}?show_file_info=../x.gguf",
        f"{LINK}/blob/main/{'x' * 90}.gguf",
        "https://ollama.com",
        "https://ollama.com/library/qwen3/tags",
        "file://elsewhere/x.gguf",
        "/nul\0.gguf",
        "~nobody-of-this-name/x.gguf",
    ],
)
def test_a_link_or_path_that_leads_to_no_model_is_refused(text: str) -> None:
    with pytest.raises(InvalidReference) as caught:
        parse_reference(text, cwd=CWD)

    assert not {"\n", "\0"} & set(caught.value.message)


@pytest.mark.parametrize("text", ["", "a b", "hf.co/ana", "https://[bad", "ftp://h/a/b", "a\n"])
def test_anything_else_is_no_name(text: str) -> None:
    with pytest.raises(InvalidName):
        parse_reference(text, cwd=CWD)


HOSTS = ["https://", "file://", "huggingface.co", "hf.co", "ollama.com"]
PIECES = [
    "/",
    "..",
    "%2e",
    "%2F",
    "%00",
    "blob",
    "main",
    "a",
    ":",
    "?",
    "show_file_info=",
    "#",
    "@",
    "[",
    "~",
    ".gguf",
]


@given(
    st.one_of(
        st.text(max_size=60), st.lists(st.sampled_from(HOSTS + PIECES), max_size=14).map("".join)
    )
)
def test_any_text_gives_a_reference_or_a_refusal(text: str) -> None:
    try:
        reference = parse_reference(text, cwd=CWD)
    except Invalid:
        return

    if isinstance(reference, HubReference):
        assert ".." not in reference.file.split("/")
        assert "/" not in reference.revision
    if isinstance(reference, FileReference):
        assert reference.path.is_absolute()
