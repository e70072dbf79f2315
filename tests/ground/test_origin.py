import pytest

from puna.origin import InvalidUrl, Nearness, Origin, nearness_of, web_url


@pytest.mark.parametrize(
    ("address", "nearness"),
    [
        ("8.8.8.8", Nearness.PUBLIC),
        ("2606:4700::1111", Nearness.PUBLIC),
        ("registry.example", Nearness.PUBLIC),
        ("10.1.2.3", Nearness.PRIVATE),
        ("192.168.0.1", Nearness.PRIVATE),
        ("100.64.0.1", Nearness.PRIVATE),
        ("fd00::1", Nearness.PRIVATE),
        ("127.0.0.1", Nearness.OWN),
        ("127.9.9.9", Nearness.OWN),
        ("0.0.0.0", Nearness.OWN),
        ("169.254.169.254", Nearness.OWN),
        ("224.0.0.1", Nearness.OWN),
        ("::1", Nearness.OWN),
        ("fe80::1%eth0", Nearness.OWN),
        ("::ffff:127.0.0.1", Nearness.OWN),
        ("::ffff:10.0.0.1", Nearness.PRIVATE),
        ("64:ff9b::7f00:1", Nearness.OWN),
        ("2002:7f00:1::", Nearness.OWN),
    ],
)
def test_addresses_are_told_apart_by_how_near_they_are(address: str, nearness: Nearness) -> None:
    assert nearness_of(address) is nearness


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nowhere",
        "file:///etc/passwd",
        "ftp://a.example/",
        "gopher://a.example/",
        "https://",
        "https://me:secret@a.example/",
        "https://me@a.example/",
        "http://a.example:99999/",
        "http://[::1/",
    ],
)
def test_what_is_no_web_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidUrl) as raised:
        web_url(text)
    assert "secret" not in raised.value.message


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/x?a=b%2Fc", "https://a.example/x?a=b%2Fc"),
        ("https://b.example/y", "https://b.example/y"),
        ("//b.example/y", "https://b.example/y"),
        ("z", "https://a.example/v2/z"),
        ("../../../../etc", "https://a.example/etc"),
    ],
)
def test_a_location_is_read_as_it_is(location: str, url: str) -> None:
    assert str(web_url(location, base=web_url("https://a.example/v2/u"))) == url


@pytest.mark.parametrize(
    ("url", "origin", "netloc"),
    [
        ("https://A.example/x", "https://a.example", "a.example"),
        ("https://a.example:443/x", "https://a.example", "a.example"),
        ("http://a.example:5000", "http://a.example:5000", "a.example:5000"),
        ("http://[::1]:5000/", "http://[::1]:5000", "[::1]:5000"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str, netloc: str) -> None:
    found = Origin.of(web_url(url))
    assert (str(found), found.netloc) == (origin, netloc)
