"""What is offered where: memory, one card, several cards."""

from dataclasses import replace
from datetime import date

import pytest

from puna.library.curated import load_catalog
from puna.models.fit import Room, RoomKind
from puna.models.listed import Catalog, ListedModel
from puna.node.offers import Offer, offers_of
from puna.settings import NodeSettings, load_settings
from puna.units import Size

GB = 10**9


def settings(**environ: str) -> NodeSettings:
    return load_settings({"PUNA_HOME": "/nonexistent", **environ}).node


def memory(free: float) -> Room:
    return Room("memory", RoomKind.MEMORY, Size(int(free * GB)), Size(64 * GB))


def card(name: str, free: float) -> Room:
    return Room(name, RoomKind.CARD, Size(int(free * GB)), Size(24 * GB))


def a_list(name: str, tag: str) -> Catalog:
    """The shipped list with one size of one model."""
    listed = next(model for model in load_catalog().models if model.name == name)
    sizes = tuple(size for size in listed.sizes if size.tag == tag)
    return Catalog(date(2026, 1, 1), {}, (replace(listed, sizes=sizes),))


def offer(*rooms: Room, name: str = "bielik", tag: str = "11b", **environ: str) -> Offer:
    (found,) = offers_of(a_list(name, tag), rooms, settings(**environ))
    return found


def test_a_model_that_fits_says_what_is_left() -> None:
    found = offer(memory(40))
    assert found.verdict.fits
    assert found.words == f"fits, {Size(found.verdict.free - found.verdict.needed)} left"


def test_a_model_that_does_not_says_what_is_missing() -> None:
    found = offer(memory(2))
    assert not found.verdict.fits
    assert found.words.startswith("does not fit, ")
    assert found.words.endswith(" too few")


def test_a_card_that_holds_the_model_is_named() -> None:
    assert offer(memory(2), card("RTX 4090", 22)).words.startswith("RTX 4090: fits, ")
    assert offer(memory(40), card("RTX 3050", 4)).words.startswith("fits, ")


def test_several_cards_hold_it_together() -> None:
    found = offer(memory(1), card("one", 6), card("two", 6))
    assert found.words.startswith("all 2 cards together: fits")


def test_where_nothing_fits_the_least_lack_is_said() -> None:
    found = offer(memory(1), card("RTX 3050", 6))
    assert found.verdict.where == "RTX 3050"


@pytest.mark.parametrize(("setting", "context"), [("0", 4096), ("16384", 16384), ("999999", 32768)])
def test_the_verdict_is_for_the_context_that_the_server_takes(setting: str, context: int) -> None:
    assert offer(memory(40), PUNA_CONTEXT_LENGTH=setting).context == context


def test_a_smaller_cache_type_takes_less() -> None:
    wide = {"PUNA_CONTEXT_LENGTH": "32768"}
    full = offer(memory(40), **wide).verdict.needed
    small = offer(memory(40), **wide, PUNA_KV_CACHE_TYPE="q8_0").verdict.needed
    assert small < full


@pytest.mark.parametrize("model", load_catalog().models, ids=lambda model: model.name)
def test_every_listed_size_has_a_verdict(model: ListedModel) -> None:
    catalog = Catalog(date(2026, 1, 1), {}, (model,))
    offers = offers_of(catalog, (memory(16),), settings())
    assert [each.size.tag for each in offers] == [size.tag for size in model.sizes]
    assert all(each.verdict.needed >= each.size.size for each in offers)
