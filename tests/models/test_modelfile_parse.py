"""A Modelfile is read as Ollama reads it, and what puna prints is read back."""

import string

import pytest
from hypothesis import assume, given, settings, strategies as st

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
        ("FROM a\n\nPARAMETER colour red", r"\(line 3\): unknown parameter 'colour'"),
        ("FROM a\nPARAMETER top_k many", r"\(line 2\): invalid int value"),
        ("FROM a\nPARAMETER top_k 1\nPARAMETER top_k x", r"\(line 3\): invalid int value"),
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


def test_spaces_at_the_end_of_a_quoted_line_belong_to_the_text() -> None:
    found = parse_modelfile('FROM a\nSYSTEM "two  \nlines "  \n')
    assert found.system == "two  \nlines "


def test_a_long_license_is_read_at_once() -> None:
    text = "".join(f"clause {number}\n" for number in range(200_000))
    assert parse_modelfile(f'FROM a\nLICENSE """{text}"""\n').licenses == (text,)


texts = st.text(string.ascii_letters + "\"# \t\n'{}.", min_size=1)


@settings(max_examples=150, deadline=None)
@given(system=texts, template=texts, said=texts, stop=texts)
def test_what_is_printed_is_read_back(system: str, template: str, said: str, stop: str) -> None:
    parts = ModelParts(
        "x",
        "/blobs/a",
        system=system,
        template=template,
        messages=(("user", said),),
        parameters={"stop": [stop, "b"], "temperature": 0.25},
    )
    written = modelfile_text(parts)
    assume("is left out" not in written)
    found = parse_modelfile(written)
    assert (found.system, found.template, found.messages) == (system, template, (("user", said),))
    assert found.parameters == {"stop": (stop, "b"), "temperature": 0.25}


def test_a_text_that_no_quotes_can_hold_is_left_out_and_said() -> None:
    text = modelfile_text(ModelParts("x", "/w", system='a"\nb"""\nc'))
    assert "\n# SYSTEM is left out: lines of its text end in quotes of both kinds" in text
    assert parse_modelfile(text).system is None
