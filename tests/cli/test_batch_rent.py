"""A job on machines that are rented for it, against a real market: rented, used, ended, paid."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from puna.batch.jobs import Jobs
from puna.batch.workers.rented import Note, read_note, write_note
from tests.market.hall import Hall, a_hall

TOGETHER = pytest.mark.asyncio(loop_scope="module")
WORDS = ("--model", "tiny", "--labels", "animal,plant")
RENT = ("--rent", "2", "--card", "4090", "--yes")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hall(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hall]:
    async with a_hall(tmp_path_factory.mktemp("hall")) as served:
        yield served


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("id,text\n" + "".join(f"{n},row {n}\n" for n in range(600)))
    return path


async def local(hall: Hall, rows: Path, *words: str) -> bytes:
    """Return what one node gives that is no pod."""
    output = rows.with_name("here.csv")
    url = f"http://127.0.0.1:{hall.nodes[0].port}"
    ran = await hall.type("batch", "run", rows, "-o", output, *words, "--endpoint", url)
    assert ran.code == 0, ran.err
    return output.read_bytes()


@TOGETHER
async def test_machines_are_rented_for_a_job_and_end_with_it(hall: Hall, rows: Path) -> None:
    output = rows.with_name("out.csv")
    words = ("batch", "run", rows, "-o", output, *WORDS)
    ran = await hall.type(*words, *RENT, "--budget", "5")
    assert (ran.code, ran.out) == (0, ""), ran.err
    said = ran.err.splitlines()
    assert said[0].startswith("2 x (1 x RTX 4090 on demand, 70 GB of disk) for this job: $0.7")
    assert said[1] == (
        "they end with the job, whatever ends it; should this program be killed, after 1d, or 15m "
        "without work; they cost $5.00 at most"
    )
    assert sum("is gone: nothing of it is left on its host" in each for each in said) == 2
    assert any(each.startswith("this job's machines have cost $0.") for each in said)
    assert await hall.pods() == []
    assert output.read_bytes() == await local(hall, rows, *WORDS)
    again = await hall.type(*words, *RENT)
    assert "600 rows, finished before" in again.err
    assert "for this job" not in again.err


@TOGETHER
async def test_a_job_runs_in_the_pods_that_one_has_and_leaves_them(hall: Hall, rows: Path) -> None:
    for name in ("a", "b"):
        make = ("--name", name, "--card", "4090", "--template", "puna", "--yes")
        ran = await hall.type("pods", "create", *make)
        assert ran.code == 0, ran.err
    output = rows.with_name("out.csv")
    ran = await hall.type("batch", "run", rows, "-o", output, *WORDS, "--on", "a", "--on", "b")
    assert (ran.code, ran.out) == (0, ""), ran.err
    assert "preparing the model on a, b" in ran.err
    assert output.read_bytes() == await local(hall, rows, *WORDS)
    assert {each["name"] for each in await hall.pods()} == {"a", "b"}
    for each in await hall.pods():
        await hall.market.ask("DELETE", f"/v2/pods/{each['id']}", key=hall.key)


@TOGETHER
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--on", "nobody"), 'there is no pod "nobody"'),
        (("--card", "4090"), "--card is of machines to rent"),
        (("--budget", "5"), "--budget is of machines to rent"),
        (("--rent", "1", "--card", "H100", "--yes"), 'no card here is a "H100"'),
        (("--rent", "1", "--card", "4090"), "nobody is here to be asked"),
        (("--rent", "1", "--card", "4090", "--cpus", "2"), "--card and --cpus exclude each other"),
        (("--rent", "1", "--budget", "much"), "much"),
        (("--rent", "1", "--max-price", "0.01", "--yes"), "no machine does"),
    ],
    ids=str,
)
async def test_what_cannot_be_rented_is_said_before_anything_is_read(
    hall: Hall, rows: Path, words: tuple[str, ...], says: str
) -> None:
    output = rows.with_name("out.csv")
    ran = await hall.type("batch", "run", rows, "-o", output, *WORDS, *words)
    assert (ran.code, ran.out, says in ran.err) == (1, "", True), ran.err
    assert "reading" not in ran.err
    assert await hall.pods() == []


@TOGETHER
async def test_an_error_ends_what_was_rented(hall: Hall, rows: Path) -> None:
    words = ("--model", "none", "--labels", "animal,plant")
    output = rows.with_name("out.csv")
    ran = await hall.type("batch", "run", rows, "-o", output, *words, *RENT)
    assert ran.code == 1
    assert "cannot fetch none" in ran.err
    assert ran.err.count("is gone: nothing of it is left on its host") == 2
    assert await hall.pods() == []


@TOGETHER
async def test_what_a_killed_job_has_left_is_used_again_or_ended(hall: Hall, rows: Path) -> None:
    """A kill leaves pods and a note; here both are made as the killed program makes them."""
    output = rows.with_name("out.csv")
    checkpoint = Jobs(hall.home).checkpoint(output)
    checkpoint.folder.mkdir(parents=True)
    write_note(checkpoint, Note(hall.market.url, "batch-1", ("batch-1-1",), "1d"))
    make = ("--name", "batch-1-1", "--project", "batch-1", "--card", "4090", "--template", "puna")
    assert (await hall.type("pods", "create", *make, "--yes")).code == 0
    (left,) = await hall.pods()
    ran = await hall.type(
        "batch", "run", rows, "-o", output, *WORDS, "--rent", "1", "--card", "4090", "--yes"
    )
    assert ran.code == 0, ran.err
    assert "batch-1-1 is rented for this job already, and is used" in ran.err
    assert "batch-1-1 cost $" in ran.err
    gone = await hall.market.ask("GET", f"/v2/puna/pods/{left['id']}/events", key=hall.key)
    assert gone.json["isGone"] is True
    note = read_note(checkpoint)
    assert note is not None
    assert note.names == ()


@TOGETHER
async def test_a_job_that_is_cancelled_ends_what_is_left(hall: Hall, rows: Path) -> None:
    output = rows.with_name("out.csv")
    url = f"http://127.0.0.1:{hall.nodes[0].port}"
    await hall.type("batch", "run", rows, "-o", output, *WORDS, "--endpoint", url)
    checkpoint = Jobs(hall.home).checkpoint(output)
    write_note(checkpoint, Note(hall.market.url, "batch-2", ("batch-2-1",), "1d"))
    make = ("--name", "batch-2-1", "--project", "batch-2", "--card", "4090", "--template", "puna")
    assert (await hall.type("pods", "create", *make, "--yes")).code == 0
    shown = await hall.type("batch", "show", output)
    assert "batch-2-1 at http" in shown.out
    assert (await hall.type("batch", "cancel", output)).code == 0
    assert await hall.pods() == []
