"""`puna fit`: what a model takes in which way, where that fits on this machine, and what would."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import click

from puna.cli.language import ENGLISH, Language
from puna.cli.reach import open_store
from puna.cli.session import Session, pass_session
from puna.cli.view import table
from puna.hardware.devices import Device
from puna.library.curated import load_catalog
from puna.library.local import LocalModel
from puna.library.store import ModelNotFound
from puna.models.fit import (
    DEFAULT_SLOTS,
    Fit,
    Plan,
    Room,
    choose_slots,
    fit_plan,
)
from puna.models.fit_offload import CardRoom, CardWish, Offload, Offloading
from puna.models.fit_projector import projector_size
from puna.models.former.forms import former_of
from puna.models.gguf import GgufHeader
from puna.models.listed import header_of
from puna.models.name import ModelName
from puna.models.old_blobs import check_loadable
from puna.node.cards import card_rooms_of, devices_here
from puna.node.placing import DEFAULT_BATCH, DEFAULT_CONTEXT
from puna.node.rooms import rooms_of, verdict_words
from puna.settings import NodeSettings
from puna.units import Size

_CACHE_TYPES = ("f16", "q8_0", "q4_0")
_MOST_SLOTS = 256
_LONGEST_SHOWN = 2**20


@dataclass(frozen=True, slots=True)
class Wish:
    """How a person wants to load the model; None leaves it to puna."""

    context: int | None = None
    parallel: int | None = None
    cache_type: str | None = None
    beside: Size = Size(0)  # noqa: RUF009 - a number
    """What the model's projector takes."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The model that is asked about: a file that is here, or a row of the shipped list."""

    label: str
    parameters: str
    quantization: str
    trained: int | None
    """Tokens of the context that it was trained on; none where nobody says."""
    header: GgufHeader
    beside: Size = Size(0)  # noqa: RUF009 - a number
    """What its projector takes."""
    listed: str = ""
    """The day of the list that tells of it; empty where it is here."""
    download: Size = Size(0)  # noqa: RUF009 - a number
    """What has to be fetched of it."""


@dataclass(frozen=True, slots=True)
class Seat:
    """What one way to load a model takes, and where a server would put it."""

    fit: Fit
    offload: Offload | None
    """Which layers would be on cards; None for none."""

    @property
    def fits(self) -> bool:
        """Whether it can be loaded at all: in one place, or spread over cards and memory."""
        return self.fit.fits or self.offload is not None


