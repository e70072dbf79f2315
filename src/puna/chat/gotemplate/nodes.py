"""The parts of a template that was read, each of which can be written back as Go writes it."""

from collections.abc import Iterator
from dataclasses import dataclass

from puna.chat.gotemplate.quoting import quoted


@dataclass(frozen=True, slots=True)
class Node:
    """A part, and where in the text it starts."""

    place: int


@dataclass(frozen=True, slots=True)
class Text(Node):
    """What is written out as it is."""

    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Field(Node):
    """`.A.B`: a field of the dot, and fields of that."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


@dataclass(frozen=True, slots=True)
class Variable(Node):
    """`$x.A`: a variable, and fields of it."""

    names: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.names)


@dataclass(frozen=True, slots=True)
class Identifier(Node):
    """The name of a function."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Dot(Node):
    """`.`: what is being looked at."""

    def __str__(self) -> str:
        return "."


@dataclass(frozen=True, slots=True)
class Nil(Node):
    """`nil`: nothing."""

    def __str__(self) -> str:
        return "nil"


@dataclass(frozen=True, slots=True)
class Constant(Node):
    """A number, a text or a truth value, with how it was written."""

    value: float | complex | str | None
    """None for a whole number beyond 64 bits."""
    written: str

    def __str__(self) -> str:
        return self.written


@dataclass(frozen=True, slots=True)
class Chain(Node):
    """`(...).A`: fields of a value."""

    node: Node
    names: tuple[str, ...]

    def __str__(self) -> str:
        inner = f"({self.node})" if isinstance(self.node, Pipe) else str(self.node)
        return inner + "".join(f".{name}" for name in self.names)


@dataclass(frozen=True, slots=True)
class Command(Node):
    """A value, or a function with its arguments."""

    args: tuple[Node, ...]

    def __str__(self) -> str:
        return " ".join(f"({each})" if isinstance(each, Pipe) else str(each) for each in self.args)


@dataclass(frozen=True, slots=True)
class Pipe(Node):
    """Commands, each given the result of the one before it as its last argument."""

    declared: tuple[Variable, ...]
    is_assign: bool
    commands: tuple[Command, ...]

    def __str__(self) -> str:
        body = " | ".join(map(str, self.commands))
        if not self.declared:
            return body
        sign = "=" if self.is_assign else ":="
        return f"{', '.join(map(str, self.declared))} {sign} {body}"


@dataclass(frozen=True, slots=True)
class Block(Node):
    """Parts that follow one another."""

    nodes: tuple[Node, ...]

    def __str__(self) -> str:
        return "".join(map(str, self.nodes))


@dataclass(frozen=True, slots=True)
class Action(Node):
    """`{{ ... }}`: a value to write, or to keep in a variable."""

    pipe: Pipe

    def __str__(self) -> str:
        return f"{{{{{self.pipe}}}}}"


@dataclass(frozen=True, slots=True)
class Branch(Node):
    """What `if`, `with` and `range` share."""

    pipe: Pipe
    body: Block
    otherwise: Block | None

    def written(self, word: str) -> str:
        """Return the part as text."""
        rest = f"{{{{else}}}}{self.otherwise}" if self.otherwise else ""
        return f"{{{{{word} {self.pipe}}}}}{self.body}{rest}{{{{end}}}}"


@dataclass(frozen=True, slots=True)
class If(Branch):
    """`{{ if }}`."""

    def __str__(self) -> str:
        return self.written("if")


@dataclass(frozen=True, slots=True)
class With(Branch):
    """`{{ with }}`: as `if`, and the value becomes the dot."""

    def __str__(self) -> str:
        return self.written("with")


@dataclass(frozen=True, slots=True)
class Range(Branch):
    """`{{ range }}`: once for each element."""

    def __str__(self) -> str:
        return self.written("range")


@dataclass(frozen=True, slots=True)
class Include(Node):
    """`{{ template "name" value }}`."""

    name: str
    pipe: Pipe | None

    def __str__(self) -> str:
        value = f" {self.pipe}" if self.pipe else ""
        return f"{{{{template {quoted(self.name)}{value}}}}}"


@dataclass(frozen=True, slots=True)
class Break(Node):
    """`{{ break }}`."""

    def __str__(self) -> str:
        return "{{break}}"


@dataclass(frozen=True, slots=True)
class Continue(Node):
    """`{{ continue }}`."""

    def __str__(self) -> str:
        return "{{continue}}"


def parts_of(node: Node) -> tuple[Node, ...]:
    """Return what a part is made of, in the order of the text."""
    found: tuple[Node | None, ...] = ()
    match node:
        case Branch():
            found = (node.pipe, node.body, node.otherwise)
        case Block():
            found = node.nodes
        case Action() | Include():
            found = (node.pipe,)
        case Pipe():
            found = node.commands
        case Command():
            found = node.args
        case Chain():
            found = (node.node,)
    return tuple(part for part in found if part is not None)


def walk(node: Node) -> Iterator[Node]:
    """Yield a part and all parts within it."""
    yield node
    for part in parts_of(node):
        yield from walk(part)


def names_in(node: Node) -> frozenset[str]:
    """Return every field name that a part uses, in lower case, as Ollama compares them."""
    return frozenset(
        name.lower()
        for part in walk(node)
        if isinstance(part, Field | Variable | Chain)
        for name in part.names
    )
