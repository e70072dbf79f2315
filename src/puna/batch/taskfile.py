"""What a person says about a job, on the command line or in a task file, becomes a spec.

Both say the same with the same words: a task file is a table of the options' names. What stands on
the command line wins.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import get_args, get_type_hints

from puna.batch.cascade import check_target
from puna.batch.spec import EmbedTask, Label, LabelTask, PromptTask, SchemaTask, Spec, Task
from puna.errors import Invalid
from puna.models.regular_file import open_regular, shown_path

_LONGEST = 2**22


class BadTask(Invalid):
    """What is asked for contradicts itself, or lacks something."""

    code = "bad_task"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskWords:
    """The words of a task; None is what was not said."""

    model: str | None = None
    labels: tuple[Label, ...] | None = None
    multi: bool | None = None
    abstain_below: float | None = None
    calibrate: bool | None = None
    cascade: float | None = None
    instruction: str | None = None
    prompt: str | None = None
    schema: str | None = None
    embed: bool | None = None
    dimensions: int | None = None
    system: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    context: int | None = None
    column: str | None = None

    def over(self, others: "TaskWords") -> "TaskWords":
        """Return these words, and the others' where these say nothing."""
        said = {
            each.name: value
            for each in fields(self)
            if (value := getattr(self, each.name)) is not None
        }
        return replace(others, **said)


_BELONG = {
    "multi": "labels",
    "abstain_below": "labels",
    "calibrate": "labels",
    "cascade": "labels",
    "instruction": "labels",
    "dimensions": "embed",
    "system": "prompt",
    "temperature": "prompt",
    "max_tokens": "prompt",
}


def spec_of(words: TaskWords) -> Spec:
    """Return the spec that the words mean. Raises `BadTask`."""
    if not words.model:
        raise BadTask("no model is named", hint="say it with --model, such as --model smollm2")
    kinds = [name for name in ("labels", "schema", "embed") if getattr(words, name)]
    if len(kinds) > 1:
        raise BadTask(f"a job does one thing, not {' and '.join(kinds)}", hint="leave one out")
    if not kinds and not words.prompt:
        raise BadTask(
            "what to do with the rows is not said",
            hint="say it with --labels, --prompt, --schema or --embed",
        )
    kind = kinds[0] if kinds else "prompt"
    for name, wanted in _BELONG.items():
        fits = wanted == kind or (wanted == "prompt" and kind == "schema")
        if getattr(words, name) is not None and not fits:
            raise BadTask(f"{_option(name)} has no meaning for a job with {_option(kind)}")
    return Spec(
        model=words.model,
        task=_task(kind, words),
        column=words.column or "",
        template=_template(words.prompt or ""),
        seed=words.seed or 0,
        context=words.context,
    )


def _task(kind: str, words: TaskWords) -> Task:
    if kind == "labels":
        return LabelTask(
            labels=check_labels(words.labels or ()),
            multi=bool(words.multi),
            abstain_below=words.abstain_below or 0.0,
            instruction=words.instruction or "",
            calibrate=bool(words.calibrate),
            cascade=_cascade(words),
        )
    if kind == "embed":
        return EmbedTask(dimensions=words.dimensions)
    system, temperature = words.system or "", words.temperature or 0.0
    if kind == "schema":
        most = words.max_tokens or SchemaTask(schema="").max_tokens
        return SchemaTask(
            schema=_schema(words.schema or ""),
            system=system,
            temperature=temperature,
            max_tokens=most,
        )
    most = words.max_tokens or PromptTask().max_tokens
    return PromptTask(system=system, temperature=temperature, max_tokens=most)


def _cascade(words: TaskWords) -> float | None:
    if words.cascade is None:
        return None
    if words.multi:
        raise BadTask("--cascade has no meaning with --multi", hint="leave one out")
    check_target(words.cascade)
    return words.cascade


def check_labels(labels: Sequence[Label]) -> tuple[Label, ...]:
    """Return the labels. Raises `BadTask` for fewer than two, and for one that is there twice."""
    names = [each.name for each in labels]
    if len(names) < 2:  # noqa: PLR2004 - with one there is nothing to choose
        raise BadTask(f"at least two labels are needed, not {len(names)}")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadTask(f'the label "{twice}" is there twice')
    return tuple(labels)


