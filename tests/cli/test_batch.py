"""`puna batch`: what a person sees of a job."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from puna.batch.events import Finished, Preparing, Reading, Remark, Tally, Writing
from puna.cli.batch_view import BatchView, left_words, money_of
from puna.units import Money, Span
from tests.builders import a_digest, a_gguf
from tests.fakes.console import Ran, a_terminal, puna
from tests.serving import Serving
from tests.stores import blob_name, put
from tests.worlds import FakeWorld

LABELS = ("--model", "smollm2", "--labels", "animal,plant")


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(tmp_path_factory.mktemp("serving"), PUNA_ENGINE="scripted") as found:
        yield found


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("id,text\n1,an animal\n2,a plant\n3,an animal\n4,\n")
    return path


class Desk:
    """Runs `puna batch` with a home of its own."""

    def __init__(self, home: Path, serving: Serving) -> None:
        self.environ = {
            "PUNA_HOME": str(home),
            "PUNA_HOST": serving.url,
            "PUNA_ENGINE": "scripted",
        }

    def batch(self, *words: object, typed: str = "") -> Ran:
        return puna("batch", *map(str, words), environ=self.environ, terminal=a_terminal(typed))


@pytest.fixture
def desk(tmp_path: Path, serving: Serving) -> Desk:
    return Desk(tmp_path / "home", serving)


def test_a_file_gets_its_labels(desk: Desk, rows: Path, tmp_path: Path) -> None:
    ran = desk.batch("run", rows, "-o", tmp_path / "out.csv", *LABELS)
    assert (ran.code, ran.out) == (0, "")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "id,text,label,probability,margin"
    assert [line.split(",")[2] for line in lines[1:]] == ["animal", "plant", "animal", ""]
    assert "4 rows, 2 to compute, 1 that repeat others, 1 bad\n" in ran.err
    assert f"4 rows written, 1 without an answer: {tmp_path}/out.csv.bad.jsonl\n" in ran.err


def test_damaged_weights_label_nothing(desk: Desk, rows: Path, tmp_path: Path) -> None:
    put(tmp_path / "home" / "models", "rotten", a_gguf())
    path = tmp_path / "home" / "models" / "blobs" / blob_name(a_gguf())
    path.write_bytes(a_gguf()[:-1] + b"\x01")
    desk.environ["PUNA_ENGINE"] = "llama.cpp"
    words = ("--model", "rotten", "--labels", "animal,plant")
    ran = desk.batch("run", rows, "-o", tmp_path / "out.csv", *words)
    assert (ran.code, f"blob {a_digest(a_gguf())} is damaged" in ran.err) == (1, True), ran.err


def test_the_same_command_again_has_nothing_to_do(desk: Desk, rows: Path, tmp_path: Path) -> None:
    words = ("run", rows, "-o", tmp_path / "out.csv", *LABELS)
    desk.batch(*words)
    assert "4 rows, finished before" in desk.batch(*words).err


@pytest.mark.parametrize(
    ("words", "columns"),
    [
        (("--prompt", "Say {{ text }}"), "id,text,answer,finish"),
        (("--embed", "--column", "text"), "id,text,embedding"),
        (("--labels", "animal,plant", "--multi"), "id,text,labels,probabilities"),
        (("--schema", '{"properties": {"n": {"type": "integer"}}}'), "id,text,n"),
    ],
    ids=["prompt", "embed", "multi", "schema"],
)
def test_every_task_has_its_option(
    desk: Desk, rows: Path, tmp_path: Path, words: tuple[str, ...], columns: str
) -> None:
    ran = desk.batch("run", rows, "-o", tmp_path / "out.csv", "--model", "smollm2", *words)
    assert ran.code == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == columns


def test_a_task_file_says_the_same(desk: Desk, rows: Path, tmp_path: Path) -> None:
    task = tmp_path / "task.toml"
    task.write_text('model = "smollm2"\nlabels = ["animal", "plant"]\n')
    assert desk.batch("run", rows, "-o", tmp_path / "one.csv", "--task", task).code == 0
    desk.batch("run", rows, "-o", tmp_path / "two.csv", *LABELS)
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()


def test_rows_can_be_piped_in(desk: Desk, tmp_path: Path) -> None:
    words = ("run", "-", "-o", tmp_path / "out.jsonl", "--format", "lines", *LABELS)
    ran = desk.batch(*words, typed="an animal\na plant\n")
    assert ran.code == 0
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(each["text"], each["label"]) for each in found] == [
        ("an animal", "animal"),
        ("a plant", "plant"),
    ]


def test_events_are_json_lines_on_demand(desk: Desk, rows: Path, tmp_path: Path) -> None:
    ran = desk.batch("run", rows, "-o", tmp_path / "out.csv", "--json", *LABELS)
    events = [json.loads(line) for line in ran.lines]
    assert [each["event"] for each in events if each["event"] != "tally"] == [
        "reading",
        "preparing",
        "begun",
        "writing",
        "finished",
    ]
    assert events[-1]["bad"] == 1
    assert ran.err == f"report: {tmp_path}/out.csv.report.html\n"


def test_a_changed_task_is_refused_and_begun_anew(desk: Desk, rows: Path, tmp_path: Path) -> None:
    words = ("run", rows, "-o", tmp_path / "out.csv", "--model", "smollm2", "--labels")
    desk.batch(*words, "animal,plant")
    refused = desk.batch(*words, "animal,stone")
    assert refused.code == 1
    assert refused.err.startswith(f"Error: the job for {tmp_path}/out.csv was begun with something")
    assert "--anew" in refused.err
    assert desk.batch(*words, "animal,stone", "--anew").code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rows.csv", "-o", "out.csv"), "no model is named"),
        (("nope.csv", "-o", "out.csv", *LABELS), "no such file"),
        (("rows.csv", "-o", "out.xls", *LABELS), "no known format"),
        (("rows.csv", "-o", "rows.csv", *LABELS), "the output is the input itself"),
        (("rows.csv", "-o", "no/out.csv", *LABELS), "the folder of the output"),
        (("rows.csv", "-o", "/proc/out.csv", *LABELS), "cannot be written"),
        (("rows.csv", "-o", ".", *LABELS), "no known format"),
        (("-", "-o", "out.csv", *LABELS), "how the piped rows are written is not known"),
        (("rows.csv", "-o", "out.csv", *LABELS, "--column", "nope"), 'no column "nope"'),
        (("rows.csv", "-o", "out.csv", *LABELS, "--delimiter", "ab"), "must be one character"),
        (("rows.csv", "-o", "out.csv", *LABELS, "--price", "x"), "is not an amount of dollars"),
        (("rows.csv", "-o", "out.csv", "-m", "nope", "--prompt", "{{ text }}"), "not found"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_cannot_be_done_is_one_clear_line(
    desk: Desk, rows: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(rows.parent)
    ran = desk.batch("run", *words)
    assert ran.code == 1
    assert message in ran.err
    assert "Traceback" not in ran.err


def test_jobs_are_listed_shown_and_cancelled(desk: Desk, rows: Path, tmp_path: Path) -> None:
    desk.batch("run", rows, "-o", tmp_path / "out.csv", *LABELS)
    header, row = desk.batch("list").lines
    assert header.split() == ["ID", "STATE", "DONE", "FAILED", "MODEL", "TOUCHED", "OUTPUT"]
    job, state, share, *_ = row.split()
    assert (state, share) == ("done", "100%")
    shown = json.loads(desk.batch("show", job, "--json").out)
    assert (shown["rows"], shown["distinct"], shown["bad"], shown["task"]) == (4, 2, 1, "labels")
    assert "smollm2" in desk.batch("show", tmp_path / "out.csv").out
    assert desk.batch("pause", job).out == f"'{job}' does not run\n"
    assert "finished before" in desk.batch("resume", job).err
    assert desk.batch("cancel", job).out == f"cancelled '{job}'\n"
    assert len(desk.batch("list").lines) == 1
    assert (tmp_path / "out.csv").exists()
    assert desk.batch("show", job).err.startswith(f'Error: no job for "{job}"')


def test_init_asks_and_writes_a_task_file(desk: Desk, rows: Path, tmp_path: Path) -> None:
    task = tmp_path / "task.toml"
    typed = "\nsongs\nlabels\nnope\ntext\nanimal\nanimal, plant\nyes\nno\n"
    ran = desk.batch("init", task, "--input", rows, typed=typed)
    assert ran.code == 0
    assert task.read_text() == (
        'model = "smollm2"\nlabels = [\n  "animal",\n  "plant",\n]\nmulti = true\ncolumn = "text"\n'
    )
    assert ran.out == f"puna batch run {rows} -o OUTPUT.csv --task {task}\n"
    assert "it is one of labels, prompt, schema, embed" in ran.err
    assert desk.batch("init", task).err.startswith(f"Error: {task} is there already")


def test_init_writes_prompts(desk: Desk, tmp_path: Path) -> None:
    task = tmp_path / "task.toml"
    desk.batch("init", task, typed="m\nprompt\nno column\nSay {{ text }}\n")
    assert task.read_text() == 'model = "m"\nprompt = "Say {{ text }}"\n'


def test_init_without_answers_writes_nothing(desk: Desk, tmp_path: Path) -> None:
    ran = desk.batch("init", tmp_path / "task.toml", typed="m\nlabels\n")
    assert ran.code == 1
    assert "was not answered" in ran.err
    assert not (tmp_path / "task.toml").exists()


def a_tally(done: int, **changes: object) -> Tally:
    values = {"rows": 200, "done": done, "failed": 1, "fresh": done, "span": Span.of(seconds=10)}
    return Tally(**(values | changes))  # type: ignore[arg-type]


async def test_a_line_tells_how_far_it_is_and_what_it_cost() -> None:
    world = FakeWorld()
    view = BatchView(a_terminal(), world, price=Money.parse("3.60"))
    view.tally_line(a_tally(0))
    await world.advance(Span.of(seconds=10))
    line = view.tally_line(a_tally(50, earlier=Span.of(seconds=90)))
    assert line == " 25%  50/200 rows  5.0 rows/s  30s left  1 failed  $0.10"


async def test_elsewhere_than_on_a_screen_lines_come_from_time_to_time() -> None:
    world, terminal = FakeWorld(), a_terminal()
    view = BatchView(terminal, world)
    for done in range(0, 200, 10):
        view.take(a_tally(done))
        await world.advance(Span.of(seconds=1))
    view.take(a_tally(200))
    lines = terminal.err.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.split("%")[0] for line in lines] == ["0", "50", "100"]


async def test_on_a_screen_one_line_is_drawn_again() -> None:
    world, terminal = FakeWorld(), a_terminal(screen=True, has_escapes=True)
    view = BatchView(terminal, world)
    for event in (Reading(9), Preparing("here"), a_tally(100), Remark("slow"), Writing(9, 9)):
        view.take(event)
        await world.advance(Span.of(seconds=1))
    view.take(Finished("out.csv", 9, 0))
    drawn = terminal.err.getvalue()  # type: ignore[attr-defined]
    assert "\r\x1b[K▕" in drawn
    assert "50%  100/200 rows  1 failed" in drawn
    assert drawn.endswith("\r\x1b[Kout.csv: 9 rows written\n")


@pytest.mark.parametrize(
    ("span", "words"), [(5, "5s"), (65, "1m5s"), (3 * 3600 + 60, "3h1m"), (0.4, "0s")]
)
def test_time_left_is_short(span: float, words: str) -> None:
    assert left_words(Span.of(seconds=span)) == words


def test_money_is_time_at_a_price() -> None:
    assert money_of(Span.of(minutes=30), Money.parse("0.79")) == Money.parse("0.395")
    assert money_of(Span.of(hours=5), Money(0)) == 0


def test_without_its_packages_it_says_which_to_install() -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = None; sys.argv = ['puna', 'batch', 'run', 'a'];"
        "from puna.cli.main import main; main()"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        "Error: puna batch needs the package pyarrow, which is not installed\n"
        f"install it with: {sys.executable} -m pip install 'puna[batch]'\n"
    )


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ("http://a,key=sk-secret", "a key is named by where it is"),
        ("http://a,key=env:NOBODY_HAS_IT", "the variable NOBODY_HAS_IT holds no key"),
        ("ftp://a", '"ftp://a" is no http or https URL'),
        ("http://a,token=x", "an endpoint has no field 'token'"),
    ],
)
def test_a_wrong_endpoint_is_one_clear_line(
    desk: Desk, rows: Path, tmp_path: Path, endpoint: str, said: str
) -> None:
    ran = desk.batch("run", rows, "-o", tmp_path / "out.csv", *LABELS, "--endpoint", endpoint)
    assert ran.code == 1
    assert said in ran.err
    assert "sk-secret" not in ran.err


def test_endpoints_compute_a_job_and_are_remembered(
    desk: Desk, serving: Serving, rows: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.csv"
    words = ("run", rows, "-o", output, *LABELS, "--endpoint", serving.url, "--endpoint", "here")
    ran = desk.batch(*words)
    assert f"preparing the model on {serving.url}, {serving.url}" in ran.err
    output.unlink()
    again = desk.batch("resume", output)
    assert (again.code, output.exists()) == (0, True)
