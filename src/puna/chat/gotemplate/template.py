"""A Go template, read once and carried out for each prompt."""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from puna.chat.gotemplate import nodes
from puna.chat.gotemplate.errors import BadTemplate
from puna.chat.gotemplate.execute import Limits, Program, execute
from puna.chat.gotemplate.functions import FUNCTION_NAMES, functions_on
from puna.chat.gotemplate.parser import Trees, parse
from puna.chat.gotemplate.values import Value

_MOST_TEXT = 2**20
_KEPT = 64


@dataclass(frozen=True, slots=True)
class GoTemplate:
    """A template: its text, its parts by name (its own is empty), and the names that it uses."""

    text: str
    trees: Trees
    names: frozenset[str]
    """Every field that it mentions, in lower case."""

    @property
    def root(self) -> nodes.Block:
        """Its own parts."""
        return self.trees[""]

    def render(self, values: Value, *, today: date, limits: Limits | None = None) -> str:
        """Return what it writes for some values. Raises `BadTemplate`."""
        program = Program(self.text, self.trees, functions_on(today))
        return execute(program, values, limits or Limits())


@lru_cache(maxsize=_KEPT)
def read_template(text: str) -> GoTemplate:
    """Read a template. Raises `BadTemplate`."""
    if len(text) > _MOST_TEXT:
        raise BadTemplate(f"the template is longer than {_MOST_TEXT} characters")
    trees = parse(text, FUNCTION_NAMES)
    names = frozenset[str]().union(*(nodes.names_in(tree) for tree in trees.values()))
    return GoTemplate(text, trees, names)
