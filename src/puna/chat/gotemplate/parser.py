"""From the words of a template to its parts, with the complaints that Go has about it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

from puna.chat.gotemplate import nodes
from puna.chat.gotemplate.errors import BadTemplate
from puna.chat.gotemplate.lexer import Kind, Token, tokens
from puna.chat.gotemplate.numbers import read_number
from puna.chat.gotemplate.quoting import quoted, unquote

_MOST_NESTED = 80
_OPERANDS = frozenset(
    {
        Kind.BOOL, Kind.CHARACTER, Kind.COMPLEX, Kind.DOT, Kind.FIELD, Kind.IDENTIFIER,
        Kind.NUMBER, Kind.NIL, Kind.RAW_STRING, Kind.STRING, Kind.VARIABLE, Kind.LEFT_PAREN,
    }
)  # fmt: skip
_STRINGS = frozenset({Kind.STRING, Kind.RAW_STRING})
_BRANCHES = {"if": nodes.If, "with": nodes.With, "range": nodes.Range}


@dataclass(frozen=True, slots=True)
class _End(nodes.Node):
    def __str__(self) -> str:
        return "{{end}}"


@dataclass(frozen=True, slots=True)
class _Else(nodes.Node):
    def __str__(self) -> str:
        return "{{else}}"


Trees = dict[str, nodes.Block]


def parse(text: str, functions: Collection[str]) -> Trees:
    """Return the parts of a template by name; its own name is empty. Raises `BadTemplate`."""
    trees: Trees = {}
    words = _Words(text)
    try:
        _Parser(words, functions, trees).parse()
    except RecursionError as error:
        raise words.complaint("max expression depth exceeded") from error
    return trees


class _Words:
    """The words still to come, of which three can be put back."""

    def __init__(self, text: str) -> None:
        self._source = tokens(text)
        self._back: list[Token] = []
        self._newest = Token(Kind.EOF, 0, "", 0)

    def next(self) -> Token:
        if self._back:
            return self._back.pop()
        self._newest = next(self._source, self._newest)
        return self._newest

    def back(self, *words: Token) -> None:
        self._back += reversed(words)

    def peek(self) -> Token:
        word = self.next()
        self.back(word)
        return word

    def next_word(self) -> Token:
        while (word := self.next()).kind is Kind.SPACE:
            pass
        return word

    def peek_word(self) -> Token:
        word = self.next_word()
        self.back(word)
        return word

    def complaint(self, message: str) -> BadTemplate:
        return BadTemplate(f"template: :{self._newest.line}: {message}")


class _Parser:
    """Reads one template: the whole text, or a definition in it."""

    def __init__(self, words: _Words, functions: Collection[str], trees: Trees) -> None:
        self._words = words
        self._functions = functions
        self._trees = trees
        self._variables = ["$"]
        self._ranges = 0
        self._nested = 0
        self._action_line = 0

    def parse(self) -> None:
        """Read to the end."""
        root: list[nodes.Node] = []
        words = self._words
        start = words.peek().start
        while (word := words.peek()).kind is not Kind.EOF:
            if word.kind is Kind.LEFT_DELIM:
                words.next()
                first = words.next_word()
                if first.kind is Kind.DEFINE:
                    _Parser(words, self._functions, self._trees).define()
                    continue
                words.back(word, first)
            node = self._text_or_action()
            if isinstance(node, _End | _Else):
                raise words.complaint(f"unexpected {node}")
            root.append(node)
        self._add("", nodes.Block(start, tuple(root)))

    def define(self) -> None:
        """Read `define "name"` up to its `end`."""
        name = self._template_name(self._words.next_word(), "define clause")
        self._expect(Kind.RIGHT_DELIM, "define clause")
        self._add(name, self._closed("define clause"))

    def _closed(self, context: str) -> nodes.Block:
        body, end = self._list()
        if not isinstance(end, _End):
            raise self._words.complaint(f"unexpected {end} in {context}")
        return body

    def _add(self, name: str, tree: nodes.Block) -> None:
        known = self._trees.get(name)
        if known is None or _is_empty(known):
            self._trees[name] = tree
        elif not _is_empty(tree):
            raise self._words.complaint(f"template: multiple definition of template {quoted(name)}")

    def _expect(self, kind: Kind, context: str) -> Token:
        word = self._words.next_word()
        if word.kind is not kind:
            raise self._unexpected(word, context)
        return word

    def _unexpected(self, word: Token, context: str) -> BadTemplate:
        if word.kind is not Kind.ERROR:
            return self._words.complaint(f"unexpected {word} in {context}")
        extra = ""
        if self._action_line and self._action_line != word.line:
            started = f" started at :{self._action_line}"
            extra = started if word.text.endswith(" action") else f" in action{started}"
        return self._words.complaint(f"{word}{extra}")

    def _list(self) -> tuple[nodes.Block, nodes.Node]:
        start = self._words.peek_word().start
        found: list[nodes.Node] = []
        while self._words.peek_word().kind is not Kind.EOF:
            node = self._text_or_action()
            if isinstance(node, _End | _Else):
                return nodes.Block(start, tuple(found)), node
            found.append(node)
        raise self._words.complaint("unexpected EOF")

    def _text_or_action(self) -> nodes.Node:
        word = self._words.next_word()
        if word.kind is Kind.TEXT:
            return nodes.Text(word.start, word.text)
        if word.kind is not Kind.LEFT_DELIM:
            raise self._unexpected(word, "input")
        self._action_line = word.line
        self._nested += 1
        if self._nested > _MOST_NESTED:
            raise self._words.complaint(f"nested deeper than {_MOST_NESTED} levels")
        try:
            return self._action()
        finally:
            self._action_line = 0
            self._nested -= 1

    def _action(self) -> nodes.Node:
        word = self._words.next_word()
        if control := self._CONTROLS.get(word.kind):
            return control(self, word)
        self._words.back(word)
        return nodes.Action(word.start, self._pipeline("command", Kind.RIGHT_DELIM))

    def _leave(self, word: Token) -> nodes.Node:
        after = self._words.next_word()
        if after.kind is not Kind.RIGHT_DELIM:
            raise self._unexpected(after, f"{{{{{word.text}}}}}")
        if not self._ranges:
            raise self._words.complaint(f"{{{{{word.text}}}}} outside {{{{range}}}}")
        return (nodes.Break if word.kind is Kind.BREAK else nodes.Continue)(word.start)

    def _else(self, _word: Token) -> nodes.Node:
        after = self._words.peek_word()
        if after.kind in {Kind.IF, Kind.WITH}:
            return _Else(after.start)
        return _Else(self._expect(Kind.RIGHT_DELIM, "else").start)

    def _end(self, _word: Token) -> nodes.Node:
        return _End(self._expect(Kind.RIGHT_DELIM, "end").start)

    def _control(self, word: Token) -> nodes.Node:
        return self._branch(word.text)

    def _branch(self, word: str) -> nodes.Branch:
        known = len(self._variables)
        pipe = self._pipeline(word, Kind.RIGHT_DELIM)
        self._ranges += word == "range"
        body, end = self._list()
        self._ranges -= word == "range"
        otherwise = self._otherwise(word, end) if isinstance(end, _Else) else None
        del self._variables[known:]
        return _BRANCHES[word](pipe.place, pipe, body, otherwise)

    def _otherwise(self, word: str, end: nodes.Node) -> nodes.Block:
        chained = self._words.peek()
        if word in {"if", "with"} and chained.text == word and chained.kind is not Kind.TEXT:
            self._words.next()
            self._nested += 1
            if self._nested > _MOST_NESTED:
                raise self._words.complaint(f"nested deeper than {_MOST_NESTED} levels")
            block = nodes.Block(end.place, (self._branch(word),))
            self._nested -= 1
            return block
        body, last = self._list()
        if not isinstance(last, _End):
            raise self._words.complaint(f"expected end; found {last}")
        return body

    def _block(self, _word: Token) -> nodes.Node:
        word = self._words.next_word()
        name = self._template_name(word, "block clause")
        pipe = self._pipeline("block clause", Kind.RIGHT_DELIM)
        inner = _Parser(self._words, self._functions, self._trees)
        inner._nested = self._nested
        self._add(name, inner._closed("block clause"))
        return nodes.Include(word.start, name, pipe)

    def _include(self, _word: Token) -> nodes.Node:
        word = self._words.next_word()
        name = self._template_name(word, "template clause")
        after = self._words.next_word()
        if after.kind is Kind.RIGHT_DELIM:
            return nodes.Include(word.start, name, None)
        self._words.back(after)
        pipe = self._pipeline("template clause", Kind.RIGHT_DELIM)
        return nodes.Include(word.start, name, pipe)

    def _template_name(self, word: Token, context: str) -> str:
        if word.kind not in _STRINGS:
            raise self._unexpected(word, context)
        return self._unquoted(word)

    def _unquoted(self, word: Token) -> str:
        try:
            return unquote(word.text)
        except ValueError as error:
            raise self._words.complaint("invalid syntax") from error

    def _pipeline(self, context: str, end: Kind) -> nodes.Pipe:
        start = self._words.peek_word().start
        declared, is_assign = self._declarations(context)
        commands: list[nodes.Command] = []
        while (word := self._words.next_word()).kind is not end:
            if word.kind not in _OPERANDS:
                raise self._unexpected(word, context)
            self._words.back(word)
            commands.append(self._command())
        if not commands:
            raise self._words.complaint(f"missing value for {context}")
        for stage, command in enumerate(commands[1:], 2):
            if isinstance(command.args[0], nodes.Constant | nodes.Dot | nodes.Nil):
                raise self._words.complaint(f"non executable command in pipeline stage {stage}")
        return nodes.Pipe(start, declared, is_assign, tuple(commands))

    def _declarations(self, context: str) -> tuple[tuple[nodes.Variable, ...], bool]:
        """Read `$x :=`, `$x =`, or `$i, $x :=`; the second variable of a range may be absent."""
        found: list[nodes.Variable] = []
        words = self._words
        while (word := words.peek_word()).kind is Kind.VARIABLE:
            words.next_word()
            after = words.next()
            sign = words.next_word() if after.kind is Kind.SPACE else after
            if sign.kind in {Kind.ASSIGN, Kind.DECLARE}:
                found.append(self._declare(word))
                return tuple(found), sign.kind is Kind.ASSIGN
            if not (sign.kind is Kind.CHAR and sign.text == ","):
                words.back(word, *((after,) if after.kind is Kind.SPACE else ()), sign)
                break
            found.append(self._declare(word))
            if context != "range" or len(found) > 1:
                raise words.complaint(f"too many declarations in {context}")
            if words.peek_word().kind not in {Kind.VARIABLE, Kind.RIGHT_DELIM, Kind.RIGHT_PAREN}:
                raise words.complaint("range can only initialize variables")
        return tuple(found), False

    def _declare(self, word: Token) -> nodes.Variable:
        self._variables.append(word.text)
        return nodes.Variable(word.start, (word.text,))

    def _command(self) -> nodes.Command:
        start = self._words.peek_word().start
        args: list[nodes.Node] = []
        while True:
            self._words.peek_word()
            if (operand := self._operand()) is not None:
                args.append(operand)
            word = self._words.next()
            if word.kind is Kind.SPACE:
                continue
            if word.kind in {Kind.RIGHT_DELIM, Kind.RIGHT_PAREN}:
                self._words.back(word)
            elif word.kind is not Kind.PIPE:
                raise self._unexpected(word, "operand")
            break
        if not args:
            raise self._words.complaint("empty command")
        return nodes.Command(start, tuple(args))

    def _operand(self) -> nodes.Node | None:
        node = self._term()
        if node is None or self._words.peek().kind is not Kind.FIELD:
            return node
        start, names = self._words.peek().start, []
        while self._words.peek().kind is Kind.FIELD:
            names.append(self._words.next().text[1:])
        if isinstance(node, nodes.Field):
            return nodes.Field(start, (*node.names, *names))
        if isinstance(node, nodes.Variable):
            return nodes.Variable(start, (*node.names, *names))
        if isinstance(node, nodes.Constant | nodes.Nil | nodes.Dot):
            raise self._words.complaint(f"unexpected . after term {quoted(str(node))}")
        return nodes.Chain(start, node, tuple(names))

    def _term(self) -> nodes.Node | None:
        word = self._words.next_word()
        if term := self._TERMS.get(word.kind):
            return term(self, word)
        self._words.back(word)
        return None

    def _identifier(self, word: Token) -> nodes.Node:
        if word.text not in self._functions:
            raise self._words.complaint(f"function {quoted(word.text)} not defined")
        return nodes.Identifier(word.start, word.text)

    def _variable(self, word: Token) -> nodes.Node:
        if word.text not in self._variables:
            raise self._words.complaint(f"undefined variable {quoted(word.text)}")
        return nodes.Variable(word.start, (word.text,))

    def _string(self, word: Token) -> nodes.Node:
        return nodes.Constant(word.start, self._unquoted(word), word.text)

    def _number(self, word: Token) -> nodes.Node:
        try:
            return nodes.Constant(word.start, read_number(word.text), word.text)
        except ValueError as error:
            raise self._words.complaint(str(error)) from error

    def _parenthesis(self, _word: Token) -> nodes.Node:
        if self._nested >= _MOST_NESTED:
            raise self._words.complaint("max expression depth exceeded")
        self._nested += 1
        pipe = self._pipeline("parenthesized pipeline", Kind.RIGHT_PAREN)
        self._nested -= 1
        return pipe

    _CONTROLS: ClassVar[Mapping[Kind, Callable[["_Parser", Token], nodes.Node]]] = {
        Kind.BLOCK: _block,
        Kind.BREAK: _leave,
        Kind.CONTINUE: _leave,
        Kind.ELSE: _else,
        Kind.END: _end,
        Kind.IF: _control,
        Kind.RANGE: _control,
        Kind.WITH: _control,
        Kind.TEMPLATE: _include,
    }
    _TERMS: ClassVar[Mapping[Kind, Callable[["_Parser", Token], nodes.Node]]] = {
        Kind.IDENTIFIER: _identifier,
        Kind.DOT: lambda _, word: nodes.Dot(word.start),
        Kind.NIL: lambda _, word: nodes.Nil(word.start),
        Kind.VARIABLE: _variable,
        Kind.FIELD: lambda _, word: nodes.Field(word.start, (word.text[1:],)),
        Kind.BOOL: lambda _, word: nodes.Constant(word.start, word.text == "true", word.text),
        Kind.LEFT_PAREN: _parenthesis,
        Kind.CHARACTER: _number,
        Kind.COMPLEX: _number,
        Kind.NUMBER: _number,
        Kind.STRING: _string,
        Kind.RAW_STRING: _string,
    }


def _is_empty(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Block):
        return all(map(_is_empty, node.nodes))
    return isinstance(node, nodes.Text) and not node.text.strip()
