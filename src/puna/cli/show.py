"""The text of `puna show`: sections as Ollama prints them, or one part as it is stored."""

import json
from collections.abc import Iterable, Mapping, Sequence

from puna.cli.language import ENGLISH, Language
from puna.cli.view import columns
from puna.node.card import ModelCard
from puna.text import one_line
from puna.units import Count

SELECTORS = ("license", "modelfile", "parameters", "template", "system")
_SHOWN_ITEMS = 3
_HEAD_LINES = 2


def selected_text(card: ModelCard, part: str) -> str:
    """Return one of the parts named in `SELECTORS` as it is stored."""
    texts = {
        "license": card.license,
        "modelfile": card.modelfile,
        "parameters": card.parameters,
        "template": card.template,
        "system": card.system,
    }
    return texts[part]


def card_text(card: ModelCard, *, verbose: bool = False, language: Language = ENGLISH) -> str:
    """Return all sections that have something to say, a blank line after each."""
    sections: list[tuple[str, Iterable[Sequence[str]]]] = [
        ("Model", _named(_model_rows(card), language)),
        ("Capabilities", [(word,) for word in card.capabilities]),
        ("Projector", _named(_projector_rows(card.projector or {}), language)),
        ("Parameters", _parameter_rows(card.parameters)),
        ("Metadata", _metadata_rows(card.metadata or {}) if verbose else ()),
        ("Tensors", _tensor_rows(card) if verbose else ()),
        ("System", _head(card.system)),
        ("License", _head(card.license)),
    ]
    return "\n".join(_section(title, rows, language) for title, rows in sections if rows)


def _named(rows: list[tuple[str, str]], language: Language) -> list[tuple[str, str]]:
    return [(language.of(name), value) for name, value in rows]


def _section(title: str, rows: Iterable[Sequence[str]], language: Language) -> str:
    cells = [tuple(one_line(cell) for cell in row) for row in rows]
    return "\n".join([f"  {language.of(title)}", *columns(cells, indent="    "), ""])


def _model_rows(card: ModelCard) -> list[tuple[str, str]]:
    facts = card.metadata or {}
    architecture = _text(facts.get("general.architecture")) or card.family
    rows = (
        ("Remote model", card.remote_model),
        ("Remote URL", card.remote_host),
        ("architecture", architecture),
        ("parameters", card.parameter_size or _count(facts.get("general.parameter_count"))),
        ("context length", _text(facts.get(f"{architecture}.context_length"))),
        ("embedding length", _text(facts.get(f"{architecture}.embedding_length"))),
        ("quantization", card.quantization),
        ("requires", card.requires),
    )
    return [(name, value) for name, value in rows if value]


def _projector_rows(facts: Mapping[str, object]) -> list[tuple[str, str]]:
    architecture = _text(facts.get("general.architecture"))
    rows = (
        ("architecture", architecture),
        ("parameters", _count(facts.get("general.parameter_count"))),
        ("embedding length", _text(facts.get(f"{architecture}.vision.embedding_length"))),
        ("dimensions", _text(facts.get(f"{architecture}.vision.projection_dim"))),
    )
    return [(name, value) for name, value in rows if value]


def _parameter_rows(text: str) -> list[tuple[str, ...]]:
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line.strip()]


def _metadata_rows(facts: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(name, _short(facts[name])) for name in sorted(facts)]


def _short(value: object) -> str:
    """Return a value on one line; a long list shows its first items and how many follow."""
    if isinstance(value, float):
        return f"{value:.9g}"
    if not isinstance(value, list):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = ", ".join(json.dumps(item, ensure_ascii=False) for item in value[:_SHOWN_ITEMS])
    more = len(value) - _SHOWN_ITEMS
    return f"[{shown}, ...+{more} more]" if more > 0 else f"[{shown}]"


def _tensor_rows(card: ModelCard) -> list[tuple[str, str, str]]:
    return [
        (row.name, row.type, f"[{' '.join(str(size) for size in row.shape)}]")
        for row in card.tensors
    ]


def _head(text: str) -> list[tuple[str]]:
    """Return the first two lines that say something, and `...` if more follow."""
    lines = [(line.strip(),) for line in text.splitlines() if line.strip()]
    return lines if len(lines) <= _HEAD_LINES else [*lines[:_HEAD_LINES], ("...",)]


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, str | int) else ""


def _count(value: object) -> str:
    return str(Count(int(value))) if isinstance(value, int | float) else ""
