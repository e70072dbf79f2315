"""Pods and facts of pods, as small as they may be."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from puna.market.db.hosts import Site
from puna.market.db.pods import Pod
from puna.market.domain.doors import Doors
from puna.market.domain.hosts import Cloud, Machine
from puna.market.domain.pods import Desired, Observed, PodState
from puna.market.domain.specs import PodSpec
from puna.market.http.pods import PodFacts
from puna.units import Money, Size
from tests.market.lots import CARD, GB

BORN = datetime(2026, 11, 24, 2, 0, tzinfo=UTC)
NOW = BORN + timedelta(minutes=2)
RUNNING = PodState(Desired.RUN, Observed.RUNNING, has_host=True, shown_run=1)
SPEC = PodSpec(image="img:1", cards=2, card_models=(CARD,), ports=("8888/http", "22/tcp"))
SITE = Site(
    id="host",
    cloud=Cloud.SECURE,
    machine=Machine(
        card=CARD,
        cards=2,
        card_memory=Size(24 * GB),
        processors=16,
        memory=Size(64 * GB),
        disk=Size(500 * GB),
        country="PL",
        cuda=(12, 8),
        has_public_ip=True,
        public_ip="203.0.113.7",
        data_center="EU-PL-1",
    ),
    seen=NOW,
)


def a_pod(**changes: object) -> Pod:
    """Return a pod that has been running for a minute, changed as said."""
    pod = Pod(
        id="k3v9q1zt7m2abc",
        account="user_a",
        key="key",
        project="",
        name="n",
        spec=SPEC,
        state=RUNNING,
        price=Money(345_000),
        host="host",
        reason="",
        failed_hosts=frozenset(),
        created=BORN,
        started=BORN + timedelta(minutes=1),
        ended=None,
        stop_at=None,
        terminate_at=None,
        paid_until=NOW,
        is_paid=True,
        seen=NOW,
        owner="user_b",
        back=None,
        template=None,
        registry=None,
        changed=BORN,
        told_started=None,
        active=None,
        frozen=None,
        boot="",
        boot_run=0,
        ports={"22": 17740, "8888": 60001},
        spent=Money(1234),
    )
    return replace(pod, **changes)  # type: ignore[arg-type]


def facts(site: Site | None = SITE, **changes: object) -> PodFacts:
    """Return what is to be told of such a pod."""
    doors = Doors(url="http://m:11500", domain="", ssh_host="m", ssh_port=11522)
    return PodFacts(pod=a_pod(**changes), site=site, held=Money(5), doors=doors, now=NOW)
