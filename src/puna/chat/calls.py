"""The ways in which families of models write a call of a function: what comes after each mark.

The formats are those of the models' own chat templates. Whatever is written otherwise raises
`Broken`, and is content.
"""

import ast
import keyword
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from puna.chat.messages import Json, Tool
from puna.chat.tape import Broken, Reading, Tape, parsed, written

Call = tuple[str, Mapping[str, object]]
"""The name of a function and its arguments, in the order in which they were written."""
_NAME = re.compile(r"[\w.\-/:]{1,256}")
_NAME_KEYS = ("name", "tool_name", "function", "tool")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input")
_FIRST_KEY = re.compile(r'[\[{\s]*"(\w*)("?)')
_KNOWN_KEYS = (*_NAME_KEYS, *_ARGUMENT_KEYS, "type", "id", "tool_call_id")
_KEYWORD = re.compile(rf"([(,]\s*)({'|'.join(keyword.kwlist)})\s*=(?!=)")
"""A word of Python's own where an argument's name stands, as in `f(from="Oslo")`."""
_CODE_TOOLS = ("python", "ipython", "code_interpreter")
_LONGEST_NAME = 300


def read_calls(tape: Tape, mark: str, tools: Sequence[Tool]) -> Reading[Sequence[Call]]:
    """Read what follows a mark. Raises `Broken`."""
    reader = READERS.get(mark, _learned)
    return (yield from reader(tape, tools))


def read_bare(tape: Tape, tools: Sequence[Tool]) -> Reading[Sequence[Call]]:
    """Read a call without a mark: JSON that names a known function. Raises `Broken`."""
    yield from tape.space()
    fence = yield from tape.accept("```json", "```")
    yield from tape.space()
    yield from _first_key_is_of_a_call(tape)
    calls = calls_in((yield from tape.json()))
    names = {tool.name for tool in tools}
    if not calls or any(name not in names for name, _ in calls):
        _broken("no known function")
    if fence:
        yield from tape.space()
        yield from tape.accept("```")
    return calls


def _first_key_is_of_a_call(tape: Tape) -> Reading[None]:
    """Let other JSON pass at its first key, so that it is shown while it is written."""
    start = tape.at
    while True:
        text = tape.text[start:]
        if text.lstrip("[{ \n\t\r") == text and (text or tape.is_over):
            _broken("no JSON")
        found = _FIRST_KEY.match(text)
        if found and found[2]:
            if found[1] not in _KNOWN_KEYS:
                _broken("no call")
            return
        rest = text.lstrip("[{ \n\t\r")
        key = found[1] if found else ""
        grows = any(each.startswith(key) for each in _KNOWN_KEYS)
        if tape.is_over or (rest and found is None) or not grows:
            _broken("no call")
        if found and found.end() < len(text):
            _broken("no call")
        yield


def calls_in(value: object) -> Sequence[Call]:
    """Return the calls that a JSON value describes. Raises `Broken`."""
    if isinstance(value, list):
        return [call for each in value for call in calls_in(each)]
    if not isinstance(value, dict):
        _broken("no object")
    if isinstance(inner := value.get("function"), dict):
        return calls_in(inner)
    name = next((value[key] for key in _NAME_KEYS if isinstance(value.get(key), str)), "")
    if name == "directly_answer":
        return []
    key = next((key for key in _ARGUMENT_KEYS if key in value), "")
    if not name or (not key and len(value) > 1):
        _broken("no name or no arguments")
    return [(_checked(name), _object(value.get(key)))]


def _object(arguments: object) -> Mapping[str, object]:
    """Return arguments, which some models write as JSON within JSON."""
    if isinstance(arguments, str):
        arguments = parsed(arguments or "{}")
    if arguments is None:
        return {}
    return arguments if isinstance(arguments, dict) else _broken("arguments are no object")


def _checked(name: str) -> str:
    name = name.strip().removeprefix("functions.")
    return name if _NAME.fullmatch(name) else _broken("no name")


def _learned(tape: Tape, tools: Sequence[Tool]) -> Reading[Sequence[Call]]:
    """Read JSON, or a name and then JSON: what stands after a mark that no family here has."""
    yield from tape.space()
    if first := (yield from tape.accept("{", "[")):
        tape.at -= len(first)
        return calls_in((yield from tape.json()))
    head, _ = yield from tape.until("{", most=_LONGEST_NAME)
    tape.at -= 1
    # Other words may stand around the name, such as `function`; a name may begin another one.
    named = [tool.name for tool in tools if tool.name in head]
    word = _NAME.search(head)
    name = max(named, key=len, default=word[0] if word else "")
    return [(_checked(name), _object((yield from tape.json())))]


