"""What this machine has to lend: cards, memory, disk, processors, and what of it is not to be had.

Everything is read and nothing is set up: the file that names a machine's cards for containers is
its driver's own tool's to write. Reading and understanding are apart, as for `puna fit`.
"""

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from puna.agent.containers import USUAL_RUNTIME
from puna.agent.shown import Nature
from puna.errors import Failed
from puna.hardware.cards import Card, detect_cards
from puna.hardware.memory import available_memory
from puna.hardware.programs import output_of
from puna.units import Size
from puna.wire.agent import MachineReport

CDI_FOLDERS = (Path("/etc/cdi"), Path("/var/run/cdi"))
_KIND = re.compile(r'^"?kind"?:\s*"?([^"\s]+?)"?\s*$', re.MULTILINE)
_NAME = re.compile(r'^(\s*)(?:-\s+)?name:\s*"?([^"\s]+?)"?\s*$')
_CUDA = re.compile(r"CUDA Version:\s*(\d+\.\d+)")
_OWNERS_SHARE = 10
"""One part of so many of memory and disk stays the owner's."""
_USUAL = "nvidia.com/gpu"
GVISOR = "runsc"
_NO_CDI = (
    "this Docker gives containers no cards: it needs 25 or newer, with"
    ' {"features": {"cdi": true}} in its daemon.json (29 needs no word); or use Podman'
)
_ENDS_PODS = (
    "pods end and begin again when Docker is started again:"
    ' {"live-restore": true} in its daemon.json lets them go on'
)
_SAMPLE = Size(64 * 10**6)


class NoGvisor(Failed):
    """An owner wants pods in gVisor alone, and it is not installed."""

    code = "no_gvisor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """What can be lent, and the remarks that its owner should read."""

    machine: MachineReport
    cards: Sequence[str] = ()
    """CDI names, one for each card of `machine`."""
    remarks: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was read of the machine."""

    cards: Sequence[Card] = ()
    named: Sequence[str] = ()
    processors: int = 1
    memory: Size = Size(0)  # noqa: RUF009 - an integer
    free_disk: Size = Size(0)  # noqa: RUF009 - an integer
    cuda: str = ""
    runtimes: Sequence[str] = (USUAL_RUNTIME,)
    why_no_cards: str = ""
    """Why the engine gives containers no cards; empty if it does."""
    remarks: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the owner says himself: less than there is, or what cannot be read."""

    country: str = ""
    card: str = ""
    """What the cards are called, where no driver tells."""
    card_memory: Size = Size(0)  # noqa: RUF009 - an integer
    most_cards: int | None = None
    processors: int | None = None
    memory: Size | None = None
    disk: Size | None = None
    only_gvisor: bool = False
    """Whether no pod may share this machine's kernel."""


def look_around(nature: Nature, folders: Iterable[Path] = CDI_FOLDERS) -> Found:
    """Read what this machine has; blocks, for seconds where a driver is slow."""
    folders = folders if nature.is_podman else nature.card_folders
    usage = psutil.disk_usage(str(nature.folder))
    return Found(
        cards=[card for card in detect_cards() if not card.shares_memory],
        named=named_cards(folders),
        processors=len(os.sched_getaffinity(0)),
        memory=available_memory().total,
        free_disk=Size(usage.free),
        cuda=cuda_in(output_of("nvidia-smi").text),
        runtimes=installed_runtimes(nature),
        why_no_cards="" if nature.is_podman or folders else _NO_CDI,
        remarks=() if nature.outlives_itself else (_ENDS_PODS,),
    )


def stock_of(found: Found, wishes: Wishes) -> Stock:
    """Return what is to be lent of what was found. Pure. Raises `NoGvisor`."""
    if wishes.only_gvisor and GVISOR not in found.runtimes:
        raise NoGvisor(
            "gVisor is not here, or the container engine does not know it",
            hint="install runsc and name it in Docker's daemon.json;"
            ' Podman needs runtime = "runsc" in its containers.conf',
        )
    runtimes = [GVISOR] if wishes.only_gvisor else list(found.runtimes)
    kinds = Counter(card.name for card in found.cards)
    name = wishes.card or (kinds.most_common(1)[0][0] if kinds else "")
    alike = [card for card in found.cards if card.name == name]
    cards = list(found.named[: len(alike) or len(found.named)])[: wishes.most_cards]
    if not name:
        cards = []
    memory = wishes.card_memory or min((c.memory.total for c in alike if c.memory), default=0)
    machine = MachineReport(
        card=name if cards else "",
        cards=len(cards),
        card_memory=memory if cards else 0,
        processors=min(found.processors, wishes.processors or found.processors),
        memory=_less(found.memory, wishes.memory),
        disk=_less(found.free_disk, wishes.disk),
        country=wishes.country.upper(),
        cuda=found.cuda if cards else "",
        runtimes=runtimes,
    )
    return Stock(machine=machine, cards=cards, remarks=_remarks(found, kinds, name, cards))


