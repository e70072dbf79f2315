"""Record what Go's `text/template` makes of many templates, for tests/chat/test_against_go.py.

`python tools/record_go_templates.py` needs a Go toolchain; it writes the golden file anew, with
the date and the version of Go. Templates come from `templates/*.gotmpl` beside the golden file
(each with every chat), from the lists of `snippets.json`, and from a generator with a fixed seed.
"""

import json
import random
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "data" / "go_templates"
SEED = 20261124
GENERATED = 700
MOST_DEPTH = 2

_VALUES = (
    ".S", ".T", ".E", ".N", ".F", ".B", ".L", ".W", ".M", ".Z", ".M.a", ".M.deep.x", ".D", "$",
    ".", "$.S", "$.L", "1", "2.5", "-3", '"text"', "`raw`", "true", "nil", "'x'", "0x1F", "1e3",
    "(len .L)", "(index .L 0)", "(index .M `a`)", '(printf "%v" .L)', "(not .B)", "(.M).a",
    "(slice .S 1)", "(eq .S .T)", "(and .S .N)", "(or .E .Z 3)", "(json .M)",
)  # fmt: skip
_CALLS = (
    "len {}", "print {} {}", "println {} {}", "printf {} {}", 'printf "%v|%s|%q" {} {} {}',
    'printf "%d %t" {} {}', "index {} {}", "slice {} 1", "slice {} 0 {}", "eq {} {}", "eq {} {} {}",
    "ne {} {}", "lt {} {}", "le {} {}", "gt {} {}", "ge {} {}", "and {} {}", "or {} {} {}",
    "not {}", "json {}", "html {}", "js {}", "urlquery {}", "call {}", "toTypeScriptType {}",
    "{} | len", '{} | printf "%v-%v" {}', "{} | json", "{} | print {} | html", "{} | not",
    "{}", "{}", "{}",
)  # fmt: skip
_FORMATS = "%v %+v %s %d %q %x %X %t %f %g %e %T %U %c %o %b %5v %-5v| %05d %+d %.2f %8.3s| %#v %%"


class Generator:
    """Makes templates that are mostly valid, and sometimes not."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - the same templates each time

    def template(self) -> str:
        """Return one template."""
        return "".join(self._part(0) for _ in range(self._chance.randint(1, 3)))

    def _value(self) -> str:
        return self._chance.choice(_VALUES)

    def _pipe(self) -> str:
        form = self._chance.choice(_CALLS)
        return form.format(*(self._value() for _ in range(form.count("{}"))))

    def _part(self, depth: int) -> str:
        kinds = ["text", "action", "action", "format", "variable"]
        kinds += [] if depth > MOST_DEPTH else ["if", "if", "range", "range", "with", "else"]
        left, right = self._chance.choice(("", "", "- ")), self._chance.choice(("", "", " -"))
        word = self._chance.choice(kinds)
        inner = self._part(depth + 1) if word in {"if", "range", "with", "else"} else ""
        other = self._part(depth + 1) if word in {"if", "range", "with", "else"} else ""
        pipe, shown = self._pipe(), json.dumps(self._chance.choice(_FORMATS.split()))
        forms = {
            "text": self._chance.choice((" a ", "\n", "x{y}", "ż\t", "")),
            "action": f"{{{{{left}{pipe}{right}}}}}",
            "format": f"{{{{printf {shown} {self._value()}}}}}",
            "variable": f"{{{{$v := {pipe}}}}}<{{{{$v}}}}>{{{{$v = {self._value()}}}}}{{{{$v}}}}",
            "if": f"{{{{if {pipe}{right}}}}} {inner}{{{{{left}end}}}}",
            "else": f"{{{{if {pipe}}}}}{inner}{{{{else if {self._pipe()}}}}}+"
            f"{{{{else}}}}{other}{{{{end}}}}",
            "with": f"{{{{with {pipe}}}}}{inner}{{{{else}}}}{other}{{{{end}}}}",
            "range": self._range(inner, other),
        }
        return forms[word]

    def _range(self, inner: str, other: str) -> str:
        leave = self._chance.choice(
            ("", "", "{{if .}}{{break}}{{end}}", "{{if .}}{{continue}}{{end}}")
        )
        names = self._chance.choice(("", "", "$x := ", "$i, $x := "))
        shown = "{{$x}};" if names else "{{.}};"
        source = self._chance.choice(
            (".L", ".W", ".M", ".Z", "3", ".N", "(slice .L 1)", ".E", ".S")
        )
        return f"{{{{range {names}{source}}}}}{shown}{leave}{inner}{{{{else}}}}{other}{{{{end}}}}"


def write_table(cases: list[dict[str, str]]) -> None:
    """Write the cases of the recorder as a table that people can read."""
    lines = ['"""What Go makes of templates written by hand; recorded, see the golden file."""', ""]
    lines += ["# ruff: noqa: E501, RUF001 - recorded", "", "from typing import NamedTuple", "", ""]
    lines += [
        "class Case(NamedTuple):",
        '    """A template, its values, and what Go made of it."""',
        "",
    ]
    lines += [
        "    template: str",
        "    data: str",
        "    output: str",
        '    error: str = ""',
        "",
        "",
    ]
    lines += ["CASES = ("]
    for each in cases:
        fields = [each["template"], each["data"], each["output"]]
        fields += [each["error"]] if "error" in each else []
        lines += ["    Case(", *(f"        {text!r}," for text in fields), "    ),"]
    table = ROOT / "tests" / "chat" / "go_cases.py"
    table.write_text("\n".join([*lines, ")", ""]))
    subprocess.run(["ruff", "format", "-q", str(table)], check=False)


def main() -> int:
    """Write the golden file."""
    snippets = json.loads((FOLDER / "snippets.json").read_text())
    cases = [{"template": text, "data": "values"} for text in snippets["values"]]
    chats = snippets["chats"]
    for path in sorted((FOLDER / "templates").glob("*.gotmpl")):
        cases += [{"template": path.read_text(), "data": name} for name in chats]
    known = ROOT / "src" / "puna" / "chat" / "known"
    for path in sorted(known.glob("*.gotmpl")):
        cases += [{"template": path.read_text(), "data": name} for name in chats]
    cases += [{"template": text, "data": name} for text in snippets["chat"] for name in chats]
    generator = Generator(SEED)
    cases += [{"template": generator.template(), "data": "values"} for _ in range(GENERATED)]
    asked = {"data": {"values": snippets["data"]}, "chats": chats, "cases": cases}
    done = subprocess.run(
        ["go", "run", str(ROOT / "tools" / "go_templates" / "main.go")],
        input=json.dumps(asked), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    golden = {
        "recorded": datetime.now(UTC).date().isoformat(), "go": found["go"],
        "data": snippets["data"], "chats": chats, "cases": found["cases"],
    }  # fmt: skip
    by_hand = found["cases"][: len(cases) - GENERATED]
    golden["cases"] = found["cases"][-GENERATED:]
    write_table(by_hand + golden.pop("cases"))
    path = FOLDER / "golden.json"
    path.write_text(json.dumps(golden, ensure_ascii=False, indent=0) + "\n")
    print(f"{path}: {len(cases)} cases with {found['go']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