def _template(text: str) -> str:
    if text and "{{" not in text and "{%" not in text:
        raise BadTask(
            "the prompt names no column, so every row would get the same one",
            hint="write the column's name in it, such as {{ keyword }}",
        )
    return text


def _schema(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise BadTask(f"the schema is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadTask("the schema is no JSON object", hint='such as {"type": "object", ...}')
    return json.dumps(value, ensure_ascii=False)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def read_labels(text: str, folder: Path | None = None) -> tuple[Label, ...]:
    """Read `--labels`: a file with a label on each line, or names between commas.

    In a file, what follows a tab says what belongs there. Raises `BadTask`.
    """
    path = (folder or Path()) / text
    if "," not in text and (path.is_file() or "." in text or "/" in text):
        lines = read_text(path).splitlines()
        found = [line.partition("\t") for line in lines if line.strip()]
        return tuple(Label(name.strip(), description.strip()) for name, _, description in found)
    return tuple(Label(name.strip()) for name in text.split(",") if name.strip())


def read_text(path: Path) -> str:
    """Read a file that a person named. Raises `BadTask`, `UnusableFile`."""
    with open_regular(path) as file:
        content = file.read(_LONGEST) or b""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadTask(f"{shown_path(path)} is not UTF-8") from error


def read_task_file(path: Path) -> TaskWords:
    """Read a task file; files that it names lie beside it. Raises `BadTask`, `UnusableFile`."""
    try:
        table = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise BadTask(f"{shown_path(path)} is no TOML: {error}") from error
    words: dict[str, object] = {}
    kinds = get_type_hints(TaskWords)
    for name, value in table.items():
        if name not in kinds:
            raise BadTask(
                f'{shown_path(path)} has an unknown key "{name}"',
                hint=f"known are {', '.join(kinds)}",
            )
        words[name] = _value(name, value, kinds[name], path)
    return TaskWords(**words)  # type: ignore[arg-type]


def _value(name: str, value: object, kind: object, path: Path) -> object:
    if name == "labels":
        return _labels(value, path)
    if name == "schema":
        return read_schema(value, path.parent)
    wanted = tuple(each for each in get_args(kind) if each is not type(None))
    if float in wanted and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) not in wanted:
        raise BadTask(f'"{name}" in {shown_path(path)} must be a {_NAMES[wanted[0]]}')
    if name == "prompt":
        return read_prompt(str(value), path.parent)
    return value


_NAMES: Mapping[type, str] = {
    str: "text",
    bool: "true or false",
    int: "whole number",
    float: "number",
}


def _labels(value: object, path: Path) -> tuple[Label, ...]:
    match value:
        case str():
            return read_labels(value, path.parent)
        case list() if all(isinstance(each, str) for each in value):
            return tuple(Label(each) for each in value)
        case dict() if all(isinstance(each, str) for each in value.values()):
            return tuple(Label(name, description) for name, description in value.items())
    raise BadTask(f'"labels" in {shown_path(path)} must be a list, a table or a file')


def read_schema(value: object, folder: Path) -> str:
    """Return a schema as JSON text: itself, a table, or the file that holds it."""
    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    text = str(value)
    return text if text.lstrip().startswith("{") else read_text(folder / text)


def read_prompt(text: str, folder: Path) -> str:
    """Return a prompt: itself, or after an `@` the file that holds it."""
    return read_text(folder / text[1:]) if text.startswith("@") else text


def to_toml(words: TaskWords) -> str:
    """Return a task file that says these words."""
    lines = []
    tables = []
    for each in fields(words):
        value = getattr(words, each.name)
        if value is None:
            continue
        if each.name == "labels" and any(label.description for label in value):
            pairs = [f"{_text(label.name)} = {_text(label.description)}" for label in value]
            tables = ["", "[labels]", *pairs]
        elif each.name == "labels":
            lines += ["labels = [", *(f"  {_text(label.name)}," for label in value), "]"]
        else:
            lines.append(f"{each.name} = {_literal(value)}")
    return "\n".join([*lines, *tables]) + "\n"


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, int | float) else _text(str(value))


def _text(text: str) -> str:
    """Return a TOML string; JSON's escapes are TOML's, but for DEL and half surrogates."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
