"""Share links: made, used, bound to their pod and port, revoked, over."""

import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from puna.market.actions.shares import InvalidShare, share_port, use_ticket
from puna.market.domain.pods import Action
from puna.units import Span
from tests.market.instant import MEMORY
from tests.market.podweb import CLOSED, OPEN, Front, a_front
from tests.market.serving import Reply

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Front]:
    """One market for all tests of this file; each makes links of its own."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        async with a_front(Path(folder), domain="pods.example.org") as opened:
            yield opened


@pytest.fixture
def front(shared: Front) -> Front:
    shared.web.begin_anew()
    return shared


async def share(front: Front, *, port: int = CLOSED, lasts: str = "1h") -> dict[str, str]:
    """Make a link, and return what the market says of it with its token."""
    body = {"port": port, "lasts": lasts}
    path = f"/v2/puna/pods/{front.pod.id}/shares"
    reply = await front.serving.ask("POST", path, body, key=front.key)
    assert reply.status == 201, reply.body
    told: dict[str, str] = reply.json
    return told | {"token": told["url"].rpartition("=")[2], "path": urlsplit(told["urls"][1]).path}


async def by_cookie(front: Front, token: str, path: str = "/", **headers: str) -> Reply:
    sent = {"Cookie": f"puna_share={token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return await front.ask(path, headers=sent)


async def test_a_link_leads_by_host_and_by_path(front: Front) -> None:
    link = await share(front)
    assert link["url"].startswith(f"http://{front.pod.id}-{CLOSED}.pods.example.org")
    ends = front.serving.world.now() + timedelta(hours=1)
    assert link["expiresAt"] == ends.isoformat().replace("+00:00", "Z")
    reply = await front.send("GET", f"{link['path']}a?b=c", {})
    assert reply.json["target"] == "/a?b=c"
    assert reply.json["headers"]["x-forwarded-prefix"] == link["path"].rstrip("/")


async def test_a_browser_is_given_a_cookie_and_a_clean_address(front: Front) -> None:
    link = await share(front)
    reply = await front.ask(f"/a?x=1&puna_share={link['token']}&y=2")
    assert (reply.status, reply.headers["Location"]) == (303, "/a?x=1&y=2")
    cookie = reply.headers["Set-Cookie"]
    assert cookie == f"puna_share={link['token']}; Path=/; HttpOnly; SameSite=Lax"
    assert front.web.asked == []
    assert (await by_cookie(front, link["token"])).status == 200


@pytest.mark.parametrize(
    ("told", "is_secure"), [("https", True), ("http, https", True), ("http", False), ("x", False)]
)
async def test_what_came_over_https_is_never_sent_over_anything_else(
    front: Front, told: str, is_secure: bool
) -> None:
    link = await share(front)
    reply = await front.ask(f"/?puna_share={link['token']}", headers={"X-Forwarded-Proto": told})
    assert reply.headers["Set-Cookie"].endswith("; Secure") is is_secure


async def test_an_address_that_would_lead_elsewhere_is_a_path(front: Front) -> None:
    link = await share(front)
    reply = await front.ask(f"//evil.com/?puna_share={link['token']}")
    assert reply.headers["Location"] == "/evil.com/"


async def test_a_program_sends_it_as_a_header(front: Front) -> None:
    link = await share(front)
    told = (await front.ask("/", headers={"Puna-Share": link["token"]}, method="POST")).json
    assert "puna-share" not in told["headers"]


async def test_a_request_that_changes_something_keeps_its_address(front: Front) -> None:
    link = await share(front)
    reply = await front.ask(f"/a?puna_share={link['token']}&y=2", method="POST", data=b"x")
    assert (reply.json["target"], reply.json["body"]) == ("/a?y=2", "x")


async def test_the_cookie_never_reaches_the_pod_and_its_own_do(front: Front) -> None:
    link = await share(front)
    sent = {"Cookie": f"a=1; puna_share={link['token']}; b=2"}
    assert (await front.ask("/", headers=sent)).json["headers"]["cookie"] == "a=1; b=2"


async def test_of_several_cookies_the_good_one_counts(front: Front) -> None:
    """A neighbour's page can put one of its own before it."""
    link = await share(front)
    sent = {"Cookie": f"puna_share=wrong.1; puna_share={link['token']}"}
    assert (await front.ask("/", headers=sent)).status == 200


async def test_a_pod_cannot_set_the_cookie_nor_one_for_its_neighbours(front: Front) -> None:
    told = await front.ask("/say?Set-Cookie=puna_share%3Dx%3B%20Path%3D/", port=OPEN)
    assert "Set-Cookie" not in told.headers
    told = await front.ask("/say?Set-Cookie=a%3D1%3B%20Domain%3D.localhost%3B%20Secure", port=OPEN)
    assert told.headers["Set-Cookie"] == "a=1; Secure"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://{own}"}, 200),
        ({"Origin": "https://{own}"}, 200),
        ({"Origin": "http://evil.localhost"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec_Fetch_Site": "same-origin"}, 200),
        ({"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate"}, 200),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}, 200),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}, 403),
        ({"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "websocket"}, 403),
    ],
)
async def test_other_pages_do_not_use_the_link_that_a_browser_keeps(
    front: Front, headers: dict[str, str], status: int
) -> None:
    link = await share(front)
    sent = {name: value.format(own=front.name()) for name, value in headers.items()}
    assert (await by_cookie(front, link["token"], **sent)).status == status