def _tagged(ends: Sequence[str]) -> "Reader":
    """Read JSON, or a name and then its arguments in any of the known ways, up to an end."""

    def read(tape: Tape, tools: Sequence[Tool]) -> Reading[Sequence[Call]]:
        yield from tape.space()
        first = yield from tape.accept("{", "[", "<function=")
        tape.at -= len(first)
        if first in {"{", "["}:
            calls = calls_in((yield from tape.json()))
        elif first:
            calls = yield from _functions(tape, tools)
        else:
            calls = yield from _keys_and_values(tape, tools)
        yield from tape.space()
        yield from tape.accept(*ends)
        return calls

    return read


def _functions(tape: Tape, tools: Sequence[Tool]) -> Reading[Sequence[Call]]:
    """Read `<function=name>`, then JSON or `<parameter=key>value</parameter>`, `</function>`."""
    calls: list[Call] = []
    while (yield from tape.accept("<function=")):
        calls.append((yield from _function(tape, tools)))
        yield from tape.space()
    return calls or _broken("no function")


def _one_function(tape: Tape, tools: Sequence[Tool]) -> Reading[Sequence[Call]]:
    call = yield from _function(tape, tools)
    yield from tape.space()
    yield from tape.accept("</tool_call>", "</seed:tool_call>")
    return [call]


def _function(tape: Tape, tools: Sequence[Tool]) -> Reading[Call]:
    name, _ = yield from tape.until(">", most=_LONGEST_NAME)
    name = _checked(name.strip("\"'"))
    arguments: dict[str, object] = {}
    yield from tape.space()
    if (yield from tape.accept("{")):
        tape.at -= 1
        arguments = dict(_object((yield from tape.json())))
        yield from tape.space()
    while (yield from tape.accept("<parameter=")):
        key, _ = yield from tape.until(">", most=_LONGEST_NAME)
        text, _ = yield from tape.until("</parameter>")
        arguments[key.strip()] = _typed(text, name, key.strip(), tools)
        yield from tape.space()
    yield from tape.expect("</function>")
    return name, arguments


def _keys_and_values(tape: Tape, tools: Sequence[Tool]) -> Reading[Sequence[Call]]:
    """Read GLM's `name`, then `<arg_key>key</arg_key><arg_value>value</arg_value>`, or JSON."""
    ends = ("<arg_key>", "</tool_call>")
    name, end = yield from tape.until(*ends, "{", most=_LONGEST_NAME)
    name = _checked(name)
    if end == "{":
        tape.at -= 1
        return [(name, _object((yield from tape.json())))]
    arguments: dict[str, object] = {}
    while end == "<arg_key>":
        key, _ = yield from tape.until("</arg_key>", most=_LONGEST_NAME)
        yield from tape.space()
        yield from tape.expect("<arg_value>")
        text, _ = yield from tape.until("</arg_value>")
        arguments[key.strip()] = _typed(text, name, key.strip(), tools)
        yield from tape.space()
        end = yield from tape.accept(*ends)
    return [(name, arguments)]


def _typed(text: str, name: str, key: str, tools: Sequence[Tool]) -> object:
    """Return a value written without quotes, of the type that the function's schema says."""
    text = text.removeprefix("\n").removesuffix("\n")
    schema = next((tool.parameters for tool in tools if tool.name == name), {})
    properties = schema.get("properties")
    kind = properties.get(key) if isinstance(properties, Mapping) else None
    if isinstance(kind, Mapping) and kind.get("type") == "string":
        return text
    try:
        return parsed(text.strip())
    except Broken:
        return {"True": True, "False": False, "None": None}.get(text.strip(), text)


def _mistral(tape: Tape, _tools: Sequence[Tool]) -> Reading[Sequence[Call]]:
    """Read `[{"name": .., "arguments": ..}]`, or `name[ARGS]{..}`, or `name{..}`."""
    yield from tape.space()
    if first := (yield from tape.accept("[", "{")):
        tape.at -= len(first)
        calls = calls_in((yield from tape.json()))
        yield from tape.space()
        yield from tape.accept("[/TOOL_CALLS]")
        return calls
    name, end = yield from tape.until("[ARGS]", "[CALL_ID]", "{", most=_LONGEST_NAME)
    if end == "[CALL_ID]":
        yield from tape.until("[ARGS]", most=_LONGEST_NAME)
    if end == "{":
        tape.at -= 1
    yield from tape.space()
    return [(_checked(name), _object((yield from tape.json())))]