def _remarks(found: Found, kinds: Counter[str], name: str, cards: Sequence[str]) -> Sequence[str]:
    said = [f"{card.name}: {card.fault}" for card in found.cards if card.fault]
    said += found.remarks
    if found.cards and found.why_no_cards:
        said.append(found.why_no_cards)
    elif found.cards and not found.named:
        said.append(
            "no card is named for containers: make the file with"
            " `nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`"
        )
    if found.named and not name:
        said.append(f"{len(found.named)} cards are named, but no driver says what they are: --card")
    if len(kinds) > 1:
        said.append(f"only the cards of one kind are lent: {len(cards)} of {name}")
    return said


def _less(there: Size, wish: Size | None) -> Size:
    """Return what is lent of something: what the owner says, or all but his share."""
    usual = Size(there - there // _OWNERS_SHARE)
    return usual if wish is None else min(there, wish)


def named_cards(folders: Iterable[Path]) -> Sequence[str]:
    """Return the cards that CDI files name, such as `nvidia.com/gpu=0`, the usual maker's first."""
    found: list[str] = []
    for folder in folders:
        for file in sorted(folder.glob("*")) if folder.is_dir() else ():
            try:
                found += cards_in(file.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError):
                continue
    unique = dict.fromkeys(found)
    kinds = Counter(card.partition("=")[0] for card in unique)
    if not kinds:
        return ()
    kind = _USUAL if _USUAL in kinds else kinds.most_common(1)[0][0]
    return [card for card in unique if card.startswith(f"{kind}=")]


def cards_in(text: str) -> Sequence[str]:
    """Read one CDI file, JSON or the YAML that its tools write; a card by its number, once.

    Tools name each card by its number and by its serial number too, and all of them as `all`.
    """
    kind, names = _read_json(text) if text.lstrip().startswith("{") else _read_yaml(text)
    numbers = [name for name in names if name.replace(":", "").isdigit()]
    chosen = numbers or [name for name in names if name != "all"]
    return [f"{kind}={name}" for name in dict.fromkeys(chosen)] if kind else ()


def _read_json(text: str) -> tuple[str, Sequence[str]]:
    try:
        read = json.loads(text)
        return str(read["kind"]), [str(each["name"]) for each in read["devices"]]
    except (ValueError, KeyError, TypeError):
        return "", ()


def _read_yaml(text: str) -> tuple[str, Sequence[str]]:
    """Read the names of the devices: those of the shallowest entries below `devices:`."""
    kind = _KIND.search(text)
    inside = text.partition("\ndevices:")[2] or text.removeprefix("devices:")
    found: list[tuple[int, str]] = []
    for line in inside.splitlines()[1:]:
        if line and not line.startswith((" ", "-")):
            break
        if match := _NAME.match(line):
            found.append((len(match[1]) + 2 * line.lstrip().startswith("-"), match[2]))
    least = min((depth for depth, _ in found), default=0)
    return (kind[1] if kind else ""), [name for depth, name in found if depth == least]


def cuda_in(text: str) -> str:
    """Return the version of CUDA that a driver knows, from what `nvidia-smi` prints."""
    match = _CUDA.search(text)
    return match[1] if match else ""


def installed_runtimes(nature: Nature) -> Sequence[str]:
    """Return the runtimes that a renter may ask for: the usual one, and gVisor where it is.

    Podman takes the word for another runtime and gives its own: what it starts all with is lent.
    """
    if nature.is_podman:
        return (GVISOR,) if nature.default_runtime == GVISOR else (USUAL_RUNTIME,)
    program = shutil.which(nature.runtimes.get(GVISOR, ""))
    return (USUAL_RUNTIME, GVISOR) if program else (USUAL_RUNTIME,)


def disk_speed(folder: Path, elapsed: Callable[[], int]) -> int:
    """Write a sample and return the megabytes a second; blocks. Zero where that is not possible."""
    file = folder / ".speed"
    piece = os.urandom(2**20)
    try:
        began = elapsed()
        with file.open("wb") as opened:
            for _ in range(_SAMPLE // len(piece)):
                opened.write(piece)
            opened.flush()
            os.fsync(opened.fileno())
        return round(_SAMPLE / 10**6 / max(1e-3, (elapsed() - began) / 1e9))
    except OSError:
        return 0
    finally:
        file.unlink(missing_ok=True)
