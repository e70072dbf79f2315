"""The rules around pods are what the kernel takes, and close what they must."""

import ipaddress
from dataclasses import replace
from pathlib import Path

import pytest

from puna.agent.walls import (
    Walls,
    name_servers,
    neighbours_script,
    own_networks,
    script_of,
    table_of,
    why_no_walls,
)

WALLS = Walls(
    bridge="puna0",
    subnets=["10.89.0.0/24", "fd12::/64"],
    gateways=["10.89.0.1"],
    networks=["203.0.113.0/24", "2001:db8::/64"],
    resolvers=["192.168.1.1", "fe80::1"],
)


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.5",
        "127.0.0.1",
        "169.254.169.254",
        "172.31.0.2",
        "192.168.1.7",
        "100.64.0.1",
        "203.0.113.7",
        "224.0.0.251",
        "255.255.255.255",
    ],
)
def test_what_is_private_or_the_owners_is_closed(address: str) -> None:
    [line] = [each for each in script_of(WALLS).splitlines() if "set closed4" in each]
    networks = line.partition("elements = {")[2].partition("}")[0].split(",")
    assert any(ipaddress.ip_address(address) in ipaddress.ip_network(n.strip()) for n in networks)


def test_the_internet_is_open() -> None:
    script = script_of(WALLS)
    line = next(each for each in script.splitlines() if "set closed4" in each)
    networks = line.partition("elements = {")[2].partition("}")[0].split(",")
    for address in ("1.1.1.1", "93.184.216.34", "203.0.112.255"):
        closed = [
            n for n in networks if ipaddress.ip_address(address) in ipaddress.ip_network(n.strip())
        ]
        assert closed == []


def test_names_are_asked_of_those_who_answer_and_nobody_else_of_the_lan() -> None:
    script = script_of(WALLS)
    before, _, after = script.partition("ip daddr @closed4 counter drop")
    assert "ip daddr 192.168.1.1 meta l4proto { tcp, udp } th dport 53 accept" in before
    assert "ip daddr 10.89.0.1 meta l4proto { tcp, udp } th dport 53 accept" in after
    assert "fe80::1" not in script


def test_mail_is_closed_and_the_bridge_is_named_everywhere() -> None:
    script = script_of(WALLS)
    assert "tcp dport { 25, 465, 587, 2525 } counter drop" in script
    chains = [line for line in script.splitlines() if "accept" in line or "drop" in line]
    assert all(
        "puna0" in line or "daddr" in line or "dport" in line or "policy" in line for line in chains
    )


def test_only_ports_that_the_owner_opened_lead_in() -> None:
    closes = 'oifname "puna0" iifname != "puna0" ct state new counter drop'
    assert "dnat" not in script_of(WALLS)
    before, found, _ = script_of(replace(WALLS, open_ports="40000-40999")).partition(closes)
    assert found
    assert before.rstrip().endswith(
        'oifname "puna0" ct status dnat meta l4proto tcp ct original proto-dst 40000-40999 accept'
    )


def test_a_pod_has_so_many_connections_and_no_more() -> None:
    """This machine's memory of connections is one for all: who fills it cuts everybody off."""
    counts = "ct state new add @opened { ip saddr ct count over 7 } counter drop"
    before, found, after = script_of(replace(WALLS, most_connections=7)).partition(counts)
    assert before.rstrip().endswith('iifname "puna0"')
    assert found
    assert "jump out" in after
    assert "ct count" not in script_of(replace(WALLS, most_connections=0))


def test_pods_are_closed_to_one_another() -> None:
    script = neighbours_script(WALLS)
    assert "ip saddr 10.89.0.0/24 ip daddr 10.89.0.0/24 counter drop" in script
    assert "ip6 saddr fd12::/64 ip6 daddr fd12::/64 counter drop" in script


def test_putting_them_up_again_replaces_them_as_one() -> None:
    lines = script_of(WALLS).splitlines()
    assert lines[:3] == [
        "table inet puna_puna0",
        "delete table inet puna_puna0",
        "table inet puna_puna0 {",
    ]
    assert table_of("br-0a.1") == "puna_br_0a_1"


def test_this_machines_networks_are_found() -> None:
    found = own_networks([])
    assert "127.0.0.0/8" in found
    assert all(ipaddress.ip_network(each).prefixlen for each in found)
    assert "127.0.0.0/8" not in own_networks(["lo"])


def test_name_servers_are_read_and_nonsense_is_not(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# none\nnameserver 192.168.1.1\nnameserver\nnameserver ; drop\nsearch x\n")
    assert name_servers(file) == ["192.168.1.1"]
    assert name_servers(tmp_path / "none") == ()


def test_where_there_can_be_no_walls_it_is_said() -> None:
    assert isinstance(why_no_walls(), str)
