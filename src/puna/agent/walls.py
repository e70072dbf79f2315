"""The wall around pods: packet filters that keep renters from the owner's machine and network.

Pods are on a bridge of their own. From it the internet is reached, and nothing else: not this
machine, not its other networks, not private or metadata addresses, no mail servers, no other pod.
Rules stand in tables of our own, before everybody else's; putting them up again replaces them as
one, so it is done whenever they are not found, by an owner's firewall that was loaded again say.
"""

import asyncio
import ipaddress
import os
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from puna.errors import Failed
from puna.text import one_line

_PATIENCE_S = 20
_PRIVATE_4 = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/3",
)
_PRIVATE_6 = ("::/8", "64:ff9b::/32", "fc00::/7", "fe80::/10", "ff00::/8")
_MAIL = "{ 25, 465, 587, 2525 }"
_NEIGHBOURS = {"AF_INET": 4, "AF_INET6": 6}


class NoWalls(Failed):
    """The packet filters cannot be set up, so pods could reach what they must not."""

    code = "no_walls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Walls:
    """What the rules are made from."""

    bridge: str
    subnets: Sequence[str] = ()
    """The pods' own addresses."""
    gateways: Sequence[str] = ()
    """This machine's addresses on the bridge, where the engine may answer for names."""
    networks: Sequence[str] = ()
    """This machine's other networks, which can have public addresses."""
    resolvers: Sequence[str] = ()
    """Name servers that pods may ask although they are in a private network."""
    most_connections: int = 20_000
    """Of one pod to elsewhere at once: this machine remembers each, and only so many of all. Zero
    where the kernel cannot count them."""
    open_ports: str = ""
    """This machine's ports that lead to pods from everywhere, such as `40000-40999`."""

    @property
    def table(self) -> str:
        """The name of its tables: several agents of one machine do not undo each other's."""
        return table_of(self.bridge)


def table_of(bridge: str) -> str:
    """Return the name of the tables for a bridge."""
    return "puna_" + "".join(sign if sign.isalnum() else "_" for sign in bridge)


def script_of(walls: Walls) -> str:
    """Return what `nft -f -` reads: the rules, in place of those that are there. Pure."""
    closed_4 = _set(4, [*_PRIVATE_4, *walls.networks])
    closed_6 = _set(6, [*_PRIVATE_6, *walls.networks])
    asked = [each for each in walls.resolvers if _version(each) == 4]  # noqa: PLR2004 - IPv4
    asks = [f"ip daddr {each} meta l4proto {{ tcp, udp }} th dport 53 accept" for each in asked]
    forward = "\n".join(f"    {line}" for line in asks)
    gates = [each for each in walls.gateways if _version(each) == 4]  # noqa: PLR2004 - IPv4
    names = "meta l4proto { tcp, udp } th dport 53 accept"
    doors = "\n".join(f'    iifname "{walls.bridge}" ip daddr {each} {names}' for each in gates)
    bridge = f'"{walls.bridge}"'
    led_in = f"ct status dnat meta l4proto tcp ct original proto-dst {walls.open_ports} accept"
    counted, many = "", f"ip saddr ct count over {walls.most_connections}"
    if walls.most_connections:
        counted = f"    iifname {bridge} ct state new add @opened {{ {many} }} counter drop\n"
    opened = f"    oifname {bridge} {led_in}\n" if walls.open_ports else ""
    return f"""table inet {walls.table}
delete table inet {walls.table}
table inet {walls.table} {{
  set closed4 {{ type ipv4_addr; flags interval; auto-merge; elements = {closed_4} }}
  set closed6 {{ type ipv6_addr; flags interval; auto-merge; elements = {closed_6} }}
  set opened {{ type ipv4_addr; size 65535; flags dynamic; }}
  chain out {{
{forward}
    ip daddr @closed4 counter drop
    ip6 daddr @closed6 counter drop
    tcp dport {_MAIL} counter drop
  }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
    iifname {bridge} ct state established,related accept
{counted}    iifname {bridge} jump out
{opened}    oifname {bridge} iifname != {bridge} ct state new counter drop
  }}
  chain input {{
    type filter hook input priority -10; policy accept;
    iifname {bridge} ct state established,related accept
{doors}
    iifname {bridge} counter drop
  }}
}}
"""


