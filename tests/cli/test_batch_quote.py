"""`puna batch plan` with `--on`, `--endpoint`, `--rent`: measured there, and nothing is rented."""

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from puna.cli.batch_run import resume
from tests.fakes.console import Ran
from tests.market.hall import Hall, a_hall

TOGETHER = pytest.mark.asyncio(loop_scope="module")
WORDS = ("--model", "tiny", "--labels", "animal,plant", "--sample", "40")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hall(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hall]:
    async with a_hall(tmp_path_factory.mktemp("quote")) as served:
        for name in ("a", "b"):
            make = ("--name", name, "--card", "4090", "--template", "puna", "--yes")
            assert (await served.type("pods", "create", *make)).code == 0
        await served.market.host("spare1", cards=1)
        await served.market.host("spare2", cards=1)
        yield served


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("id,text\n" + "".join(f"{n},row {n}\n" for n in range(2000)))
    return path


async def plan(hall: Hall, rows: Path, *words: str, **environ: str) -> Ran:
    ran = await hall.type("batch", "plan", rows, *WORDS, *words, **environ)
    assert {each["name"] for each in await hall.pods()} == {"a", "b"}
    return ran


async def planned(hall: Hall, rows: Path, *words: str, **environ: str) -> Mapping[str, object]:
    ran = await plan(hall, rows, *words, "--json", **environ)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert isinstance(found, dict)
    return found


def node_of(hall: Hall) -> str:
    return f"http://127.0.0.1:{hall.nodes[0].port}"


@TOGETHER
async def test_the_sample_is_computed_in_a_pod_of_ones_own(hall: Hall, rows: Path) -> None:
    ran = await plan(hall, rows, "--on", "a")
    assert ran.code == 0, ran.err
    assert "the sample is computed in a: $0.3" in ran.err
    assert "an hour while it runs, with a plan or without; nothing is started for it" in ran.err
    (row,) = [line for line in ran.lines if line.startswith("a, measured")]
    assert "$0.0" in row
    assert any(line.startswith("Measured") and line.endswith("in a") for line in ran.lines)
    assert not any("this machine" in line for line in ran.lines)


@TOGETHER
async def test_two_pods_are_measured_together_and_both_are_paid(hall: Hall, rows: Path) -> None:
    found = await planned(hall, rows, "--on", "a", "--on", "b")
    here = found["here"]
    assert isinstance(here, dict)
    assert (here["where"], here["kind"]) == ("a, b", "measured")
    assert isinstance(found["sampled"], int)
    assert found["sampled"] >= 80


@TOGETHER
async def test_an_endpoint_has_the_price_that_one_says(hall: Hall, rows: Path) -> None:
    endpoint = ("--endpoint", node_of(hall))
    ran = await plan(hall, rows, *endpoint)
    assert ran.code == 0, ran.err
    assert "is not known" in ran.out
    assert "say --price" in ran.out
    found = (await planned(hall, rows, *endpoint, "--price", "3600"))["here"]
    assert isinstance(found, dict)
    assert found["price"] == pytest.approx(found["seconds"] * 10**6, rel=0.01)


@TOGETHER
async def test_what_would_be_rented_is_priced_by_the_offers_of_now(hall: Hall, rows: Path) -> None:
    two = ("--rent", "2", "--card", "4090", "--on", "a")
    found = await planned(hall, rows, *two)
    rented = found["rented"]
    assert isinstance(rented, dict)
    assert (rented["name"], rented["kind"]) == ("2 x RTX 4090", "measured")
    assert rented["seconds"] >= 180  # it starts first
    assert rented["price"] > 0
    assert "A plan rents nothing" in rented["notes"][0]


@TOGETHER
async def test_without_a_machine_of_that_kind_the_time_is_an_estimate(
    hall: Hall, rows: Path
) -> None:
    cpus = ("--rent", "1", "--cpus", "2", "--budget", "0.0001")
    ran = await plan(hall, rows, *cpus, PUNA_HOST=node_of(hall))
    assert ran.code == 0, ran.err
    (row,) = [line for line in ran.lines if line.startswith("1 x 2 CPUs, estimated")]
    assert row.endswith("now, --rent")
    text = " ".join(ran.lines)
    assert "CPUs are estimated by their number" in text
    assert "The budget of $0.000100 ends them when about" in text
    assert max(map(len, ran.lines)) <= 80


@TOGETHER
async def test_what_nobody_can_reckon_has_a_price_of_an_hour_and_no_time(
    hall: Hall, rows: Path
) -> None:
    words = ("--rent", "3", "--card", "4090", "--endpoint", node_of(hall))
    ran = await plan(hall, rows, *words)
    assert ran.code == 0, ran.err
    text = " ".join(ran.lines)
    assert "2 x RTX 4090" in text
    assert "how large the model is, is not known here" in text
    assert "Only 2 of 3 machines can be had now." in text


@TOGETHER
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--on", "nobody"), 'there is no pod "nobody"'),
        (("--card", "4090"), "--card is of machines to rent"),
        (("--rent", "1", "--card", "H100"), 'no card here is a "H100"'),
        (("--endpoint", "ftp://x"), "ftp://x"),
        (("--endpoint", "http://127.0.0.1:9"), "does not answer"),
        (("-o", "nowhere/out.csv"), "does not exist"),
    ],
    ids=str,
)
async def test_what_a_run_would_refuse_a_plan_refuses(
    hall: Hall, rows: Path, words: tuple[str, ...], says: str
) -> None:
    ran = await plan(hall, rows, *words)
    assert (ran.code, ran.out, says in ran.err) == (1, "", True), ran.err


def test_a_plan_knows_the_words_of_a_run_that_say_who_computes() -> None:
    from puna.cli.batch_plan import plan as command  # noqa: PLC0415 - the name is used above

    unknown = {each.name for each in resume.params} - {each.name for each in command.params}
    assert unknown == {"job", "no_report"}