def _deepseek(tape: Tape, _tools: Sequence[Tool]) -> Reading[Sequence[Call]]:
    """Read R1's and V3's calls, in a fence, and V3.1's, which are shorter."""
    calls: list[Call] = []
    yield from tape.space()
    while (yield from tape.accept("<｜tool▁call▁begin｜>")):
        name, _ = yield from tape.until("<｜tool▁sep｜>", most=_LONGEST_NAME)
        if name.strip() in {"function", ""}:
            name, _ = yield from tape.until("\n", most=_LONGEST_NAME)
        yield from tape.space()
        yield from tape.accept("```json")
        yield from tape.space()
        calls.append((_checked(name), _object((yield from tape.json()))))
        for end in ("```", "<｜tool▁call▁end｜>"):
            yield from tape.space()
            yield from tape.accept(end)
        yield from tape.space()
    yield from tape.accept("<｜tool▁calls▁end｜>")
    return calls or _broken("no call")


def _kimi(tape: Tape, _tools: Sequence[Tool]) -> Reading[Sequence[Call]]:
    """Read `<|tool_call_begin|>functions.name:0<|tool_call_argument_begin|>{..}` and its ends."""
    calls: list[Call] = []
    yield from tape.space()
    while (yield from tape.accept("<|tool_call_begin|>")):
        name, _ = yield from tape.until("<|tool_call_argument_begin|>", most=_LONGEST_NAME)
        yield from tape.space()
        arguments = _object((yield from tape.json()))
        calls.append((_checked(re.sub(r":\d+$", "", name.strip())), arguments))
        yield from tape.space()
        yield from tape.accept("<|tool_call_end|>")
        yield from tape.space()
    yield from tape.accept("<|tool_calls_section_end|>")
    return calls or _broken("no call")


def _invoked(prefix: str, end: str) -> "Reader":
    """Read `<invoke name="f"><parameter name="k">v</parameter></invoke>`, as MiniMax writes."""

    def read(tape: Tape, tools: Sequence[Tool]) -> Reading[Sequence[Call]]:
        calls: list[Call] = []
        yield from tape.space()
        while (yield from tape.accept(f'<{prefix}invoke name="')):
            name, _ = yield from tape.until('">', most=_LONGEST_NAME)
            arguments: dict[str, object] = {}
            yield from tape.space()
            while (yield from tape.accept(f'<{prefix}parameter name="')):
                key, _ = yield from tape.until('"', most=_LONGEST_NAME)
                kind, _ = yield from tape.until(">", most=_LONGEST_NAME)
                text, _ = yield from tape.until(f"</{prefix}parameter>")
                is_text = 'string="true"' in kind
                arguments[key] = text if is_text else _typed(text, name, key, tools)
                yield from tape.space()
            yield from tape.expect(f"</{prefix}invoke>")
            calls.append((_checked(name), arguments))
            yield from tape.space()
        yield from tape.accept(end)
        return calls or _broken("no call")

    return read


def _pythonic(*ends: str) -> "Reader":
    """Read `f(a=1, b="x")`, alone, line by line or in a list; or JSON."""

    def read(tape: Tape, _tools: Sequence[Tool]) -> Reading[Sequence[Call]]:
        text = yield from _until_end(tape, ends)
        try:
            return calls_in(parsed(text.strip()))
        except Broken:
            return python_calls(text)

    return read


def _until_end(tape: Tape, ends: Sequence[str]) -> Reading[str]:
    """Read up to one of `ends`, or all there is: some models stop before they close a call."""
    start = tape.at
    try:
        text, _ = yield from tape.until(*ends)
    except Broken:
        if not tape.is_over:
            raise
        tape.at = start
        return tape.take(len(tape.rest))
    return text


def python_calls(text: str) -> Sequence[Call]:
    """Return the calls in a text of Python. Raises `Broken`."""
    try:
        body = ast.parse(_KEYWORD.sub(r"\1\2_=", text.strip())).body
        found: list[ast.expr] = []
        for line in body:
            value = line.value if isinstance(line, ast.Expr) else _broken("no expression")
            found += value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
        return [_python_call(each) for each in found] or _broken("no call")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Broken(str(error)) from error


