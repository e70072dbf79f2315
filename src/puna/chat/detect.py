"""Tell which known template a file's own one is, by what it writes.

Ollama compares the texts of templates letter by letter and takes one that differs in less than a
hundred; a default system message is lost by that, and so is a place for functions. Here it counts
what a template writes: all the marks of a form, no marks of any other, and no sentences. Of what
has more, nothing is known, and it stays as it is.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

from puna.chat.known_templates import KNOWN, KnownTemplate

_MOST = 1 << 14
"""No template of a known form is longer."""
_TAG = re.compile(r"\{([{%#])-?(.*?)-?[}%#]\}", re.DOTALL)
_TEXT = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_RAISED = re.compile(r"raise_exception\s*\([^)]*\)")
_COMPARED = re.compile(r"(?:==|!=|\bin|\[|\bget\(|\bis|\()\s*$")
_SUBJECT = re.compile(r"\s*(?:\]|==|!=|\bin\b|\bnot in\b|,|\))")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_MARK = re.compile(
    r"<\|[^<>|\s]{1,40}\|>|<</?SYS>>|</?[A-Za-z_]{2,40}>|\[/?[A-Z_]{3,20}\]"
    r"|(?:###|@@) ?[A-Z][a-z]+:?|GPT4 Correct|<\||\|>|(?m:^(?:[A-Z][a-z]{2,15}|[A-Z]{4,12}):)"
)
_SENTENCE = re.compile(r"[A-Za-z][\w',]* +[A-Za-z][\w',]* +[A-Za-z][\w',]*")
_IGNORED = frozenset({"<bos>", "<eos>"})


@lru_cache(maxsize=64)
def detect_template(jinja: str) -> KnownTemplate | None:
    """Return the known template that writes what this Jinja template writes; none for another."""
    if not jinja or len(jinja) > _MOST:
        return None
    pieces = list(_written(jinja))
    marks = set(_marks(pieces))
    if "eos_token" in jinja:
        marks.add("EOS")
    text = "".join(pieces)
    rest = _MARK.sub("\n", "\n".join(pieces))
    if _SENTENCE.search(rest):
        return None  # a system message of its own, which would be lost
    for known in KNOWN:
        allowed = known.marks | known.may | {"EOS"}
        if known.marks <= marks <= allowed and all(need in text for need in known.needs):
            return known
    return None


def _written(jinja: str) -> Iterator[str]:
    """Yield the texts that a template writes: those between its tags, and the literals in them."""
    at = 0
    for tag in _TAG.finditer(jinja):
        yield jinja[at : tag.start()].strip("\n")
        at = tag.end()
        if tag[1] != "#":
            yield from _literals(_RAISED.sub("", tag[2]))
    yield jinja[at:].strip("\n")


def _literals(code: str) -> Iterator[str]:
    for match in _TEXT.finditer(code):
        is_compared = _COMPARED.search(code, 0, match.start()) and _SUBJECT.match(code, match.end())
        is_word = re.search(r"(?:==|!=|\bin)\s*$", code[: match.start()])
        if not (is_compared or is_word):
            raw = match[1] if match[1] is not None else match[2]
            yield re.sub(r"\\(.)", lambda each: _ESCAPES.get(each[1], each[1]), raw)


def _marks(pieces: list[str]) -> Iterator[str]:
    for piece in pieces:
        for mark in _MARK.findall(piece):
            shown = mark.replace("### ", "###").replace("GPT4 Correct", "GPT4_Correct")
            if shown == "<|":
                yield "<|ROLE|>"
            elif shown != "|>" and shown not in _IGNORED:
                yield shown