async def test_a_link_is_for_its_port_and_its_pod_alone(front: Front) -> None:
    link = await share(front)
    await front.serving.report(front.host)
    other = await front.serving.rent(front.caller, ports=(f"{CLOSED}/http", "81/http"))
    for host in (front.name(81), front.name(pod=other.id), front.name(81, other.id)):
        for sent in ({"Cookie": f"puna_share={link['token']}"}, {"Puna-Share": link["token"]}):
            reply = await front.send("GET", "/", {"Host": host, **sent})
            assert reply.status == 401


@pytest.mark.parametrize("change", ["signature", "id", "nothing", "dots", "letters"])
async def test_a_link_that_was_changed_is_none(front: Front, change: str) -> None:
    name, _, signature = (await share(front))["token"].partition(".")
    wrong = {
        "signature": f"{name}.{signature[:-1]}{'0' if signature[-1] != '0' else '1'}",
        "id": f"{'0' * 20}.{signature}",
        "nothing": "",
        "dots": f"{name}..",
        "letters": f"{name}.\xe9",
    }[change]
    assert (await by_cookie(front, wrong)).status == 401
    assert (await front.send("GET", f"/s/{name}.{'0' * 32}/", {})).status == 404


async def test_a_revoked_link_is_good_for_two_more_seconds(front: Front) -> None:
    link = await share(front)
    assert (await by_cookie(front, link["token"])).status == 200
    path = f"/v2/puna/pods/{front.pod.id}/shares/{link['id']}"
    assert (await front.serving.ask("DELETE", path, key=front.key)).status == 204
    assert (await front.serving.ask("DELETE", path, key=front.key)).status == 404
    await front.serving.world.advance(Span.of(seconds=3))
    assert (await by_cookie(front, link["token"])).status == 401


async def test_a_link_ends_at_its_moment(front: Front) -> None:
    link = await share(front, lasts="10s")
    assert (await by_cookie(front, link["token"])).status == 200
    await front.serving.world.advance(Span.of(seconds=11))
    assert (await by_cookie(front, link["token"])).status == 401


async def test_links_are_listed_by_page_and_say_whether_they_are_over(front: Front) -> None:
    made = sorted([(await share(front, lasts="5s"))["id"] for _ in range(3)])
    await front.serving.world.advance(Span.of(seconds=6))
    path = f"/v2/puna/pods/{front.pod.id}/shares"
    first = (await front.serving.ask("GET", f"{path}?limit=1", key=front.key)).json["shares"]
    after = f"{path}?after={first[0]['id']}"
    rest = (await front.serving.ask("GET", after, key=front.key)).json["shares"]
    by_id = {each["id"]: each for each in first + rest}
    assert set(made) <= set(by_id)
    assert all(by_id[each]["isOver"] for each in made)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"port": 22}, 400),
        ({"port": 9999}, 400),
        ({"port": CLOSED, "lasts": "0s"}, 400),
        ({"port": CLOSED, "lasts": "721h"}, 400),
        ({"port": CLOSED, "lasts": "soon"}, 400),
        ({"port": 0}, 422),
        ({"port": CLOSED, "more": 1}, 422),
        ({}, 422),
    ],
)
async def test_what_no_link_can_be_made_of(
    front: Front, body: dict[str, object], status: int
) -> None:
    path = f"/v2/puna/pods/{front.pod.id}/shares"
    reply = await front.serving.ask("POST", path, body, key=front.key)
    assert reply.status == status, reply.body


async def test_only_the_account_shares_and_only_with_a_key_that_may_write(front: Front) -> None:
    path = f"/v2/puna/pods/{front.pod.id}/shares"
    for key, status in ((front.stranger, 404), (front.reading_key, 403), ("", 401)):
        assert (await front.serving.ask("POST", path, {"port": CLOSED}, key=key)).status == status
    assert (await front.serving.ask("GET", path, key=front.stranger)).status == 404
    assert (await front.serving.ask("DELETE", f"{path}/x", key=front.stranger)).status == 404


