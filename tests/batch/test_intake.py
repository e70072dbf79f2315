"""Intake: every row gets the number of its text, or is known as bad."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings, strategies as st

from puna.batch.intake import Intake, read_bad, read_numbers, take_in
from puna.batch.reading import Files, Reading
from puna.batch.spec import PromptTask
from puna.batch.strings import Strings
from puna.batch.texts import Texts, tidy
from tests.batch.stage import a_spec

TEXT = st.text(st.sampled_from("ab é\u0301\u00a0\0"), max_size=4)


def taken(folder: Path, texts: list[str], **spec: object) -> tuple[Intake, list[str], list[int]]:
    """Take in rows; return what was found, the distinct texts and the number of each row."""
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": each}) + "\n" for each in texts), encoding="utf-8")
    source = Files([path], Reading())
    wanted = a_spec(**spec)
    steps = list(take_in(source, Texts(wanted, ("text",)), folder, merges=not wanted.samples))
    intake = steps[-1]
    assert isinstance(intake, Intake)
    with Strings(folder / "texts") as strings:
        distinct = [each.decode() for each in strings.stretch(0, len(strings))]
    return intake, distinct, read_numbers(folder, 0, len(texts)).tolist()


@settings(max_examples=20)
@given(st.lists(TEXT, min_size=1, max_size=20))
def test_no_row_is_lost_or_doubled(texts: list[str]) -> None:
    with TemporaryDirectory() as folder:
        intake, distinct, numbers = taken(Path(folder), texts)
        bad = {each.row for each in read_bad(Path(folder))}
    tidied = [tidy(each) for each in texts]
    assert distinct == sorted({each for each in tidied if each}, key=str.encode)
    assert [distinct[n] if n >= 0 else "" for n in numbers] == tidied
    assert bad == {row for row, each in enumerate(tidied, 1) if not each}
    assert (intake.rows, intake.distinct, intake.bad) == (len(texts), len(distinct), len(bad))


def test_rows_that_are_sampled_are_not_merged(tmp_path: Path) -> None:
    task = PromptTask(temperature=0.7)
    _, distinct, numbers = taken(tmp_path, ["b", "", "a", "b"], task=task)
    assert (distinct, numbers) == (["b", "a", "b"], [0, -1, 1, 2])


def test_rows_of_greedy_prompts_are_merged_as_they_are(tmp_path: Path) -> None:
    _, distinct, numbers = taken(tmp_path, ["b ", "b", "b "], task=PromptTask())
    assert (distinct, numbers) == (["b", "b "], [1, 0, 1])


def test_an_input_of_bad_rows_only_has_nothing_to_compute(tmp_path: Path) -> None:
    intake, distinct, numbers = taken(tmp_path, ["", " "])
    assert (intake.distinct, distinct, numbers) == (0, [], [-1, -1])


def test_columns_of_json_lines_are_those_of_all_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"text": "a"}] * 2000 + [{"text": "b", "late": 1}, {"late": 1.5, "text": "c"}]
    path.write_text("".join(json.dumps(each) + "\n" for each in rows))
    source = Files([path], Reading())
    *_, intake = take_in(source, Texts(a_spec(), source.columns), tmp_path, merges=True)
    assert isinstance(intake, Intake)
    assert intake.columns == ("text", "late")
    assert intake.kinds == {"text": "text", "late": "number"}
