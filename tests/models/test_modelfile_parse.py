"""A Modelfile is read as Ollama reads it, and what puna prints is read back."""

import string

import pytest
from hypothesis import given, settings, strategies as st

from puna.errors import Invalid
from puna.models.modelfile import ModelParts, modelfile_text
from puna.models.modelfile_parse import BadModelfile, decode_modelfile, parse_modelfile

WHOLE = '''# a comment
FROM llama3.2
from ./vision.gguf
PARAMETER temperature 0.5
parameter stop "<|end|>"
PARAMETER stop two words
TEMPLATE """{{ .System }}
# not a comment
"{{ .Prompt }}"
"""
SYSTEM "You are
brief."
ADAPTER ./lora.gguf
DRAFT small.gguf
LICENSE MIT
LICENSE """Apache"""
MESSAGE user Hi "there"
MESSAGE Assistant Hello
RENDERER qwen3
PARSER qwen3
REQUIRES 0.14.0
'''


def test_every_instruction_is_read() -> None:
    found = parse_modelfile(WHOLE)
    assert found.sources == ("llama3.2", "./vision.gguf")
    assert found.parameters == {"temperature": 0.5, "stop": ("<|end|>", "two words")}
    assert found.template == '{{ .System }}\n# not a comment\n"{{ .Prompt }}"\n'
    assert found.system == "You are\nbrief."
    assert (found.adapters, found.drafts) == (("./lora.gguf",), ("small.gguf",))
    assert found.licenses == ("MIT", "Apache")
    assert found.messages == (("user", 'Hi "there"'), ("assistant", "Hello"))
    assert (found.renderer, found.parser, found.requires) == ("qwen3", "qwen3", "0.14.0")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no FROM line"),
        ("SYSTEM x", "no FROM line"),
        ("FROM a\nFROMM b", r"\(line 2\): command must be one of \"from\""),
        ("FROM a\nMESSAGE robot hi", r"\(line 2\): message role must be one of"),
        ('FROM a\n\nSYSTEM """x', r"\(line 3\): unexpected EOF"),
        ('FROM a\nSYSTEM "x', r"\(line 2\): unexpected EOF"),
        ("FROM", r"\(line 1\): FROM has no value"),
        ("FROM a\nREQUIRES soon", "requires must be a valid semver"),
        ("FROM a\nPARAMETER colour red", "unknown parameter 'colour'"),
        ("FROM a\nPARAMETER top_k many", "invalid int value"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(Invalid, match=complaint):
        parse_modelfile(text)


def test_parameters_of_the_past_are_dropped_and_named() -> None:
    found = parse_modelfile("FROM a\nPARAMETER mirostat 1\nPARAMETER top_k 3\n")
    assert (found.parameters, found.dropped) == ({"top_k": 3}, ("mirostat",))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_may_be_marked_as_unicode(encoding: str) -> None:
    text = decode_modelfile("FROM żółw\r\nSYSTEM ok\r\n".encode(encoding))
    assert parse_modelfile(text).sources == ("żółw",)


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(BadModelfile, match="UTF-8 or UTF-16"):
        decode_modelfile(b"FROM \xff\xfe\x00")


words = st.text(string.ascii_letters + string.digits + " \n'{}.#", min_size=1).filter(
    lambda text: text.strip()
)


@settings(max_examples=60)
@given(system=words, template=words, said=words)
def test_what_is_printed_is_read_back(system: str, template: str, said: str) -> None:
    parts = ModelParts(
        "x",
        "/blobs/a",
        system=system,
        template=template,
        messages=(("user", said),),
        parameters={"stop": ["a", "b"], "temperature": 0.25},
    )
    found = parse_modelfile(modelfile_text(parts))
    assert (found.system, found.template, found.messages) == (system, template, (("user", said),))
    assert found.parameters == {"stop": ("a", "b"), "temperature": 0.25}
