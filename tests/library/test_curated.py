"""The shipped list of models: every row of it, and what happens to rows that are wrong."""

import re
from datetime import date

import pytest

from puna.library.curated import BadCatalog, load_catalog, meant_by, parse_catalog
from puna.models.listed import ListedSize
from puna.models.name import ModelName
from puna.models.reference import HUB_HOST

SIZES = [
    pytest.param(size, id=f"{model.name}:{size.tag}")
    for model in load_catalog().models
    for size in model.sizes
]
ROW = """
date = 2026-01-02
[sources]
here = "a test"
[shapes]
tiny = { arch = "llama", layers = 1, width = 64, inner = 64, heads = 2, kv = 1, head = 32 }
[[model]]
name = "tiny"
about = "For tests"
licence = "MIT"
languages = ["en"]
can = ["completion"]
source = "here"
sizes = [{ tag = "1m", parameters = 1e6, quant = "Q8_0", size = 0, context = 512, shape = "tiny" }]
"""


def computed_parameters(size: ListedSize) -> float:
    """The parameters that layers and widths give: attention, feed-forward, experts, embeddings."""
    numbers = size.shape.numbers
    width, heads = numbers["embedding_length"], numbers["attention.head_count"]
    head, cached = numbers["attention.key_length"], numbers["attention.head_count_kv"]
    experts = numbers.get("expert_feed_forward_length", 0) * numbers.get("expert_count", 0)
    inner = numbers.get("feed_forward_length", 0) + experts
    layer = 2 * width * head * (heads + cached) + 3 * width * inner
    return numbers["block_count"] * layer + numbers["vocab_size"] * width


@pytest.mark.parametrize("size", SIZES)
def test_layers_and_widths_give_the_parameters(size: ListedSize) -> None:
    # Half of gemma3n are embeddings of each layer, which its shape does not count.
    least = 0.5 if size.shape.architecture == "gemma3n" else 0.75
    assert least < computed_parameters(size) / size.parameters < 1.35


@pytest.mark.parametrize("size", SIZES)
def test_a_size_is_what_its_parameters_and_format_take(size: ListedSize) -> None:
    assert 4 < 8 * size.size / size.parameters < 17.5


@pytest.mark.parametrize("size", SIZES)
def test_a_name_leads_to_the_hub_or_means_itself(size: ListedSize) -> None:
    is_own = size.name.tag == size.tag
    assert (size.name.host == HUB_HOST) != is_own
    assert not size.gguf or ModelName.parse(size.gguf).host == HUB_HOST


def test_the_list_has_a_date_and_what_polish_people_look_for() -> None:
    catalog = load_catalog()
    assert catalog.day >= date(2026, 11, 24)
    names = {model.name for model in catalog.models if "pl" in model.languages}
    assert {"bielik", "pllum"} <= names


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("bielik", "hf.co/speakleash/Bielik-11B-v3.0-Instruct-GGUF:Q4_K_M"),
        ("Bielik:4.5B", "hf.co/speakleash/Bielik-4.5B-v3.0-Instruct-GGUF:Q8_0"),
        ("llama3.1", ""),
        ("bielik:99b", ""),
        ("somebody/bielik", ""),
        ("hf.co/somebody/bielik", ""),
    ],
)
def test_a_short_name_means_its_repository(typed: str, meant: str) -> None:
    found = meant_by(ModelName.parse(typed))
    assert (str(found) if found else "") == meant


def test_a_size_that_no_source_tells_is_computed_and_rough() -> None:
    size = parse_catalog(ROW).models[0].sizes[0]
    assert (size.size, size.is_rough) == (1_062_500, True)


@pytest.mark.parametrize(
    ("good", "bad", "why"),
    [
        ("date = 2026-01-02", "date = 2026-13-02", "cannot be read"),
        ("date = 2026-01-02", "date = 5", "date: 5 is not of the type date"),
        ('quant = "Q8_0"', 'quant = "Q9"', "tiny:1m: quant: 'Q9' is none of"),
        ('shape = "tiny"', 'shape = "big"', "'big' is none of tiny"),
        ('source = "here"', 'source = "rumour"', "'rumour' is none of here"),
        ('can = ["completion"]', 'can = ["flying"]', "'flying' is none of"),
        ("size = 0", "sise = 0", "unknown words sise"),
        ("context = 512", 'context = "512"', "context: '512' is not of the type int"),
        ("context = 512", "context = true", "context: True is not of the type int"),
        ('tag = "1m"', 'tag = "1 m"', "is no name of a model"),
        ("layers = 1", "leyers = 1", "'leyers' is none of"),
        ('name = "tiny"', 'name = "tiny"\nowner = "me"', "unknown words owner"),
    ],
)
def test_a_wrong_row_is_named(good: str, bad: str, why: str) -> None:
    with pytest.raises(BadCatalog, match=re.escape(why)):
        parse_catalog(ROW.replace(good, bad))


def test_a_name_or_a_tag_twice_is_wrong() -> None:
    start, _, model = ROW.partition("[[model]]")
    with pytest.raises(BadCatalog, match="a name twice"):
        parse_catalog(f"{start}[[model]]{model}[[model]]{model}")
    with pytest.raises(BadCatalog, match="or one twice"):
        parse_catalog(re.sub(r"sizes = \[(.*)\]", r"sizes = [\1, \1]", ROW))
