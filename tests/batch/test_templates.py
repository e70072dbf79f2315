"""Templates over rows: what they can do, and that no template hangs a job or fills its memory."""

import pytest

from puna.batch.templates import BadTemplate, NoSuchColumn, RowTemplate

LONG = "x" * 2000
LOOPS = "{% for a in text %}" * 3 + "{% endfor %}" * 3
TWICE = "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(40) }}"


def filled(template: str, **row: object) -> tuple[str, str]:
    return RowTemplate(template, tuple(row)).fill(row)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ name }}: {{ row['name']|upper }}", "ann: ANN"),
        (
            "{% for each in tags %}{{ loop.index }}/{{ loop.length }} {{ each }} {% endfor %}",
            "1/2 a 2/2 b ",
        ),
        ("{% for each in tags if each != 'a' %}{{ each }}{% else %}none{% endfor %}", "b"),
        ("{{ '%-6s|' % name }}{{ '%03d'|format(7) }}", "ann   |007"),
        ("{{ name|center(7) }}{{ name.ljust(5) }}{{ '{:>4}'.format(name) }}", "  ann  ann   ann"),
        ("{{ number * 2 }} {{ 2 ** 10 }} {{ number % 7 }} {{ '-' * 3 }}", "10000000000 1024 2 ---"),
        ("{{ number|default(9000000000) }} {{ name|replace('a', 'e') }}", "5000000000 enn"),
        (
            "{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
            "3210",
        ),
    ],
)
def test_what_templates_are_for_works(template: str, text: str) -> None:
    found = filled(template, name="ann", tags=["a", "b"], number=5_000_000_000)
    assert found == (text, "")


@pytest.mark.parametrize(
    "template",
    [
        LOOPS,
        TWICE + "{{ text }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}{{ text }}",
        "{{ text * 10 ** 9 }}",
        "{{ 10 ** 9 * text }}",
        "{{ 9 ** (9 ** 9) }}{{ text }}",
        "{{ text|center(10 ** 9) }}",
        "{{ text.ljust(10 ** 9) }}",
        "{{ '%999999999d' % 1 }}{{ text }}",
        "{{ '%999999999d'|format(1) }}{{ text }}",
        "{{ '{:>999999999}'.format(text) }}",
        "{{ (text * 99).replace('', text * 99) }}",
        "{{ (text * 99)|replace('x', text * 99) }}",
    ],
)
def test_a_template_that_would_take_for_ever_or_all_memory_makes_a_bad_row(template: str) -> None:
    text, why = filled(template, text=LONG)
    assert text == ""
    assert why.startswith("the template cannot be filled: it ")


def test_each_row_has_its_own_turns() -> None:
    template = RowTemplate(
        "{% for a in text %}{% for b in text %}{% endfor %}{% endfor %}!", ("text",)
    )
    assert [template.fill({"text": "x" * 300}) for _ in range(4)] == [("!", "")] * 4


@pytest.mark.parametrize(
    "template", ["{{ text.__class__ }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}{{ text }}"]
)
def test_a_template_reads_no_attribute_that_leads_out(template: str) -> None:
    text, why = filled(template, text="x")
    assert text == ""
    assert "unsafe" in why or "undefined" in why


@pytest.mark.parametrize(
    ("template", "error"),
    [
        ("{{ nope }}", NoSuchColumn),
        ("{% include 'x' %}{{", BadTemplate),
        ("{{ " + "(" * 5000 + "text" + ")" * 5000 + " }}", BadTemplate),
        ("{% endfor %}", BadTemplate),
    ],
    ids=["no such column", "not closed", "too deep", "no beginning"],
)
def test_what_is_no_template_is_said_at_once(template: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        RowTemplate(template, ("text",))
