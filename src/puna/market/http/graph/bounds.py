"""How large a query may be. Everything is counted before anything is checked or done.

A query is read by a parser that calls itself and checked by rules that compare fields in pairs, so
neither may see a text that is deep or has many fields. The largest that RunPod's own clients send
has 70 fields, four deep; pods with 50 variables written into the text have 500 tokens.
"""

from collections.abc import Mapping, Sequence

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    GraphQLSyntaxError,
    InlineFragmentNode,
    Lexer,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    Source,
    TokenKind,
)
from graphql.language.ast import FieldNode, FragmentSpreadNode

from puna.errors import Invalid
from puna.wire.stored import storable

MOST_BYTES = 512 * 1024
"""Of a request. A template's read-me travels in one."""
MOST_TOKENS = 2500
MOST_DEPTH = 24
"""Of brackets of any kind, and of a value within the variables."""
MOST_FIELDS = 300
"""Of all operations, and of all fragments, those within them written out."""
MOST_TEXT = 128 * 1024
"""Bytes of one value."""
MOST_ROWS = 1000
"""Values of one list that is sent."""
MOST_HOSTS = 50_000
"""That one request may look at, each as often as it asks for a price."""
MOST_QUERIES = 20
"""Fields at the top, each of which may ask the database."""
MOST_CHANGES = 10

_OPENS = frozenset({TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L})
_CLOSES = frozenset({TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R})


class QueryTooLarge(Invalid):
    """The query is larger than any client's; ask for less, or ask twice."""

    code = "query_too_large"


class InvalidWords(Invalid):
    """A value that was sent cannot be kept."""

    code = "invalid_words"


def check_text(text: str) -> None:
    """Raise `QueryTooLarge` for a text that no parser should see.

    A text that is no GraphQL passes: the parser says what is wrong with it.
    """
    lexer = Lexer(Source(text))
    depth = 0
    try:
        for _ in range(MOST_TOKENS):
            kind = lexer.advance().kind
            if kind is TokenKind.EOF:
                return
            depth += (kind in _OPENS) - (kind in _CLOSES)
            if depth > MOST_DEPTH:
                raise QueryTooLarge(f"the query is more than {MOST_DEPTH} brackets deep")
    except GraphQLSyntaxError:
        return
    raise QueryTooLarge(f"the query has more than {MOST_TOKENS} words and signs")


def check_variables(value: object) -> None:
    """Raise `QueryTooLarge` where a value is nested too deeply to be read."""
    level = [value]
    for _ in range(MOST_DEPTH):
        level = [inner for each in level for inner in _within(each)]
        if not level:
            return
    raise QueryTooLarge(f"the variables are more than {MOST_DEPTH} levels deep")


def check_words(value: object) -> None:
    """Raise `InvalidWords` for texts that no database keeps, and for lists beyond measure."""
    if isinstance(value, str) and not is_storable(value):
        raise InvalidWords("a text has a zero byte or half a character in it, or is too long")
    inner = _within(value)
    if len(inner) > MOST_ROWS:
        raise QueryTooLarge(f"a list of more than {MOST_ROWS} values")
    for each in inner:
        check_words(each)


def is_storable(text: str) -> bool:
    """Tell whether every database keeps a text."""
    try:
        return len(storable(text).encode()) <= MOST_TEXT
    except ValueError:
        return False


def check_document(document: DocumentNode) -> None:
    """Raise `QueryTooLarge` for too many fields. Fragments that contain themselves are cut."""
    fragments = {
        each.name.value: each
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    fields = _Fields(fragments)
    asked = kept = 0
    for each in document.definitions:
        if isinstance(each, OperationDefinitionNode):
            _check_top(each, fields)
            asked = _counted(each.selection_set, fields, asked)
        if isinstance(each, FragmentDefinitionNode):  # checked also where nothing uses it
            kept = _counted(each.selection_set, fields, kept)


def _check_top(operation: OperationDefinitionNode, fields: "_Fields") -> None:
    is_change = operation.operation is OperationType.MUTATION
    most = MOST_CHANGES if is_change else MOST_QUERIES
    if len(fields.of(operation.selection_set)) > most:
        raise QueryTooLarge(f"more than {most} fields at the top of one request")


def _counted(selection: SelectionSetNode, fields: "_Fields", counted: int) -> int:
    """Return how many fields there are with those of a selection. Raises `QueryTooLarge`."""
    level = fields.of(selection)
    for _ in range(MOST_DEPTH):
        counted += len(level)
        if counted > MOST_FIELDS:
            raise QueryTooLarge(f"more than {MOST_FIELDS} fields in one request")
        level = [inner for each in level for inner in fields.of(each.selection_set)]
    return counted


class _Fields:
    """Says which fields stand in a selection, each fragment that it spreads written out."""

    def __init__(self, fragments: Mapping[str, FragmentDefinitionNode]) -> None:
        self._fragments = fragments

    def of(self, selection: SelectionSetNode | None) -> Sequence[FieldNode]:
        """Return the fields; no more of them than are too many."""
        found: list[FieldNode] = []
        self._add(selection, found, ())
        return found

    def _add(
        self, selection: SelectionSetNode | None, found: list[FieldNode], within: tuple[str, ...]
    ) -> None:
        for each in selection.selections if selection else ():
            if len(found) > MOST_FIELDS:
                return
            if isinstance(each, FieldNode):
                found.append(each)
            if isinstance(each, InlineFragmentNode):
                self._add(each.selection_set, found, within)
            if isinstance(each, FragmentSpreadNode) and each.name.value not in within:
                inner = self._fragments.get(each.name.value)
                name = each.name.value
                self._add(inner.selection_set if inner else None, found, (*within, name))


def _within(value: object) -> Sequence[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else ()
