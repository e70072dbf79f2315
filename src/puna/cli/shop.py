"""Tables of models that could be fetched. Pure: rows in, text out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from puna.cli.language import ENGLISH, Language
from puna.cli.view import NARROW, fitted
from puna.node.replies import Fields
from puna.text import cell_width, one_line
from puna.units import Count, Size

if TYPE_CHECKING:
    from puna.library.hub_search import Found

_MOST_LANGUAGES = 3
Column = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person looks for: all of the words, all of the abilities."""

    words: tuple[str, ...] = ()
    can: tuple[str, ...] = ()
    fits: bool = False

    def matches(self, row: Fields) -> bool:
        """Tell whether a row of the list is wanted."""
        if self.fits and not row.flag("fits"):
            return False
        if not set(self.can).issubset(row.texts("capabilities")):
            return False
        return all(self._is_in(word.lower(), row) for word in self.words)

    def _is_in(self, word: str, row: Fields) -> bool:
        exact = (*row.texts("languages"), *row.texts("capabilities"))
        texts = (row.text("name"), row.text("model"), row.text("about"), row.text("licence"))
        return word in exact or any(word in text.lower() for text in texts)


def offer_table(
    rows: Sequence[Fields], *, width: int, language: Language = ENGLISH
) -> tuple[str, tuple[str, ...]]:
    """Return the table of listed models, and the names of columns that found no room.

    On a narrow screen columns stand nearer, and are given up from the right until the rest fits
    into `width`; 0 is no limit.
    """
    columns_in_order: list[Column] = [
        ("NAME", tuple(row.text("name") for row in rows)),
        ("SIZE", tuple(_size(row) for row in rows)),
        ("CONTEXT", tuple(short_count(row.whole("context_length")) for row in rows)),
        ("VERDICT", tuple(language.of(row.text("verdict")) for row in rows)),
        ("CAN", tuple(_abilities(row) for row in rows)),
        ("LANGUAGES", tuple(_languages(row.texts("languages")) for row in rows)),
        ("LICENCE", tuple(row.text("licence") for row in rows)),
    ]
    return _fitted(columns_in_order, width=width, least=4, language=language)


def found_table(found: "Sequence[Found]", *, width: int, language: Language = ENGLISH) -> str:
    """Return the table of repositories on the hub."""
    columns_in_order: list[Column] = [
        ("ON THE HUB", tuple(str(each.name).removesuffix(":latest") for each in found)),
        ("PARAMETERS", tuple(str(each.parameters) if each.parameters else "-" for each in found)),
        ("CONTEXT", tuple(short_count(each.context) for each in found)),
        ("DOWNLOADS", tuple(str(Count(each.downloads)) for each in found)),
        ("LICENCE", tuple(_terms(each) for each in found)),
        ("LANGUAGES", tuple(_languages(each.languages) for each in found)),
    ]
    return _fitted(columns_in_order, width=width, least=1, language=language)[0]


def found_data(found: "Found") -> dict[str, object]:
    """Return a repository on the hub as JSON has it."""
    return {
        "model": str(found.name).removesuffix(":latest"),
        "downloads": found.downloads,
        "likes": found.likes,
        "parameters": int(found.parameters),
        "context_length": found.context,
        "licence": found.licence,
        "languages": list(found.languages),
        "gated": found.is_gated,
    }


def short_count(tokens: int) -> str:
    """Return a number of tokens as people say it: `128K`; what is no multiple stays whole."""
    if not tokens:
        return "-"
    return f"{tokens // 1024}K" if tokens >= 1024 and tokens % 1024 == 0 else str(tokens)  # noqa: PLR2004 - K


def _fitted(
    columns_in_order: list[Column], *, width: int, least: int, language: Language
) -> tuple[str, tuple[str, ...]]:
    columns_in_order = [(language.of(name), cells) for name, cells in columns_in_order]
    shown = list(columns_in_order)
    while width and len(shown) > least and _least_width(shown) > width:
        shown.pop()
    left_out = tuple(name for name, _ in columns_in_order[len(shown) :])
    lines = [tuple(name for name, _ in shown)]
    lines += zip(*(tuple(one_line(cell) for cell in cells) for _, cells in shown), strict=True)
    return "\n".join(fitted(lines, width)), left_out


def _least_width(shown: Sequence[Column]) -> int:
    widest = (max(cell_width(cell) for cell in (name, *cells)) for name, cells in shown)
    return sum(widest) + NARROW * (len(shown) - 1)


def _size(row: Fields) -> str:
    return f"{'~' if row.flag('size_is_rough') else ''}{Size(row.whole('size'))}"


def _abilities(row: Fields) -> str:
    return ", ".join(each for each in row.texts("capabilities") if each != "completion") or "-"


def _languages(languages: Sequence[str]) -> str:
    more = len(languages) - _MOST_LANGUAGES
    shown = ", ".join(languages[:_MOST_LANGUAGES])
    return f"{shown} +{more}" if more > 0 else shown or "-"


def _terms(found: "Found") -> str:
    return f"{found.licence or '-'}{', gated' if found.is_gated else ''}"
