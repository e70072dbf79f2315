"""The jobs of this machine, as the list shows them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from puna.batch.jobs import JobCard, Jobs, JobState, NoSuchJob, earlier_span, write_order
from puna.batch.manifest import Order
from puna.units import Span
from tests.batch.stage import a_spec


def begun(jobs: Jobs, output: str) -> JobCard:
    """A job that was ordered and of which nothing was computed yet."""
    checkpoint = jobs.checkpoint(Path(output))
    with checkpoint.lock():
        write_order(checkpoint, Order(inputs=("/in.csv",), output=output, spec=a_spec()))
    return jobs.find(output)


def test_a_home_without_jobs_has_none(tmp_path: Path) -> None:
    assert Jobs(tmp_path).cards() == ()
    with pytest.raises(NoSuchJob, match='no job for "abc"'):
        Jobs(tmp_path).find("abc")


def test_a_job_is_known_by_its_output(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    assert jobs.checkpoint(Path("/a/out.csv")).folder == jobs.checkpoint(Path("/a/out.csv")).folder
    assert jobs.checkpoint(Path("/a/out.csv")).folder != jobs.checkpoint(Path("/b/out.csv")).folder


def test_a_job_that_was_only_ordered_is_paused(tmp_path: Path) -> None:
    card = begun(Jobs(tmp_path), "/a/out.csv")
    assert (card.state, card.output, card.manifest) == (JobState.PAUSED, "/a/out.csv", None)
    assert card.order is not None
    assert card.order.spec == a_spec()
    assert card.size > 0
    assert card.touched is not None
    assert card.touched <= datetime.now(UTC)


def test_a_job_that_runs_says_so(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    card = begun(jobs, "/a/out.csv")
    with jobs.checkpoint(Path("/a/out.csv")).lock():
        assert jobs.card(card.id).state is JobState.RUNNING


@pytest.mark.parametrize("name", ["order.json", "manifest.json"])
@pytest.mark.parametrize("content", [b"{", b"[]", b'{"version": 1}'])
def test_a_damaged_job_is_listed_and_can_be_cancelled(
    tmp_path: Path, name: str, content: bytes
) -> None:
    jobs = Jobs(tmp_path)
    card = begun(jobs, "/a/out.csv")
    jobs.checkpoint(Path("/a/out.csv")).write(name, content)
    (found,) = jobs.cards()
    assert (found.id, found.state) == (card.id, JobState.DAMAGED)
    jobs.cancel(found)
    assert jobs.cards() == ()


def test_an_id_that_begins_several_jobs_is_none_of_them(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path)
    ids = {begun(jobs, f"/a/{n}.csv").id[0] for n in range(17)}
    names = [each.id for each in jobs.cards()]
    first = next(each for each in ids if sum(name.startswith(each) for name in names) > 1)
    with pytest.raises(NoSuchJob, match="jobs for"):
        jobs.find(first)


@pytest.mark.parametrize(
    ("content", "span"),
    [(b'{"seconds": 90.5}', 90.5), (b"{", 0), (b"[]", 0), (b'{"seconds": "x"}', 0)],
)
def test_what_was_computed_before_counts(tmp_path: Path, content: bytes, span: float) -> None:
    jobs = Jobs(tmp_path)
    begun(jobs, "/a/out.csv")
    checkpoint = jobs.checkpoint(Path("/a/out.csv"))
    checkpoint.note("progress.json", content)
    assert earlier_span(checkpoint) == Span.of(seconds=span)