async def test_a_pod_that_is_terminated_is_shared_no_more(front: Front) -> None:
    await front.serving.report(front.host)
    pod = await front.serving.rent(front.caller, ports=("80/http",))
    async with front.serving.database.transaction() as tx:
        wish = (pod.id, 80, timedelta(hours=1))
        made = await share_port(tx, front.serving.world, front.caller, wish)
        with pytest.raises(InvalidShare):
            await share_port(tx, front.serving.world, front.caller, (pod.id, 81, wish[2]))
    await front.serving.act(front.caller, pod, Action.TERMINATE)
    token = front.serving.gateway.admission.token(made)
    assert (await front.send("GET", f"/s/{token}/", {})).status == 404
    path = f"/v2/puna/pods/{pod.id}/shares"
    assert (await front.serving.ask("POST", path, {"port": 80}, key=front.key)).status == 404


async def test_a_ticket_opens_its_pod_once_within_a_minute(front: Front) -> None:
    path = f"/v2/puna/pods/{front.pod.id}/terminal"
    reply = await front.serving.ask("POST", path, key=front.key)
    secret = reply.json["ticket"]
    assert (
        reply.json["url"] == f"{front.serving.market.settings.url}/terminal/{front.pod.id}#{secret}"
    )
    late = (await front.serving.ask("POST", path, key=front.key)).json["ticket"]
    world = front.serving.world
    async with front.serving.database.transaction() as tx:
        assert not await use_ticket(tx, world, "nosuchpod00000", secret)
        assert not await use_ticket(tx, world, front.pod.id, "0" * 32)
        assert await use_ticket(tx, world, front.pod.id, secret)
        assert not await use_ticket(tx, world, front.pod.id, secret)
    await world.advance(Span.of(seconds=61))
    async with front.serving.database.transaction() as tx:
        assert not await use_ticket(tx, world, front.pod.id, late)


# What comes by path is in a sandbox


HOSTILE = {
    "Set-Cookie": "session=stolen",
    "Clear-Site-Data": '"cookies"',
    "Service-Worker-Allowed": "/",
    "Report-To": "{}",
    "NEL": "{}",
    "Strict-Transport-Security": "max-age=9",
    "Alt-Svc": "h2=evil:443",
    "X-Accel-Redirect": "/secret",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_by_path_a_pod_sets_no_rule_for_the_markets_origin(front: Front, name: str) -> None:
    path = f"/p/{front.pod.id}/{OPEN}/say"
    reply = await front.send("GET", f"{path}?{name}=x", {})
    assert (reply.status, reply.body) == (200, b"said")
    assert name not in reply.headers


async def test_by_path_a_page_has_an_origin_of_its_own(front: Front) -> None:
    """A sandbox without `allow-same-origin`: no cookie, no storage, no credentials of ours."""
    path = f"/p/{front.pod.id}/{OPEN}/say?Content-Security-Policy=default-src%20*"
    reply = await front.send("GET", path, {})
    policies = reply.headers.getall("Content-Security-Policy")  # type: ignore[attr-defined]
    (sandbox,) = [each for each in policies if each.startswith("sandbox")]
    assert "allow-scripts" in sandbox
    assert "allow-same-origin" not in sandbox
    assert "allow-top-navigation" not in sandbox


async def test_by_path_no_cookie_of_the_market_reaches_a_pod(front: Front) -> None:
    sent = {"Cookie": "console=secret", "Authorization": f"Bearer {front.key}"}
    told = (await front.send("GET", f"/p/{front.pod.id}/{CLOSED}/", sent)).json["headers"]
    assert "cookie" not in told
    assert "authorization" not in told


async def test_by_path_a_share_cookie_is_not_asked_for(front: Front) -> None:
    link = await share(front)
    sent = {"Cookie": f"puna_share={link['token']}"}
    assert (await front.send("GET", f"/p/{front.pod.id}/{CLOSED}/", sent)).status == 401


async def test_the_page_of_a_share_link_may_call_its_own_server(front: Front) -> None:
    link = await share(front)
    reply = await front.send("GET", link["path"], {"Origin": "null"})
    assert reply.headers["Access-Control-Allow-Origin"] == "null"
    assert reply.headers["Referrer-Policy"] == "no-referrer"
    other = await front.send("GET", link["path"], {"Origin": "https://evil.com"})
    assert "Access-Control-Allow-Origin" not in other.headers


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("/login?x=1", "{prefix}/login?x=1"),
        ("next", "next"),
        ("//evil.com/", "//evil.com/"),
        ("https://example.org/", "https://example.org/"),
    ],
)
async def test_by_path_a_redirect_stays_under_its_path(
    front: Front, location: str, told: str
) -> None:
    prefix = f"/p/{front.pod.id}/{OPEN}"
    reply = await front.send("GET", f"{prefix}/say?status=302&Location={location}", {})
    assert reply.headers["Location"] == told.format(prefix=prefix)


async def test_by_host_a_pod_says_what_it_likes_of_itself(front: Front) -> None:
    reply = await front.ask("/say?Set-Cookie=a%3D1&Service-Worker-Allowed=/", port=OPEN)
    assert (reply.headers["Set-Cookie"], reply.headers["Service-Worker-Allowed"]) == ("a=1", "/")
    assert "Content-Security-Policy" not in reply.headers
