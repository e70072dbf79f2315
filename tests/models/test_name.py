"""A name is valid, complete, and can never lead out of the store."""

import re
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, strategies as st

from puna.models.name import InvalidName, ModelName

HOST = "h" * 350
PART = "p" * 80


@pytest.mark.parametrize(
    ("text", "shortest", "full"),
    [
        ("smollm2", "smollm2:latest", "registry.ollama.ai/library/smollm2:latest"),
        ("smollm2:135m", "smollm2:135m", "registry.ollama.ai/library/smollm2:135m"),
        ("library/smollm2", "smollm2:latest", "registry.ollama.ai/library/smollm2:latest"),
        ("ana/llama:7b", "ana/llama:7b", "registry.ollama.ai/ana/llama:7b"),
        ("hf.co/ana/llama", "hf.co/ana/llama:latest", "hf.co/ana/llama:latest"),
        ("hf.co/ana/llama:Q4_K_M", "hf.co/ana/llama:Q4_K_M", "hf.co/ana/llama:Q4_K_M"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest", "localhost:5000/a/b:latest"),
        ("localhost:5000/a/b:c", "localhost:5000/a/b:c", "localhost:5000/a/b:c"),
        ("http://h/a/b:c", "h/a/b:c", "h/a/b:c"),
        ("HTTPS://h/a/b:c", "h/a/b:c", "h/a/b:c"),
        ("REGISTRY.ollama.ai/Library/X", "X:latest", "REGISTRY.ollama.ai/Library/X:latest"),
        ("_a-b.c:_1.0-x", "_a-b.c:_1.0-x", "registry.ollama.ai/library/_a-b.c:_1.0-x"),
        (f"{HOST}/{PART}/{PART}:{PART}", f"{HOST}/{PART}/{PART}:{PART}", None),
    ],
)
def test_a_name_is_completed_and_shown_short(text: str, shortest: str, full: str | None) -> None:
    name = ModelName.parse(text)

    assert name.shortest == shortest
    assert name.full == (full or shortest)
    assert ModelName.parse(shortest).matches(name)


INVALID = {
    "empty": "",
    "only a tag": ":latest",
    "empty tag": "model:",
    "empty namespace": "/model",
    "empty model": "library/",
    "empty host": "//a/b",
    "two tags": "a:b:c",
    "parent folder": "..",
    "parent folders": "../../etc/passwd",
    "parent as tag": "model:..",
    "parent as namespace": "h/../m",
    "here": ".",
    "hidden": ".model",
    "dash first": "-model",
    "option": "--help",
    "absolute": "/etc/passwd",
    "too many parts": "a/b/c/d",
    "dot in namespace": "h/a.b/c",
    "colon in namespace": "h/a:b/c",
    "space": "a b",
    "space around": " model ",
    "line end": "model\n",
    "line end in tag": "model:tag\n",
    "carriage return": "model\r",
    "nul": "model\0",
    "nul in tag": "model:a\0b",
    "backslash": "a\\b",
    "drive": "C:\\models",
    "percent": "%2e%2e",
    "digest": "model@sha256:" + "a" * 64,
    "accent": "modèle",
    "full-width": "\uff4dodel",
    "fraction slash": "a\u2044b",
    "other digits": "model:\u0663",
    "combining mark": "a\u0301",
    "half a pair": "\ud800",
    "other scheme": "file://h/a/b",
    "scheme without host": "https://a/b",
    "host too long": f"h{HOST}/a/b",
    "namespace too long": f"h/p{PART}/b",
    "model too long": f"p{PART}",
    "tag too long": f"a:p{PART}",
    "very long": "a" * 10_000_000,
}


@pytest.mark.parametrize("text", INVALID.values(), ids=INVALID.keys())
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(InvalidName, match=r"^invalid model name$") as caught:
        ModelName.parse(text)

    assert caught.value.status == 400


@pytest.mark.parametrize("part", ["model", "tag", "namespace", "host", "scheme"])
def test_a_name_cannot_be_made_around_the_check(part: str) -> None:
    fields = {"model": "m", part: "../x"}

    with pytest.raises(InvalidName):
        ModelName(**fields)


def test_case_does_not_count_when_names_are_compared() -> None:
    typed, stored = ModelName.parse("QWEN3:8B"), ModelName.parse("qwen3:8b")

    assert typed.matches(stored)
    assert typed.key == stored.key
    assert typed.path_parts[2:] == ("QWEN3", "8B")


def test_another_tag_is_another_model() -> None:
    assert not ModelName.parse("qwen3:8b").matches(ModelName.parse("qwen3:4b"))


HOSTILE = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="./\\:~%@-_aZ0\0\n\u202e\uff0f", max_size=40),
    st.lists(st.sampled_from(["..", ".", "", "a", "/", ":", "//", "c:d", "\0"]), max_size=9).map(
        "/".join
    ),
)


@given(HOSTILE)
def test_no_text_leads_out_of_the_store(text: str) -> None:
    try:
        name = ModelName.parse(text)
    except InvalidName:
        return
    path = PurePosixPath("/store/manifests", *name.path_parts)

    assert len(path.parts) == 3 + 4
    assert path.parts[:3] == ("/", "store", "manifests")
    assert not {"..", "."} & set(path.parts)
    assert all(re.fullmatch(r"[\w.:-]+", part, re.ASCII) for part in name.path_parts)
    assert Path(path).resolve() == Path(path)


WORD = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}", fullmatch=True)
NAMESPACE = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}", fullmatch=True)
HOSTS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,99}", fullmatch=True)


@given(HOSTS, NAMESPACE, WORD, WORD)
def test_a_printed_name_reads_back_as_itself(
    host: str, namespace: str, model: str, tag: str
) -> None:
    name = ModelName(model, tag, namespace, host)

    assert ModelName.parse(name.full) == name
    assert ModelName.parse(name.shortest).matches(name)
    assert str(name) == name.shortest
