"""`/v2/puna` on the wire: each message as it travels, word for word."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from puna.wire import cloud as wire

LINE = {
    "id": "k3v9q1zt7m2abc:cards:1:1795521660.000000",
    "pod": "k3v9q1zt7m2abc",
    "podName": "bench",
    "project": "web",
    "key": "1f2e3d4c5b6a7988",
    "host": "5f0c2a9e77b1",
    "item": "cards",
    "start": "2026-11-24T12:00:00Z",
    "end": "2026-11-24T12:01:00Z",
    "anHour": "0.36",
    "amount": "0.006",
}
BUDGET = {
    "id": "bud_0123456789abcdef",
    "scope": "project",
    "owner": "web",
    "period": "day",
    "limit": "5.00",
    "charged": "1.25",
    "held": "0.012094",
    "left": "3.737906",
}
KEY = {
    "id": "1f2e3d4c5b6a7988",
    "name": "ci",
    "prefix": "rpa_1f2e",
    "readOnly": True,
    "created": "2026-11-24T12:00:00Z",
    "expires": "2026-12-24T12:00:00Z",
}
MESSAGES: dict[type[wire.Message], dict[str, Any]] = {
    wire.OffersReply: {
        "offers": [
            {
                "host": "5f0c2a9e77b1",
                "card": "NVIDIA GeForce RTX 4090",
                "name": "RTX 4090",
                "cards": 2,
                "cardMemoryGb": 24,
                "processors": 16,
                "memoryGb": 64,
                "diskGb": 500,
                "country": "PL",
                "dataCenterId": "EU-PL-1",
                "cloud": "COMMUNITY",
                "cuda": "12.8",
                "downloadMbps": 900,
                "uploadMbps": 300,
                "diskMbps": 2000,
                "publicIp": False,
                "runtimes": ["runc", "runsc"],
                "onDemand": "0.36",
                "spot": "0.10",
                "anHour": "0.36274",
                "free": 1,
                "withinReach": 2,
                "displaces": 0,
            }
        ],
        "refused": [{"host": "77b15f0c2a9e", "why": "another country"}],
        "after": "77b15f0c2a9e",
    },
    wire.AccountReply: {
        "id": "user_0123456789abcdef",
        "email": "ann@example.org",
        "isAdmin": False,
        "mayWrite": True,
        "balance": "24.987906",
        "held": "0.012094",
        "anHour": "0.36274",
        "runwaySeconds": 248111,
        "pods": 1,
        "running": 1,
        "domain": "pods.example",
        "ssh": {"host": "market.example", "port": 11522},
    },
    wire.LinesReply: {"lines": [LINE], "after": ""},
    wire.ExplainedReply: {
        "line": LINE,
        "product": "60 s of cards at $0.36 an hour",
        "reason": "cards of pod k3v9q1zt7m2abc on host 5f0c2a9e77b1",
        "at": "2026-11-24T12:01:00Z",
        "postings": [
            {"book": "escrow:k3v9q1zt7m2abc", "amount": "-0.006"},
            {"book": "fee", "amount": "0.0006"},
            {"book": "host:user_fedcba9876543210", "amount": "0.0054"},
        ],
    },
    wire.SpendReply: {
        "by": "pod",
        "start": "2026-10-25T12:00:00Z",
        "end": "2026-11-24T12:00:00Z",
        "rows": [
            {
                "id": "k3v9q1zt7m2abc",
                "name": "bench",
                "amount": "0.043571",
                "cards": "0.043242",
                "processors": "0.00",
                "disk": "0.000329",
                "seconds": 432.42,
            }
        ],
        "total": "0.043571",
        "after": "",
    },
    wire.BudgetsReply: {"budgets": [BUDGET], "after": ""},
    wire.ProjectsReply: {
        "projects": [{"name": "web", "pods": 3, "openPods": 1}],
        "after": "",
    },
    wire.KeysReply: {"keys": [KEY, KEY | {"expires": None}], "after": "1f2e3d4c5b6a7988"},
    wire.MadeKeyReply: KEY | {"key": "rpa_1f2e3d4c"},
    wire.EventsReply: {
        "events": [
            {"number": 7, "at": "2026-11-24T12:00:00Z", "text": "rented by ann@example.org"},
        ],
        "after": "7",
        "status": "RUNNING",
        "runs": True,
        "isGone": False,
        "anHour": "0.36274",
        "spent": "0.043571",
    },
    wire.BudgetRequest: {"scope": "pod", "owner": "bench", "period": "ever", "limit": "1.50"},
    wire.KeyRequest: {"name": "ci", "readOnly": True, "expiresAfter": "30d"},
}


@pytest.mark.parametrize("kind", list(MESSAGES), ids=lambda kind: kind.__name__)
def test_a_message_is_read_and_written_as_the_same(kind: type[wire.Message]) -> None:
    message = kind.model_validate(MESSAGES[kind])
    assert json.loads(message.model_dump_json(by_alias=True)) == MESSAGES[kind]


@pytest.mark.parametrize("kind", list(MESSAGES), ids=lambda kind: kind.__name__)
def test_a_field_that_nobody_knows_is_refused(kind: type[wire.Message]) -> None:
    with pytest.raises(ValidationError, match="colour"):
        kind.model_validate(MESSAGES[kind] | {"colour": "red"})


@pytest.mark.parametrize(
    ("kind", "given", "field"),
    [
        (wire.Page, {"limit": 0}, "limit"),
        (wire.Page, {"limit": wire.MOST + 1}, "limit"),
        (wire.Page, {"after": "x" * 257}, "after"),
        (wire.OfferQuery, {"count": -1}, "count"),
        (wire.OfferQuery, {"count": 65}, "count"),
        (wire.OfferQuery, {"processors": 0}, "processors"),
        (wire.OfferQuery, {"memoryGb": 0}, "memoryGb"),
        (wire.OfferQuery, {"diskGb": 0}, "diskGb"),
        (wire.OfferQuery, {"volumeGb": -1}, "volumeGb"),
        (wire.OfferQuery, {"minUploadMbps": -1}, "minUploadMbps"),
        (wire.KeyRequest, {"name": ""}, "name"),
        (wire.KeyRequest, {"name": "x" * 65}, "name"),
        (wire.BudgetRequest, {"scope": "key", "limit": "1", "owner": "x" * 65}, "owner"),
        (wire.BudgetRequest, {"scope": "key"}, "limit"),
    ],
    ids=str,
)
def test_what_is_out_of_bounds_is_refused(
    kind: type[wire.Message], given: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError, match=field):
        kind.model_validate(given)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", ""),
        ("PL", "PL"),
        ("PL, DE", "PL,DE"),
        (" PL ,,DE,", "PL,DE"),
        ("NVIDIA GeForce RTX 4090,NVIDIA L4", "NVIDIA GeForce RTX 4090,NVIDIA L4"),
    ],
)
def test_lists_in_addresses_have_commas(text: str, kept: str) -> None:
    assert wire.OfferQuery(cards=text).cards == kept


def test_a_question_without_words_asks_for_any_pod_with_a_card() -> None:
    query = wire.OfferQuery()
    assert (query.count, query.processors, query.memory_gb, query.disk_gb) == (1, 2, 8, 20)
    assert (query.tenure, query.runtime, query.cloud, query.limit) == ("on_demand", "runc", "", 100)
