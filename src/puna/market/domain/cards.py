"""Cards and processors as RunPod names them: ids that clients send, and words that people use."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

_POOLS = {
    "AMPERE_16": ("RTX A4000", "RTX A4500", "RTX 4000 Ada", "RTX 2000 Ada"),
    "AMPERE_24": ("L4", "RTX A5000", "RTX 3090"),
    "ADA_24": ("RTX 4090",),
    "ADA_32_PRO": ("RTX 5090",),
    "AMPERE_48": ("RTX A6000", "A40"),
    "ADA_48_PRO": ("L40", "L40S", "RTX 6000 Ada"),
    "AMPERE_80": ("A100 PCIe", "A100 SXM"),
    "ADA_80_PRO": ("H100 PCIe", "H100 SXM", "H100 NVL"),
    "BLACKWELL_96": ("RTX PRO 6000", "RTX PRO 6000 WK", "RTX PRO 6000 MaxQ"),
    "HOPPER_141": ("H200 SXM",),
    "BLACKWELL_180": ("B200",),
}
_POOL_BY_NAME = {name: pool for pool, names in _POOLS.items() for name in names}
_SHORT = MappingProxyType(
    {
        "NVIDIA RTX 4000 SFF Ada Generation": "RTX 4000 Ada SFF",
        "NVIDIA RTX PRO 4500 Blackwell": "RTX PRO 4500",
        "NVIDIA RTX PRO 6000 Blackwell Server Edition": "RTX PRO 6000",
        "NVIDIA RTX PRO 6000 Blackwell Workstation Edition": "RTX PRO 6000 WK",
        "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition": "RTX PRO 6000 MaxQ",
        "NVIDIA RTX PRO 6000 Blackwell Server Edition MIG 1g.24gb": "PRO 6000 MIG 24GB",
        "NVIDIA RTX PRO 6000 Blackwell Server Edition MIG 2g.48gb": "PRO 6000 MIG 48GB",
        "NVIDIA A100 80GB PCIe": "A100 PCIe",
        "NVIDIA A100-SXM4-80GB": "A100 SXM",
        "NVIDIA H100 80GB HBM3": "H100 SXM",
        "NVIDIA H200": "H200 SXM",
        "NVIDIA B300 SXM6 AC": "B300",
        "AMD Instinct MI300X OAM": "MI300X",
        "Tesla V100-PCIE-16GB": "Tesla V100",
        "Tesla V100-SXM2-16GB": "V100 SXM2",
        "Tesla V100-SXM2-32GB": "V100 SXM2 32GB",
    }
)
"""Where the short name is not what is left of the id without its maker."""
_MAKERS = ("NVIDIA GeForce ", "NVIDIA ", "AMD ")


def name_of(card: str) -> str:
    """Return what people call a card: `RTX 4090` for `NVIDIA GeForce RTX 4090`."""
    if card in _SHORT:
        return _SHORT[card]
    maker = next((each for each in _MAKERS if card.startswith(each)), "")
    return card.removeprefix(maker).removesuffix(" Generation").strip()


def maker_of(card: str) -> str:
    """Return who makes a card, in RunPod's words."""
    if card.startswith(("NVIDIA", "Tesla")):
        return "NVIDIA"
    return "AMD" if card.startswith("AMD") else "UNKNOWN"


def pool_of(card: str) -> str | None:
    """Return the pool of serverless workers that a card belongs to."""
    return _POOL_BY_NAME.get(name_of(card))


@dataclass(frozen=True, slots=True)
class Flavour:
    """A kind of pod without a card: how much memory comes with a processor."""

    id: str
    name: str
    gb_per_processor: int


FLAVOURS: Mapping[str, Flavour] = MappingProxyType(
    {
        f"cpu{age}{letter}": Flavour(f"cpu{age}{letter}", words, gigabytes)
        for age in (3, 5)
        for letter, words, gigabytes in (
            ("c", "Compute-Optimized", 2),
            ("g", "General Purpose", 4),
            ("m", "Memory-Optimized", 8),
        )
    }
)
MOST_PROCESSORS = 32


class Stock(StrEnum):
    """How likely one can be had, in RunPod's words."""

    NONE = "NONE"
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


_MEDIUM, _HIGH = 3, 10


def stock_of(places: int) -> Stock:
    """Return the word for a number of free places."""
    if places <= 0:
        return Stock.NONE
    if places < _MEDIUM:
        return Stock.LOW
    return Stock.MEDIUM if places < _HIGH else Stock.HIGH


class Region(StrEnum):
    """A part of the world, in RunPod's words."""

    NORTH_AMERICA = "NORTH_AMERICA"
    SOUTH_AMERICA = "SOUTH_AMERICA"
    EUROPE = "EUROPE"
    ASIA = "ASIA"
    MIDDLE_EAST = "MIDDLE_EAST"
    AFRICA = "AFRICA"
    OCEANIA = "OCEANIA"
    ANTARCTICA = "ANTARCTICA"
    UNKNOWN = "UNKNOWN"


_COUNTRIES = {
    Region.NORTH_AMERICA: "US CA MX GT HN SV NI CR PA CU JM HT DO PR BS TT GL BZ BB",
    Region.SOUTH_AMERICA: "BR AR CL CO PE VE EC BO PY UY GY SR GF",
    Region.EUROPE: "AL AD AT BY BE BA BG HR CY CZ DK EE FI FR DE GR HU IS IE IT LV LI LT LU MT MD "
    "MC ME NL MK NO PL PT RO RU SM RS SK SI ES SE CH UA GB VA FO GI IM JE GG",
    Region.ASIA: "AF AM AZ BD BT BN KH CN GE HK IN ID JP KZ KG LA MO MY MV MN MM NP KP PK PH SG KR "
    "LK TW TJ TH TL TM UZ VN",
    Region.MIDDLE_EAST: "AE BH EG IL IQ IR JO KW LB OM PS QA SA SY TR YE",
    Region.AFRICA: "DZ AO BJ BW BF BI CM CV CF TD KM CG CD CI DJ GQ ER SZ ET GA GM GH GN GW KE LS "
    "LR LY MG MW ML MR MU MA MZ NA NE NG RW ST SN SC SL SO ZA SS SD TZ TG TN UG ZM ZW RE",
    Region.OCEANIA: "AU NZ FJ PG NC PF SB VU WS TO GU",
    Region.ANTARCTICA: "AQ",
}
_REGION_BY_COUNTRY = {
    country: region for region, countries in _COUNTRIES.items() for country in countries.split()
}
_SIGNS = {
    Region.NORTH_AMERICA: "",
    Region.SOUTH_AMERICA: "SA-",
    Region.EUROPE: "EU-",
    Region.ASIA: "AP-",
    Region.MIDDLE_EAST: "ME-",
    Region.AFRICA: "AF-",
    Region.OCEANIA: "OC-",
    Region.ANTARCTICA: "AQ-",
}


def region_of(country: str) -> Region:
    """Return where a country lies."""
    return _REGION_BY_COUNTRY.get(country, Region.UNKNOWN)


def data_center_of(country: str) -> str:
    """Return an id such as `EU-PL-1` for machines that stand in no data centre of a name."""
    sign = _SIGNS.get(region_of(country))
    return f"{sign}{country}-1" if sign is not None else ""
