"""A template that is hostile or absurd is stopped, with one line that says why."""

import time
from contextlib import suppress
from datetime import date

import pytest
from hypothesis import given, settings, strategies as st

from puna.chat.gotemplate.errors import BadTemplate, TemplateTooCostly
from puna.chat.gotemplate.execute import Limits
from puna.chat.gotemplate.template import read_template
from puna.chat.gotemplate.values import Value

TODAY = date(2026, 11, 24)
SMALL = Limits(steps=20_000, characters=50_000)


def written(template: str, values: Value = None, limits: Limits = SMALL) -> str:
    return read_template(template).render(values, today=TODAY, limits=limits)


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{range 1000000000000}}{{end}}", "more than 20000 steps"),
        ("{{range 9999}}{{range 9999}}x{{end}}{{end}}", "more than 20000 steps"),
        ('{{define "a"}}{{template "a"}}{{end}}{{template "a"}}', "more than 100 deep"),
        ('{{$x := "ab"}}{{range 99}}{{$x = print $x $x}}{{end}}', "made a text of"),
        ('{{range 99}}{{printf "%9999d" 1}}{{end}}', "wrote more than 50000 characters"),
        ('{{printf "%999999d" 1}}', "made a text of"),
        ('{{printf "%99999999d" 1}}', "a width of 99999999"),
        ('{{printf "' + "%999999d" * 40 + '" ' + "1 " * 40 + "}}", "the text is longer than"),
    ],
)
def test_a_template_without_end_is_stopped(template: str, why: str) -> None:
    with pytest.raises(BadTemplate, match=why):
        written(template)


@pytest.mark.parametrize(
    "template",
    [
        "{{if true}}" * 5000 + "{{end}}" * 5000,
        "{{" + "(" * 5000 + "1" + ")" * 5000 + "}}",
        "{{if true}}" + "{{else if true}}" * 5000 + "{{end}}",
        '{{define "a"}}' + "{{if true}}" * 70 + '{{template "a"}}' + "{{end}}" * 71,
        "x" * (2**20 + 1),
    ],
    ids=["ifs", "parentheses", "else ifs", "calls", "text"],
)
def test_a_template_that_is_nested_or_long_beyond_reason_is_refused(template: str) -> None:
    with pytest.raises(BadTemplate):
        written(template + '{{template "a"}}')


def test_copying_a_long_text_costs_steps() -> None:
    template = "{{range .N}}{{$x := print $.S}}{{end}}"
    with pytest.raises(TemplateTooCostly, match="steps"):
        written(template, {"S": "x" * 40_000, "N": 400})


def test_a_long_conversation_is_no_hostile_template() -> None:
    messages: list[Value] = [{"Role": "user", "Content": "word " * 50}] * 5_000
    template = "{{range .M}}<|{{.Role}}|>{{if eq .Role `user`}}{{.Content}}{{end}}\n{{end}}"
    text = written(template, {"M": messages}, Limits())
    assert len(text) > 5_000 * 250


def test_bytes_of_texts_are_counted_and_cut_as_go_does() -> None:
    assert written("{{len .}} {{slice . 0 2}}", "żółw") == "7 ż"
    assert written("{{slice . 0 1 | json}}", "ż") == '"\\ufffd"'


def test_an_error_tells_line_and_column() -> None:
    with pytest.raises(BadTemplate, match=r"template: :2:4: executing \"\" at <\.a\.b>"):
        written("one\n{{.a.b}}", {"a": "text"})


PIECES = st.sampled_from(
    ["{{", "}}", "{{-", "-}}", "if ", "else", "end", "range ", "$x", ":=", "(", ")", ".A", "|",
     '"t"', "`", "'c'", "1", "printf ", "/*", "*/", "define ", "template ", "with ", " ", "\n", "é"]
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join))
def test_whatever_the_text_is_the_answer_is_a_text_or_one_error(text: str) -> None:
    with suppress(BadTemplate):
        assert isinstance(written(text, {"A": "x"}), str)


def test_the_names_that_a_template_uses_are_known_in_lower_case() -> None:
    template = read_template("{{range .Messages}}{{.Content}}{{end}}{{(index .Tools 0).Type}}")
    assert template.names == {"messages", "content", "tools", "type"}


@pytest.mark.parametrize("call", ["json .", 'printf "%q" .', 'printf "%+q" .'])
def test_a_long_text_is_quoted_at_once(call: str) -> None:
    """A template that quotes its own quotes again and again once took minutes."""
    begun = time.process_time()
    assert len(read_template(f"{{{{{call}}}}}").render('"\\' * 2_000_000, today=TODAY)) > 8_000_000
    assert time.process_time() - begun < 1
