"""What a person says about a job, in a task file or with options."""

from pathlib import Path

import pytest

from puna.batch.spec import EmbedTask, Label, LabelTask, PromptTask, SchemaTask, Spec
from puna.batch.taskfile import (
    BadTask,
    TaskWords,
    read_labels,
    read_task_file,
    spec_of,
    to_toml,
)

AB = (Label("a"), Label("b"))


def spec(**words: object) -> Spec:
    return spec_of(TaskWords(**{"model": "m", **words}))  # type: ignore[arg-type]


def read(folder: Path, text: str) -> TaskWords:
    path = folder / "task.toml"
    path.write_text(text, encoding="utf-8")
    return read_task_file(path)


@pytest.mark.parametrize(
    ("words", "task"),
    [
        ({"labels": AB}, LabelTask(labels=AB)),
        (
            {"labels": AB, "multi": True, "abstain_below": 0.6, "calibrate": True},
            LabelTask(labels=AB, multi=True, abstain_below=0.6, calibrate=True),
        ),
        ({"labels": AB, "instruction": "Choose."}, LabelTask(labels=AB, instruction="Choose.")),
        ({"prompt": "{{ a }}"}, PromptTask()),
        (
            {"prompt": "{{ a }}", "system": "s", "temperature": 0.5, "max_tokens": 9},
            PromptTask(system="s", temperature=0.5, max_tokens=9),
        ),
        ({"schema": '{"type": "object"}'}, SchemaTask(schema='{"type": "object"}')),
        ({"embed": True, "dimensions": 64}, EmbedTask(dimensions=64)),
    ],
    ids=str,
)
def test_words_become_a_task(words: dict[str, object], task: object) -> None:
    assert spec(**words).task == task


def test_a_prompt_beside_another_task_makes_the_text() -> None:
    found = spec(labels=AB, prompt="{{ a }} {{ b }}", column="x", seed=3, context=512)
    assert (found.template, found.column, found.seed, found.context) == (
        "{{ a }} {{ b }}",
        "x",
        3,
        512,
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"model": None, "labels": AB}, "no model is named"),
        ({}, "what to do with the rows is not said"),
        ({"labels": AB, "embed": True}, "a job does one thing, not labels and embed"),
        ({"labels": (Label("a"),)}, "at least two labels are needed, not 1"),
        ({"labels": (Label("a"), Label("a"))}, 'the label "a" is there twice'),
        ({"prompt": "Translate this"}, "the prompt names no column"),
        ({"schema": "{"}, "the schema is no JSON"),
        ({"schema": "[]"}, "the schema is no JSON object"),
        ({"embed": True, "multi": True}, "--multi has no meaning for a job with --embed"),
        (
            {"labels": AB, "temperature": 1.0},
            "--temperature has no meaning for a job with --labels",
        ),
        ({"prompt": "{{ a }}", "dimensions": 2}, "--dimensions has no meaning"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(words: dict[str, object], message: str) -> None:
    with pytest.raises(BadTask, match=message):
        spec(**words)


def test_a_task_file_says_the_same_as_options(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("shoes\twhat goes on feet\nbags\n\n")
    words = read(
        tmp_path,
        'model = "m"\ncolumn = "keyword"\nlabels = "labels.txt"\nabstain_below = 1\nmulti = true\n',
    )
    assert words == TaskWords(
        model="m",
        column="keyword",
        labels=(Label("shoes", "what goes on feet"), Label("bags")),
        abstain_below=1.0,
        multi=True,
    )


def test_labels_in_a_task_file_can_be_a_list_or_a_table(tmp_path: Path) -> None:
    assert read(tmp_path, 'labels = ["a", "b"]').labels == AB
    table = read(tmp_path, '[labels]\nshoes = "on feet"\nbags = ""\n').labels
    assert table == (Label("shoes", "on feet"), Label("bags"))


def test_files_that_a_task_file_names_lie_beside_it(tmp_path: Path) -> None:
    (tmp_path / "ask.j2").write_text("Say {{ text }}")
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    words = read(tmp_path, 'prompt = "@ask.j2"\nschema = "schema.json"\n')
    assert (words.prompt, words.schema) == ("Say {{ text }}", '{"type": "object"}')
    assert read(tmp_path, '[schema]\ntype = "object"\n').schema == '{"type": "object"}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = ", "is no TOML"),
        ('modle = "m"', 'has an unknown key "modle"'),
        ("model = 5", '"model" in .* must be a text'),
        ('multi = "yes"', '"multi" in .* must be a true or false'),
        ("max_tokens = 1.5", '"max_tokens" in .* must be a whole number'),
        ("labels = [1]", '"labels" in .* must be a list, a table or a file'),
    ],
)
def test_a_task_file_that_is_wrong_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BadTask, match=message):
        read(tmp_path, text)


def test_options_win_over_the_task_file() -> None:
    from_file = TaskWords(model="old", column="a", multi=True)
    assert TaskWords(model="new").over(from_file) == TaskWords(model="new", column="a", multi=True)


def test_labels_on_the_command_line_are_names_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("a\nb\n")
    assert read_labels("a, b") == AB
    assert read_labels("labels", tmp_path) == AB


@pytest.mark.parametrize(
    "words",
    [
        TaskWords(model="m", labels=AB, multi=True, abstain_below=0.5),
        TaskWords(model='odd "name"\n\x7f', labels=(Label("ö", "a\tb"), Label("c.d e"))),
        TaskWords(model="m", prompt="{{ a }}\nline", temperature=0.25, max_tokens=9),
        TaskWords(embed=True, dimensions=3),
    ],
    ids=["labels", "odd", "prompt", "embed"],
)
def test_a_task_file_that_is_written_reads_the_same(tmp_path: Path, words: TaskWords) -> None:
    assert read(tmp_path, to_toml(words)) == words
