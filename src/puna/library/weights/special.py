"""Tokens with a task: where a text begins and ends, and which are put there by themselves.

`tokenizer_config.json` names them, `config.json` numbers them, and the template of `tokenizer.json`
tells which a text gets. Where they disagree, the order is that of llama.cpp's converter.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from puna.library.weights.repository import Object, Repository
from puna.models.strict_json import JsonValue

KINDS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Numbers of tokens by their task, whether a text gets them, and the chat template."""

    number_by_task: Mapping[str, int] = field(default_factory=dict)
    is_added: Mapping[str, bool] = field(default_factory=dict)
    templates: Mapping[str, str] = field(default_factory=dict)
    """Chat templates by name; the usual one is `default`."""


def special_tokens(files: Repository, number_by_text: Mapping[str, int]) -> SpecialTokens:
    """Return the tokens with a task. Raises `BadRepository`."""
    tokenizer, wishes = files.json("tokenizer.json"), files.json("tokenizer_config.json")
    names = {kind: name for kind in KINDS if (name := _name(wishes.get(f"{kind}_token")))}
    added = dict(_by_template(tokenizer, names))
    for kind in KINDS:
        wish = wishes.get(f"add_{kind}_token")
        if isinstance(wish, bool):
            added[kind] = wish
    config = files.json("config.json")
    numbers: dict[str, int] = {}
    for kind in (*KINDS, "eot"):
        named = number_by_text.get(names.get(kind, ""))
        configured = config.get(f"{kind}_token_id")
        if named is not None:
            numbers[kind] = named
        elif isinstance(configured, int) and not isinstance(configured, bool) and configured >= 0:
            numbers[kind] = configured
    inside = {kind: n for kind, n in numbers.items() if n <= max(number_by_text.values())}
    return SpecialTokens(inside, added, dict(_templates(files, wishes)))


def _name(value: JsonValue) -> str:
    """Return a token's text, which stands alone or with its properties."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else ""


def _by_template(tokenizer: Object, names: dict[str, str]) -> Iterator[tuple[str, bool]]:
    """Yield which tokens the template puts around a text; a new end takes the old one's place."""
    for step in _steps(tokenizer.get("post_processor")):
        pattern = step.get("single")
        if step.get("type") != "TemplateProcessing" or not isinstance(pattern, list):
            continue
        first, last = (_special(pattern[n]) if len(pattern) > 1 else "" for n in (0, -1))
        if first:
            names.setdefault("bos", first)
            yield "bos", first in {names.get("bos"), names.get("cls")}
        if last:
            if names.get("eos") not in {None, last}:
                names["eot"] = names["eos"]
            names["eos"] = last
            yield "eos", True


def _steps(value: JsonValue) -> Iterator[Object]:
    if isinstance(value, dict):
        inner = value.get("processors", [value])
        yield from (
            (each for each in inner if isinstance(each, dict)) if isinstance(inner, list) else ()
        )


def _special(value: JsonValue) -> str:
    token = value.get("SpecialToken") if isinstance(value, dict) else None
    name = token.get("id") if isinstance(token, dict) else None
    return name if isinstance(name, str) else ""


def _templates(files: Repository, wishes: Object) -> Iterator[tuple[str, str]]:
    found = wishes.get("chat_template")
    if found is None:
        found = files.text("chat_template.jinja") or files.json("chat_template.json").get(
            "chat_template"
        )
    if isinstance(found, str) and found:
        yield "default", found
    for each in found if isinstance(found, list) else ():
        if isinstance(each, dict):
            name, text = each.get("name"), each.get("template")
            if isinstance(name, str) and isinstance(text, str):
                yield name, text
