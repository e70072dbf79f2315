"""A host that reports what cannot be is told so in a line; the market and its renters go on."""

import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import ValidationError

from puna.market.domain.rules import Rules
from puna.market.domain.witness import witness_of
from puna.wire.agent import PATH, MachineReport, PodReport, TermsReport
from tests.market.instant import MEMORY
from tests.market.lots import NOON
from tests.market.serving import MarketServing, market_serving

pytestmark = pytest.mark.asyncio(loop_scope="module")
LAST = datetime.max.replace(tzinfo=UTC)
FIRST = datetime.min.replace(tzinfo=UTC)
SMALL = {"processors": 1, "memory": 1, "disk": 1}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market() -> AsyncIterator[MarketServing]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with market_serving(Path(folder)) as serving:
            await serving.host()
            yield serving


async def report(market: MarketServing, part: str, changes: dict[str, object]) -> int:
    """Let the host report its machine, its terms or one pod changed as said."""
    host = market.hosts[0]
    host.sequence += 1
    parts: dict[str, dict[str, object]] = {
        "machine": host.machine.model_dump(mode="json"),
        "terms": host.terms.model_dump(mode="json"),
        "pod": {"pod": "p", "run": 1, "observed": "running"},
        "": {"sequence": host.sequence, "now": market.world.now().isoformat()},
    }
    parts[part] |= changes
    body = {**parts[""], "machine": parts["machine"], "terms": parts["terms"]}
    body["pods"] = [parts["pod"]]
    return (await market.ask("POST", f"{PATH}/report", body, key=host.key)).status


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        ("", {"now": "2026-01-01T00:00:00"}),
        ("", {"now": 1e300}),
        ("", {"sequence": 10**30}),
        ("machine", {"memory": 10**30}),
        ("machine", {"processors": 2**63}),
        ("machine", {"cuda": "1.²"}),
        ("machine", {"cuda": "9" * 5000}),
        ("machine", {"card": "x" * 1000}),
        ("machine", {"public_ip": "evil.example.org"}),
        ("machine", {"runtimes": ["runc"] * 100}),
        ("terms", {"price": 10**30}),
        ("terms", {"opens": "25:99"}),
        ("pod", {"started": "2026-01-01T00:00:00"}),
        ("pod", {"run": -1}),
        ("pod", {"run": 10**30}),
        ("pod", {"reason": "x" * 3000}),
        ("pod", {"ports": [{"inside": 80, "outside": 10**30}]}),
        ("pod", {"ports": [{"inside": 80, "outside": 1}] * 300}),
        ("pod", {"use": {"processor": 1e308, "memory": 1}}),
    ],
)
async def test_what_cannot_be_is_refused(
    market: MarketServing, part: str, changes: dict[str, object]
) -> None:
    assert await report(market, part, changes) in {400, 422}


@pytest.mark.parametrize("now", [FIRST, LAST, FIRST.replace(hour=1), LAST.replace(hour=1)])
async def test_a_clock_beyond_all_calendars_is_only_wrong(
    market: MarketServing, now: datetime
) -> None:
    assert await report(market, "", {"now": now.isoformat()}) == 200


@pytest.mark.parametrize("said", [FIRST, LAST])
@pytest.mark.parametrize("clock", [FIRST, LAST])
async def test_a_moment_beyond_all_calendars_is_believed_no_further(
    said: datetime, clock: datetime
) -> None:
    before = NOON - timedelta(minutes=1)
    witness = witness_of(NOON, before, clock, Rules())
    assert before <= witness.moment(said) <= NOON


async def test_words_of_a_host_do_nothing_to_the_terminals_of_others() -> None:
    machine = MachineReport(**SMALL, card="RTX\x1b]0;x\x07 \u202e4090\n", cards=1)  # type: ignore[arg-type]
    assert machine.card == "RTX�]0;x� �4090"
    told = PodReport(pod="p", run=1, observed="exited", reason="\x1b[2Jgone\r\n")
    assert told.reason == "�[2Jgone"


async def test_what_an_owner_says_has_a_measure() -> None:
    with pytest.raises(ValidationError):
        TermsReport(price=10**15 + 1)
    assert MachineReport(**SMALL, public_ip="2001:db8::1").public_ip == "2001:db8::1"  # type: ignore[arg-type]