def _python_call(node: ast.expr) -> Call:
    if not isinstance(node, ast.Call):
        _broken("no call")
    if isinstance(node.func, ast.Call) or node.args:
        _broken("arguments without names")
    if any(each.arg is None for each in node.keywords):
        _broken("arguments without names")
    name = ast.unparse(node.func).removesuffix(".call")
    return _checked(name), {_unmarked(each.arg): _literal(each.value) for each in node.keywords}


def _unmarked(name: str | None) -> str:
    """Return an argument's name: a word of Python's own was given a mark to be read at all."""
    text = str(name)
    return text[:-1] if keyword.iskeyword(text[:-1]) else text


class _Constants(ast.NodeTransformer):
    """Turns JSON's constants into Python's, wherever they stand in a value."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Return the constant, or the name that means none."""
        found = {"true": True, "false": False, "null": None}
        return ast.Constant(found[node.id]) if node.id in found else node


def _literal(node: ast.expr) -> Json:
    value = ast.literal_eval(_Constants().visit(node))
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)


def _python_tag(tape: Tape, tools: Sequence[Tool]) -> Reading[Sequence[Call]]:
    """Read Llama's JSON, `name.call(a=1)`, or code for a tool that runs it."""
    yield from tape.space()
    if (yield from tape.accept("{", "[")):
        tape.at -= 1
        calls = [*calls_in((yield from tape.json()))]
        yield from tape.space()
        while (yield from tape.accept(";")):
            yield from tape.space()
            calls += calls_in((yield from tape.json()))
            yield from tape.space()
        return calls
    while not tape.is_over:
        yield
    text = tape.take(len(tape.rest))
    try:
        return python_calls(text)
    except Broken:
        name = next((tool.name for tool in tools if tool.name in _CODE_TOOLS), "")
        return [(name, {"code": text})] if name and text.strip() else _broken("no call")


def _colon(quote: str, *ends: str) -> "Reader":
    """Read Gemma's `call:name{key:value}`, texts between `quote`."""

    def read(tape: Tape, _tools: Sequence[Tool]) -> Reading[Sequence[Call]]:
        yield from tape.space()
        yield from tape.expect("call:")
        name, _ = yield from tape.until("{", most=_LONGEST_NAME)
        text = yield from _until_end(tape, ends)
        parts = ("{" + text).split(quote)
        # Between quotes is text; outside, keys without quotes and JSON.
        body = "".join(
            written(part) if number % 2 else re.sub(r"([{,]\s*)([\w\-]+)\s*:", r'\1"\2":', part)
            for number, part in enumerate(parts)
        )
        return [(_checked(name), _object(parsed(body.strip())))]

    return read


def _broken(why: str) -> NoReturn:
    raise Broken(why)


Reader = Callable[[Tape, Sequence[Tool]], Reading[Sequence[Call]]]

READERS: Mapping[str, Reader] = {
    "<tool_call>": _tagged(("</tool_call>",)),
    "<seed:tool_call>": _tagged(("</seed:tool_call>",)),
    "<function=": _one_function,
    "[TOOL_CALLS]": _mistral,
    "<|tool_call|>": _tagged(("<|/tool_call|>", "</tool_call>")),
    "<TOOLCALL>": _tagged(("</TOOLCALL>",)),
    "functools": _tagged(()),
    "<|tools_prefix|>": _tagged(("<|tools_suffix|>",)),
    "<|START_ACTION|>": _tagged(("<|END_ACTION|>",)),
    "Action: ```json": _tagged(("```",)),
    "<｜tool▁calls▁begin｜>": _deepseek,
    "<|tool_calls_section_begin|>": _kimi,
    "<minimax:tool_call>": _invoked("", "</minimax:tool_call>"),
    "<atem:function_calls>": _invoked("atem:", "</atem:function_calls>"),
    "<｜DSML｜function_calls>": _invoked("｜DSML｜", "</｜DSML｜function_calls>"),
    "<|tool_call_start|>": _pythonic("<|tool_call_end|>"),
    "<function_calls>": _pythonic("</function_calls>"),
    "```tool_code": _pythonic("```"),
    "<|python_tag|>": _python_tag,
    "<start_function_call>": _colon("<escape>", "<end_function_call>"),
    "<|tool_call>": _colon('<|"|>', "<tool_call|>"),
}
"""What follows each mark."""