@click.command()
@click.argument("model")
@click.option("--context", type=click.IntRange(min=1), metavar="TOKENS", help="Tokens of a slot.")
@click.option(
    "--parallel", type=click.IntRange(1, _MOST_SLOTS), metavar="N", help="Requests at a time."
)
@click.option(
    "--cache-type", type=click.Choice(_CACHE_TYPES), help="Number format of the context in memory."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, all sizes in bytes.")
@pass_session
def fit(session: Session, /, model: str, *, as_json: bool, **wish: int | str | None) -> None:
    """Tell whether MODEL fits this machine, where, and what would fit if it does not.

    MODEL is a name or a GGUF file; of a model that is not here the shipped list tells, where it has
    it, before anything is fetched. Without --context, the context that the server takes and longer
    ones are shown. Nothing is loaded. The exit code is 0 whatever the verdict.
    """
    found = subject_of(session, model)
    devices = devices_here(session.settings)
    rooms = rooms_of(devices, session.settings)
    asked = Wish(**wish, beside=found.beside)  # type: ignore[arg-type]
    plans = plans_of(found.header, session.settings, rooms[0], asked)
    cards = card_rooms_of(devices, session.settings.gpu_overhead)
    fits = [seat_of(found.header, plan, rooms, cards, session.settings) for plan in plans]
    language = session.terminal.screen_language
    width = session.terminal.table_width
    session.terminal.line(
        as_data(found, devices, fits)
        if as_json
        else as_text(found, devices, fits, language, width=width)
    )
    if found.listed and not as_json:
        session.terminal.say(
            f"Not here yet: figures of the list of {found.listed}, right to about a tenth;"
            f" `puna pull {found.label}` fetches {found.download}"
        )


def subject_of(session: Session, model: str) -> Subject:
    """Return the model: from the store, or from the list of what could be fetched.

    Raises `ModelNotFound` for a name that is in neither.
    """
    try:
        return _subject_here(open_store(session).open(model))
    except ModelNotFound as error:
        listed = _listed(model)
        if listed is None:
            why = error.hint
            hint = f"{why}; `puna search {model}` looks elsewhere"
            raise ModelNotFound(ModelName.parse(model), typed=model, hint=hint) from error
        return listed


def _subject_here(model: LocalModel) -> Subject:
    header, eyes = parts_of(model)
    details = model.details
    return Subject(
        model.label,
        details.parameter_size,
        details.quantization_level,
        details.context_length,
        header,
        projector_size(eyes) if eyes else Size(0),
    )


def _listed(text: str) -> Subject | None:
    """Return a model of the shipped list; its figures are those of the list."""
    catalog = load_catalog()
    size = catalog.find(ModelName.parse(text))
    if size is None:
        return None
    name = f"{ModelName.parse(text).model}:{size.tag}"
    return Subject(
        name,
        str(size.parameters),
        size.quantization,
        size.context,
        header_of(size),
        listed=str(catalog.day),
        download=size.size,
    )


def seat_of(
    header: GgufHeader,
    plan: Plan,
    rooms: Sequence[Room],
    cards: Sequence[CardRoom],
    settings: NodeSettings,
) -> Seat:
    """Say where a model fits, and how a server would spread it over cards and memory."""
    fit, memory = fit_plan(header, plan, rooms), rooms[0].free
    wish = CardWish(spreads=settings.sched_spread)
    offload = Offloading(header).offload(plan, cards, wish) if cards else None
    return Seat(fit, offload if offload and offload.memory <= memory else None)


def parts_of(model: LocalModel) -> tuple[GgufHeader, GgufHeader | None]:
    """Return what would be loaded: the weights, and the part that sees images if there is one.

    Raises `OldBlob` for a file that llama.cpp cannot load.
    """
    header, eyes = model.header(), model.projector()
    check_loadable(header, model.label)
    former = former_of(header)
    if former is None:
        return header, eyes
    own = former.eyes.header(header.path) if former.eyes else None
    return former.text.header(header.path), eyes or own


def plans_of(
    header: GgufHeader, settings: NodeSettings, memory: Room, wish: Wish
) -> tuple[Plan, ...]:
    """Return the ways to load the model: as wished, else as the server would and with more."""
    cache_type = wish.cache_type or settings.kv_cache_type

    def plan(context: int) -> Plan:
        batch = min(DEFAULT_BATCH, context)
        alone = Plan(context, 1, cache_type, batch, beside=wish.beside)
        most = settings.num_parallel or DEFAULT_SLOTS
        slots = wish.parallel or choose_slots(header, alone, memory, wanted=most)
        return replace(alone, parallel=max(1, slots))

    return tuple(plan(context) for context in _contexts(header, settings, wish))


def _contexts(header: GgufHeader, settings: NodeSettings, wish: Wish) -> Iterator[int]:
    if wish.context:
        yield wish.context
        return
    trained = header.integer(header.own_key("context_length")) or DEFAULT_CONTEXT
    context = min(settings.context_length or DEFAULT_CONTEXT, trained)
    while context < min(trained, _LONGEST_SHOWN):
        yield context
        context *= 2
    yield min(trained, context)


def as_text(
    model: Subject,
    devices: Sequence[Device],
    seats: Sequence[Seat],
    language: Language = ENGLISH,
    *,
    width: int = 0,
) -> str:
    """Return the tables and the advice that a person reads."""
    facts = [f"{model.parameters} parameters", model.quantization]
    facts += [f"trained on {model.trained} tokens"] if model.trained else []
    said = [[*row[:-1], language.of(row[-1])] for row in map(_device_row, devices)]
    fits = [each.fit for each in seats]
    told = [[*row[:-2], *map(language.of, row[-2:])] for each in fits for row in _rows(each)]
    lines = [
        f"{model.label}: {', '.join(map(language.of, facts))}",
        "",
        table(("DEVICE", "FREE", "TOTAL", "USE"), said, language, width=width),
        "",
        table(
            ("CONTEXT", "SLOTS", "WEIGHTS", "CACHE", "BUFFERS", "NEEDED", "WHERE", "VERDICT"),
            told,
            language,
            width=width,
        ),
    ]
    spread = [
        (str(each.fit.context), *_offload_row(each.offload)) for each in seats if each.offload
    ]
    if spread:
        header = ("CONTEXT", "LAYERS ON CARDS", "CARDS", "MEMORY")
        lines += ["", table(header, spread, language, width=width)]
    lines += [f"{device.name}: {language.of(device.remedy)}" for device in devices if device.remedy]
    advice = next((each.fit.advice for each in seats if not each.fits), ())
    if advice:
        lines += ["", language.of("Ways out:"), *(f"  {language.of(words)}" for words in advice)]
    if any(each.is_upper_bound for each in fits):
        lines += ["", language.of("The architecture is not known well: it takes at most so much.")]
    trained = model.trained
    if trained and any(each.context > trained for each in fits):
        most = f"A server takes {trained} tokens at most: the model is trained on no more."
        lines += ["", language.of(most)]
    return "\n".join(lines)


def _device_row(device: Device) -> tuple[str, ...]:
    used = f"{device.threads} threads" if device.threads else "used"
    use = used if device.usable else f"not used: {device.reason}"
    return (device.name, str(device.memory.available), str(device.memory.total), use)


def _rows(fit: Fit) -> Iterator[tuple[str, ...]]:
    for verdict in fit.verdicts:
        yield (
            str(fit.context),
            str(fit.parallel),
            str(fit.weights),
            str(fit.cache),
            str(Size(fit.buffers + fit.margin)),
            str(verdict.needed),
            verdict.where,
            verdict_words(verdict),
        )


def _offload_row(offload: Offload) -> tuple[str, str, str]:
    cards = ", ".join(f"{each.label}: {each.memory}" for each in offload.shares)
    return (f"{offload.layers} of {offload.all_layers}", cards, str(offload.memory))


def as_data(model: Subject, devices: Sequence[Device], fits: Sequence[Seat]) -> str:
    """Return the same as JSON, all sizes in bytes."""
    value = {
        "model": model.label,
        "is_here": not model.listed,
        "fits": any(each.fits for each in fits),
        "devices": [_device_data(device) for device in devices],
        "plans": [_plan_data(each) for each in fits],
    }
    return json.dumps(value, indent=2, ensure_ascii=False)


def _device_data(device: Device) -> dict[str, object]:
    return {
        "name": device.name,
        "kind": device.kind.value,
        "free": device.memory.available,
        "total": device.memory.total,
        "usable": device.usable,
        "reason": device.reason,
        "remedy": device.remedy,
    }


def _plan_data(seat: Seat) -> dict[str, object]:
    fit = seat.fit
    return {
        "context": fit.context,
        "parallel": fit.parallel,
        "weights": fit.weights,
        "cache": fit.cache,
        "buffers": fit.buffers,
        "margin": fit.margin,
        "total": fit.total,
        "fits": seat.fits,
        "short_by": fit.short_by,
        "is_upper_bound": fit.is_upper_bound,
        "verdicts": [
            {
                "where": each.where,
                "needed": each.needed,
                "free": each.free,
                "fits": each.fits,
                "short_by": each.short_by,
            }
            for each in fit.verdicts
        ],
        "advice": [] if seat.fits else list(fit.advice),
        "offload": _offload_data(seat.offload) if seat.offload else None,
    }


def _offload_data(offload: Offload) -> dict[str, object]:
    return {
        "layers": offload.layers,
        "all_layers": offload.all_layers,
        "memory": offload.memory,
        "cards": [
            {"name": each.name, "label": each.label, "layers": each.layers, "memory": each.memory}
            for each in offload.shares
        ],
    }