def neighbours_script(walls: Walls) -> str:
    """Return the rules that keep the pods of a bridge from one another. Pure.

    By addresses, since not every kernel can tell a bridge's name here; a pod cannot have others.
    """
    words = {4: "ip", 6: "ip6"}
    pairs = [(words[_version(each.partition("/")[0])], each) for each in walls.subnets]
    rules = "\n".join(f"    {ip} saddr {net} {ip} daddr {net} counter drop" for ip, net in pairs)
    return f"""table bridge {walls.table}
delete table bridge {walls.table}
table bridge {walls.table} {{
  chain forward {{
    type filter hook forward priority -10; policy accept;
{rules}
  }}
}}
"""


def why_no_walls() -> str:
    """Say why no packet filters can be set up here; empty if they can."""
    if shutil.which("nft") is None:
        return "there is no nft here (install nftables)"
    return "" if os.geteuid() == 0 else "the agent is not root"


def own_networks(bridges: Collection[str]) -> Sequence[str]:
    """Return the networks that this machine is in, but for those of `bridges`."""
    found: list[str] = []
    for name, addresses in psutil.net_if_addrs().items():
        for each in addresses:
            if name in bridges or each.family.name not in _NEIGHBOURS or not each.netmask:
                continue
            text = f"{each.address.partition('%')[0]}/{_bits(each.netmask)}"
            network = ipaddress.ip_network(text, strict=False)
            if network.prefixlen:
                found.append(str(network))
    return found


def name_servers(file: Path = Path("/etc/resolv.conf")) -> Sequence[str]:
    """Return the name servers that this machine asks."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()
    words = [line.split() for line in lines]
    named = [each[1] for each in words if len(each) > 1 and each[0] == "nameserver"]
    return [each for each in named if _version(each)]


async def put_up(walls: Walls) -> str:
    """Set all rules and return what could not be closed or counted. Raises `NoWalls`."""
    gaps: list[str] = []
    try:
        await _nft(script_of(walls))
    except NoWalls as error:
        await _nft(script_of(replace(walls, most_connections=0)))
        gaps.append(f"connections of pods are not counted: {error.message}")
    try:
        await _nft(neighbours_script(walls))
    except NoWalls as error:
        gaps.append(f"pods of this machine can reach each other: {error.message}")
    return "; ".join(gaps)


async def are_up(bridge: str) -> bool:
    """Return whether the rules for a bridge are there."""
    try:
        await _nft("", "list", "table", "inet", table_of(bridge))
    except NoWalls:
        return False
    return True


async def take_down(bridge: str) -> None:
    """Remove all rules for a bridge; none is fine."""
    table = table_of(bridge)
    for family in ("inet", "bridge"):
        await _nft(f"table {family} {table}\ndelete table {family} {table}\n")


async def _nft(script: str, *words: str) -> None:
    program = shutil.which("nft")
    if program is None:
        raise NoWalls("there is no nft here", hint="install nftables")
    process = await asyncio.create_subprocess_exec(
        program,
        *(words or ("-f", "-")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_PATIENCE_S):
            _, said = await process.communicate(script.encode())
    except TimeoutError as error:
        process.kill()
        raise NoWalls("nft does not answer") from error
    if process.returncode:
        raise NoWalls(f"nft refuses: {one_line(said.decode(errors='replace'))}")


def _set(version: int, networks: Sequence[str]) -> str:
    chosen = [each for each in networks if _version(each.partition("/")[0]) == version]
    return "{ " + ", ".join(dict.fromkeys(chosen)) + " }"


def _version(address: str) -> int:
    try:
        return ipaddress.ip_address(address).version
    except ValueError:
        return 0


def _bits(mask: str) -> int:
    """Return how long a network's part of an address is, from its mask."""
    if ":" not in mask:
        return ipaddress.ip_network(f"0.0.0.0/{mask}").prefixlen
    return int(ipaddress.ip_address(mask)).bit_count()
