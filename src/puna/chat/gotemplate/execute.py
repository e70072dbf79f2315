"""Carry a template out: one run, with its variables, its place for errors, and its limits.

A template comes with a model and may come with a request, so it is not trusted: a run stops after
so many steps and so much text, however its loops and templates are nested.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from puna.chat.gotemplate import nodes
from puna.chat.gotemplate.errors import (
    BadTemplate,
    CallFailed,
    NotAFunction,
    TemplateTooCostly,
)
from puna.chat.gotemplate.functions import Function
from puna.chat.gotemplate.printing import Form, shown, sprint
from puna.chat.gotemplate.quoting import quoted, to_bytes
from puna.chat.gotemplate.values import (
    MISSING,
    NO_VALUE,
    Boxed,
    GoMap,
    GoStruct,
    Value,
    ValueKind,
    entries_of,
    is_true,
    is_untyped,
    items_of,
    kind_of,
    sorted_keys,
    type_of,
    unboxed,
)

_MOST_DEPTH = 100
_CHARS_A_STEP = 256
"""Text costs steps too: copying it again and again takes time without end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one run may do."""

    steps: int = 3_000_000
    characters: int = 2**25


@dataclass(frozen=True, slots=True)
class Program:
    """A template that was read, with what it may call."""

    text: str
    trees: Mapping[str, nodes.Block]
    functions: Mapping[str, Function]


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


def execute(program: Program, values: Value, limits: Limits) -> str:
    """Return what a template writes. Raises `BadTemplate`."""
    run = _Run(program, limits)
    try:
        run.block(values, program.trees[""])
    except RecursionError as error:
        raise run.costly("it is nested too deeply") from error
    return "".join(run.written)


class _Run:
    def __init__(self, program: Program, limits: Limits) -> None:
        self._program = program
        self._steps = limits.steps
        self._characters = limits.characters
        self._limits = limits
        self._depth = 0
        self._name = ""
        self._node: nodes.Node | None = None
        self._variables: list[tuple[str, Value]] = []
        self.written: list[str] = []

    def block(self, dot: Value, block: nodes.Block) -> None:
        """Carry out parts one after the other."""
        if not self._variables:
            self._variables = [("$", dot)]
        for node in block.nodes:
            self._at(node)
            _STEPS[type(node)](self, dot, node)

    # What goes wrong, and where.

    def _error(self, message: str) -> BadTemplate:
        return BadTemplate(f"{self._where()}: {message}")

    def costly(self, message: str) -> TemplateTooCostly:
        """Return the error for a run that has to stop."""
        return TemplateTooCostly(f"the template was stopped: {message}")

    def _where(self) -> str:
        node = self._node
        name = self._name
        if node is None:
            return f"template: {name}"
        before = self._program.text[: node.place]
        line, start = before.count("\n") + 1, before.rfind("\n") + 1
        column = len(to_bytes(before[start:]))
        return f"template: :{line}:{column}: executing {quoted(name)} at <{node}>"

    def _at(self, node: nodes.Node) -> None:
        self._node = node
        self._spend(1)

    def _spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise self.costly(f"it took more than {self._limits.steps} steps")

    def _write(self, text: str) -> None:
        self._characters -= len(text)
        if self._characters < 0:
            raise self.costly(f"it wrote more than {self._limits.characters} characters")
        self._spend(len(text) // _CHARS_A_STEP)
        self.written.append(text)

    # The parts.

    def text(self, _dot: Value, node: nodes.Text) -> None:
        self._write(node.text)

    def action(self, dot: Value, node: nodes.Action) -> None:
        value = self._pipeline(dot, node.pipe)
        if not node.pipe.declared:
            self._node = node
            self._write(_printed(value))

    def branch(self, dot: Value, node: nodes.If | nodes.With) -> None:
        mark = len(self._variables)
        value = self._pipeline(dot, node.pipe)
        if is_true(value):
            self._inner(value if isinstance(node, nodes.With) else dot, node.body)
        elif node.otherwise is not None:
            self._inner(dot, node.otherwise)
        del self._variables[mark:]

    def _inner(self, dot: Value, block: nodes.Block) -> None:
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise self.costly(f"its parts call each other more than {_MOST_DEPTH} deep")
        self.block(dot, block)
        self._depth -= 1

    def loop(self, dot: Value, node: nodes.Range) -> None:
        mark = len(self._variables)
        value = self._pipeline(dot, node.pipe)
        inner = len(self._variables)
        depth, ran = self._depth, False
        for index, element in self._elements(value, node):
            ran = True
            self._spend(1)
            self._bind(node.pipe, index, element)
            try:
                self._inner(element, node.body)
            except _Continue:
                self._depth = depth
            except _Break:
                self._depth = depth
                break
            del self._variables[inner:]
        if not ran and node.otherwise is not None:
            self._inner(dot, node.otherwise)
        del self._variables[mark:]

    def _elements(self, value: Value, node: nodes.Range) -> Iterator[tuple[Value, Value]]:
        """Yield what a range goes through, each with its place or its key."""
        match kind_of(value):
            case ValueKind.LIST:
                is_boxed = is_untyped(value)
                for place, each in enumerate(items_of(value)):
                    yield place, Boxed(each) if is_boxed else each
            case ValueKind.MAP:
                is_boxed, entries = is_untyped(value), entries_of(value)
                self._spend(len(entries))
                for key in sorted_keys(value):
                    yield key, Boxed(entries[key]) if is_boxed else entries[key]
            case ValueKind.INT | ValueKind.UINT:
                if len(node.pipe.declared) > 1:
                    raise self._error(
                        f"can't use {shown(value)} to iterate over more than one variable"
                    )
                for number in range(int(value) if isinstance(value, int) else 0):
                    yield NO_VALUE, number
            case ValueKind.INVALID:
                return
            case _:
                raise self._error(f"range can't iterate over {shown(_pointee(value))}")

    def _bind(self, pipe: nodes.Pipe, index: Value, element: Value) -> None:
        bound = (element,) if len(pipe.declared) == 1 else (index, element)
        for place, variable in enumerate(pipe.declared):
            if pipe.is_assign:
                self._assign(variable.names[0], bound[place])
            else:
                at = len(self._variables) - len(pipe.declared) + place
                self._variables[at] = (variable.names[0], bound[place])

    def include(self, dot: Value, node: nodes.Include) -> None:
        tree = self._program.trees.get(node.name)
        if tree is None:
            raise self._error(f"template {quoted(node.name)} not defined")
        value = self._pipeline(dot, node.pipe) if node.pipe else NO_VALUE
        outer, name = self._variables, self._name
        self._variables, self._name = [("$", value)], node.name
        self._inner(value, tree)
        self._variables, self._name = outer, name

    def leave(self, _dot: Value, node: nodes.Break | nodes.Continue) -> None:
        raise _Break if isinstance(node, nodes.Break) else _Continue

    # Values.

    def _pipeline(self, dot: Value, pipe: nodes.Pipe) -> Value:
        self._at(pipe)
        value: Value = MISSING
        for command in pipe.commands:
            value = unboxed(self._command(dot, command, value))
        for variable in pipe.declared:
            if pipe.is_assign:
                self._assign(variable.names[0], value)
            else:
                self._variables.append((variable.names[0], value))
        return value

    def _assign(self, name: str, value: Value) -> None:
        for at in range(len(self._variables) - 1, -1, -1):
            if self._variables[at][0] == name:
                self._variables[at] = (name, value)
                return
        raise self._error(f"undefined variable: {name}")

    def _command(self, dot: Value, command: nodes.Command, final: Value) -> Value:
        first, given = command.args[0], command.args[1:]
        if isinstance(first, nodes.Identifier):
            self._at(first)
            return self._function(dot, first, command, final)
        if isinstance(first, nodes.Field | nodes.Chain | nodes.Variable):
            return self._named(dot, first, has_args=bool(given) or final is not MISSING)
        if not isinstance(first, nodes.Pipe):
            self._at(first)
        if given or final is not MISSING:
            raise self._error(f"can't give argument to non-function {first}")
        if isinstance(first, nodes.Nil):
            raise self._error("nil is not a command")
        return self._plain(dot, first)

    def _plain(self, dot: Value, node: nodes.Node) -> Value:
        match node:
            case nodes.Pipe():
                return self._pipeline(dot, node)
            case nodes.Dot():
                return dot
            case nodes.Constant(value=None):
                raise self._error(f"{node.written} overflows int")
            case nodes.Constant():
                return node.value
        raise self._error(f"can't evaluate command {quoted(str(node))}")

    def _named(
        self, dot: Value, node: nodes.Field | nodes.Chain | nodes.Variable, *, has_args: bool
    ) -> Value:
        self._at(node)
        receiver, names = dot, node.names
        if isinstance(node, nodes.Variable):
            receiver, names = self._variable(names[0]), names[1:]
            if not names and has_args:
                raise self._error(f"can't give argument to non-function {node}")
        elif isinstance(node, nodes.Chain):
            if isinstance(node.node, nodes.Nil):
                raise self._error(f"indirection through explicit nil in {node}")
            receiver = unboxed(self._argument(dot, node.node))
        for place, name in enumerate(names, 1):
            receiver = self._field(receiver, name, has_args=has_args and place == len(names))
        return receiver

    def _variable(self, name: str) -> Value:
        for known, value in reversed(self._variables):
            if known == name:
                return value
        raise self._error(f"undefined variable: {name}")

    def _field(self, receiver: Value, name: str, *, has_args: bool) -> Value:
        if receiver is NO_VALUE or receiver is None:
            return NO_VALUE
        go_type = type_of(receiver)
        inner = unboxed(receiver)
        if inner is NO_VALUE:
            raise self._error(f"nil pointer evaluating {go_type}.{name}")
        if isinstance(inner, GoStruct):
            return self._struct_field(inner, go_type, name, has_args=has_args)
        if kind_of(inner) is ValueKind.MAP:
            return self._map_field(inner, name, has_args=has_args)
        raise self._error(f"can't evaluate field {name} in type {go_type}")

    def _map_field(self, receiver: Value, name: str, *, has_args: bool) -> Value:
        if has_args:
            raise self._error(f"{name} is not a method but has arguments")
        entries = entries_of(receiver)
        if isinstance(receiver, GoMap):
            if name == "String" and receiver.text:
                return receiver.text()
            return entries.get(name, receiver.zero)
        return Boxed(entries.get(name))

    def _struct_field(
        self, receiver: GoStruct, go_type: str, name: str, *, has_args: bool
    ) -> Value:
        if method := receiver.methods.get(name):
            return method()
        if name == "String" and receiver.text:
            return receiver.text()
        if name not in receiver.fields:
            raise self._error(f"can't evaluate field {name} in type {go_type}")
        if has_args:
            raise self._error(f"{name} has arguments but cannot be invoked as function")
        value = receiver.fields[name]
        return Boxed(value) if value is None or isinstance(value, list | dict) else value

    # Functions.

    def _argument(self, dot: Value, node: nodes.Node) -> Value:
        self._at(node)
        match node:
            case nodes.Nil():
                return None
            case nodes.Field() | nodes.Chain() | nodes.Variable():
                return self._named(dot, node, has_args=False)
            case nodes.Identifier():
                return self._function(dot, node, nodes.Command(node.place, (node,)), MISSING)
        return self._plain(dot, node)

    def _text_argument(self, dot: Value, node: nodes.Node) -> Value:
        """Return an argument that has to be a text."""
        self._at(node)
        if isinstance(node, nodes.Nil):
            raise self._error("cannot assign nil to string")
        if isinstance(node, nodes.Constant) and not isinstance(node.value, str):
            raise self._error(f"expected string; found {node}")
        return self._checked_text(self._argument(dot, node))

    def _checked_text(self, value: Value) -> Value:
        inner = unboxed(value)
        if isinstance(inner, str):
            return inner
        if inner is NO_VALUE and not isinstance(value, Boxed):
            raise self._error("invalid value; expected string")
        raise self._error(f"wrong type for value; expected string; got {_type_name(inner)}")

    def _function(
        self, dot: Value, node: nodes.Identifier, command: nodes.Command, final: Value
    ) -> Value:
        name, given = node.name, command.args[1:]
        function = self._program.functions[name]
        total = len(given) + (final is not MISSING)
        if function.is_variadic and total < function.fixed:
            raise self._error(
                f"wrong number of args for {name}: want at least {function.fixed} got {len(given)}"
            )
        if not function.is_variadic and total != function.fixed:
            raise self._error(f"wrong number of args for {name}: want {function.fixed} got {total}")
        if name in {"and", "or"}:
            return self._shortcut(dot, name, given, final)
        texts = total if function.takes_text < 0 else function.takes_text
        values = [
            self._text_argument(dot, each) if place < texts else self._argument(dot, each)
            for place, each in enumerate(given)
        ]
        if final is not MISSING:
            values.append(self._checked_text(final) if len(given) < texts else final)
        return self._called(name, function, values, command)

    def _called(
        self, name: str, function: Function, values: Sequence[Value], command: nodes.Command
    ) -> Value:
        try:
            value = function.call(values)
        except NotAFunction as error:
            self._node = command
            callee = command.args[1] if len(command.args) > 1 else shown(values[0], Form("s"))
            raise self._error(
                f"error calling call: non-function {callee} of type {error}"
            ) from error
        except CallFailed as error:
            self._node = command if len(command.args) > 1 else command.args[0]
            raise self._error(f"error calling {name}: {error}") from error
        if isinstance(value, str):
            if len(value) > self._limits.characters:
                raise self.costly(f"it made a text of {len(value)} characters")
            self._spend(len(value) // _CHARS_A_STEP)
        return value

    def _shortcut(self, dot: Value, name: str, given: Sequence[nodes.Node], final: Value) -> Value:
        """Return the first value that decides, and compute no more."""
        value: Value = NO_VALUE
        for each in given:
            value = unboxed(self._argument(dot, each))
            if is_true(value) == (name == "or"):
                return value
        return value if final is MISSING else final


def _pointee(value: Value) -> Value:
    if isinstance(value, GoStruct) and value.is_pointer:
        return GoStruct(value.go_type, value.fields, value.json, value.text, value.methods)
    return value


def _type_name(value: Value) -> str:
    return "interface {}" if value is NO_VALUE else type_of(value)


def _printed(value: Value) -> str:
    if value is NO_VALUE:
        return "<no value>"
    return value if isinstance(value, str) else sprint([_pointee(value)])


_STEPS: Mapping[type, Callable[..., None]] = {
    nodes.Text: _Run.text,
    nodes.Action: _Run.action,
    nodes.If: _Run.branch,
    nodes.With: _Run.branch,
    nodes.Range: _Run.loop,
    nodes.Include: _Run.include,
    nodes.Break: _Run.leave,
    nodes.Continue: _Run.leave,
}
