"""Where requests lead, by their Host and by their path."""

import pytest

from puna.market.gateway.places import Form, Place, is_path_alone, place_of

DOMAINS = ("pods.example.org", "localhost")
POD = "abcdefghij1234"


@pytest.mark.parametrize(
    ("host", "port"),
    [
        (f"{POD}-8888.pods.example.org", 8888),
        (f"{POD}-8888.pods.example.org:11500", 8888),
        (f"{POD}-1.localhost:11500", 1),
        (f"{POD}-65535.pods.example.org.", 65535),
    ],
)
def test_a_host_names_a_port_of_a_pod(host: str, port: int) -> None:
    place = place_of(host, "/p/x?y", DOMAINS)
    assert place == Place(form=Form.HOST, pod=POD, port=port, target="/p/x?y")


@pytest.mark.parametrize(
    "host",
    [
        "pods.example.org",
        "market.pods.example.org",
        f"{POD}.pods.example.org",
        f"{POD}-.pods.example.org",
        f"{POD}-0.pods.example.org",
        f"{POD}-080.pods.example.org",
        f"{POD}-65536.pods.example.org",
        f"{POD}-99999999.pods.example.org",
        f"{POD}-80.pods.example.org.evil.com",
        f"{POD}-80.evil.com",
        f"{POD}-80.x.pods.example.org",
        f"x{POD}-80.pods.example.org",
        f"{POD.upper()}-80.pods.example.org",
        f"{POD}-80.pods.example.org@evil.com",
        f"{POD}-80.pods.example.org/evil",
        f"{POD}-80.pods.example.org:80:80",
        f"{POD}-80.pods.example.org, {POD}-81.pods.example.org",
        f"evil.com\t{POD}-80.pods.example.org",
        f"{POD}-٣.pods.example.org",
        "",
    ],
)
def test_other_hosts_name_none(host: str) -> None:
    assert place_of(host, "/", DOMAINS) is None


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        (f"/p/{POD}/80/", "/"),
        (f"/p/{POD}/80", "/"),
        (f"/p/{POD}/80?x=1", "/?x=1"),
        (f"/p/{POD}/80/a/b?c=d/e", "/a/b?c=d/e"),
        (f"/p/{POD}/80//double", "//double"),
        (f"/p/{POD}/80/../../otherpodotherp/81/", "/../../otherpodotherp/81/"),
        (f"/p/{POD}/80/%2e%2e/%2fx", "/%2e%2e/%2fx"),
    ],
)
def test_a_path_names_a_port_and_the_rest_is_the_pods_unchanged(target: str, asked: str) -> None:
    place = place_of("market", target, DOMAINS)
    assert place is not None
    assert (place.form, place.pod, place.port) == (Form.PATH, POD, 80)
    assert (place.prefix, place.target) == (f"/p/{POD}/80", asked)


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/p",
        "/p/",
        f"/p/{POD}",
        f"/p/{POD}/",
        f"/p/{POD}/0/",
        f"/p/{POD}/x/",
        "/p/short/80/",
        f"//p/{POD}/80/",
        f"/P/{POD}/80/",
        f"/./p/{POD}/80/",
        f"/x/../p/{POD}/80/",
        f"/%70/{POD}/80/",
        f"/p/{POD}/80x",
        "/s/",
        "/s/!/",
        "/v2/pods",
        "/terminal/x/socket",
    ],
)
def test_other_paths_are_the_markets_own(target: str) -> None:
    assert place_of("market", target, DOMAINS) is None


@pytest.mark.parametrize("rest", ["", "/", "/a?b=c", "?b"])
def test_a_share_link_stands_for_a_port(rest: str) -> None:
    place = place_of("market", f"/s/abc.123.def{rest}", DOMAINS)
    assert place is not None
    assert (place.form, place.token, place.prefix) == (Form.SHARE, "abc.123.def", "/s/abc.123.def")
    assert place.target == rest if rest.startswith("/") else place.target == f"/{rest}"


def test_a_terminals_socket_is_the_gateways() -> None:
    assert place_of("market", f"/terminal/{POD}/socket", ()) == Place(form=Form.TERMINAL, pod=POD)


@pytest.mark.parametrize(
    ("target", "is_alone"),
    [(f"/p/{POD}/80", True), (f"/p/{POD}/80?x", True), (f"/p/{POD}/80/", False), ("/s/t", True)],
)
def test_a_path_form_without_its_slash_is_known(target: str, *, is_alone: bool) -> None:
    place = place_of("market", target, ())
    assert place is not None
    assert is_path_alone(place, target) is is_alone
