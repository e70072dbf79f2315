"""Which messages are kept, what is cut, what is said about it, and how little that costs."""

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from puna.chat.messages import Message, Role
from puna.node.engine.request import LoadSpec
from puna.node.engine.scripted import Script, ScriptedEngine
from puna.node.prompt import (
    Conversation,
    Cut,
    Frame,
    PromptTooLong,
    Search,
    Verbatim,
    count,
    drop_oldest,
    guess_drops,
    prepare,
    split,
)
from puna.units import Size
from tests.worlds import FakeWorld

USER, MODEL, SYSTEM = Role.USER, Role.ASSISTANT, Role.SYSTEM


class Reader(ScriptedEngine):
    """A scripted engine that notes how many characters each question made it read."""

    def __init__(self, context: int, script: Script | None = None) -> None:
        spec = LoadSpec(Path("none.gguf"), context, slots=1, memory=Size(1))
        super().__init__(spec, script or Script(), FakeWorld())
        self.questions: list[int] = []

    async def tokenize(self, text: str, *, add_special: bool) -> tuple[int, ...]:
        self.questions.append(len(text))
        return await super().tokenize(text, add_special=add_special)


def turns(count: int, text: str = "word word word word") -> tuple[Message, ...]:
    roles = (USER, MODEL)
    return tuple(Message(roles[n % 2], f"{n} {text}") for n in range(count))


def shown(messages: tuple[Message, ...]) -> str:
    return " ".join(message.content for message in messages)


@pytest.mark.parametrize(
    ("context", "num_keep", "head", "tail"),
    [
        (4096, 5, 5, 2046),
        (4096, 0, 0, 2048),
        (2048, 24, 24, 1012),
        (4096, 4092, 4092, 2),
        (4096, 10**9, 4092, 2),
        (4096, -1, 0, 2048),
        (4, 0, 0, 2),
        (5, 4, 1, 2),
    ],
)
def test_a_cut_keeps_the_beginning_and_fills_half_of_the_rest(
    context: int, num_keep: int, head: int, tail: int
) -> None:
    assert split(context=context, num_keep=num_keep) == (head, tail)


@given(st.integers(4, 2**20), st.integers(-5, 2**31))
def test_a_cut_prompt_always_leaves_room_for_an_answer(context: int, num_keep: int) -> None:
    head, tail = split(context=context, num_keep=num_keep)
    assert head >= 0
    assert tail >= 1
    assert head + tail <= context - 1


@pytest.mark.parametrize(
    ("count", "left"), [(0, "S a b T c"), (1, "S b T c"), (2, "S T c"), (9, "S T c")]
)
def test_system_messages_and_the_last_one_never_go(count: int, left: str) -> None:
    messages = (
        Message(SYSTEM, "S"), Message(USER, "a"), Message(MODEL, "b"),
        Message(SYSTEM, "T"), Message(USER, "c"),
    )  # fmt: skip
    assert shown(drop_oldest(messages, count)) == left


@given(st.integers(0, 300), st.integers(0, 300), st.integers(-5, 400))
def test_the_search_finds_the_fewest_drops_that_are_enough(
    most: int, needed: int, guess: int
) -> None:
    search = Search(guess, enough=most + 1)
    while (count := search.next_try) is not None:
        assert 1 <= count <= most
        search = search.told(fits=count >= needed)
    assert search.enough == min(max(needed, 1), most + 1)


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.integers(-40, 40))
def test_a_good_guess_needs_few_tries(most: int, needed: int, error: int) -> None:
    search, tries = Search(needed + error, enough=most + 1), 0
    while (count := search.next_try) is not None:
        search, tries = search.told(fits=count >= needed), tries + 1
    assert tries <= 30


def test_the_guess_weighs_the_messages() -> None:
    messages = (Message(USER, "x" * 900), *(Message(MODEL, "y" * 10),) * 10)
    assert guess_drops(messages, surplus=0.5) == 1
    assert guess_drops(messages, surplus=0.95) == 6


async def test_a_prompt_that_fits_is_tokenised_once() -> None:
    engine = Reader(context=500)
    prompt = await prepare(engine, Conversation(turns(3)), Frame(500, 4))
    assert prompt.cut is None
    assert prompt.tokens == await engine.tokenize(prompt.text, add_special=True)
    assert len(engine.questions) == 2  # one of them is this test's own


async def test_a_prompt_that_surely_fits_is_not_tokenised_at_all() -> None:
    engine = Reader(context=500)
    prompt = await prepare(engine, Conversation(turns(3)), Frame(500, 4, counts=False))
    assert prompt.tokens is None
    assert prompt.text == await engine.render(turns(3))
    assert engine.questions == []


@pytest.mark.parametrize("text", ["word " * 17, "ż" * 45], ids=["by length", "by bytes"])
async def test_one_that_may_not_fit_is_counted(text: str) -> None:
    prompt = await prepare(Reader(100), Verbatim(text), Frame(100, 4, counts=False))
    assert prompt.tokens == await Reader(100).tokenize(text, add_special=True)


@pytest.mark.parametrize("context", [60, 100, 200, 333])
async def test_as_few_messages_go_as_possible(context: int) -> None:
    engine, messages = Reader(context), turns(60)
    prompt = await prepare(engine, Conversation(messages), Frame(context, 4))
    assert prompt.cut is not None
    gone = prompt.cut.dropped_messages
    one_less = await engine.render(drop_oldest(messages, gone - 1))
    assert prompt.text == await engine.render(messages[gone:])
    assert len(prompt.tokens or ()) <= context - 1
    assert len(await engine.tokenize(one_less, add_special=True)) > context - 1


async def test_the_numbers_of_the_cut_are_true() -> None:
    engine, messages = Reader(100), turns(60)
    prompt = await prepare(engine, Conversation(messages), Frame(100, 4))
    whole = await engine.tokenize(await engine.render(messages), add_special=True)
    gone = prompt.cut.dropped_messages if prompt.cut else 0
    assert prompt.cut == Cut(len(whole), len(prompt.tokens or ()), 100, gone)
    assert gone > 0


async def test_a_last_message_that_is_too_long_keeps_its_beginning_and_end() -> None:
    engine = Reader(100)
    prompt = await prepare(engine, Verbatim("x " * 500), Frame(100, num_keep=9))
    whole = await engine.tokenize("x " * 500, add_special=True)
    head, tail = split(context=100, num_keep=10)
    assert prompt.tokens == (*whole[:head], *whole[-tail:])
    assert prompt.cut == Cut(len(whole), head + tail, 100, dropped_messages=0)


async def test_the_oldest_messages_go_before_the_last_is_cut() -> None:
    messages = (*turns(5), Message(USER, "x " * 500))
    prompt = await prepare(Reader(100), Conversation(messages), Frame(100, 4))
    assert prompt.cut is not None
    assert prompt.cut.dropped_messages == 5
    assert "word" not in prompt.text


async def test_tokens_of_earlier_answers_are_cut_like_text() -> None:
    before = tuple(await Reader(10).tokenize("old " * 200, add_special=True))
    messages = (Message(USER, "new"),)
    prompt = await prepare(Reader(100), Conversation(messages, before), Frame(100, num_keep=3))
    assert (prompt.tokens or ())[:3] == before[:3]
    assert len(prompt.tokens or ()) == sum(split(context=100, num_keep=3))
    assert prompt.cut is not None


@pytest.mark.parametrize(
    "frame", [Frame(100, 4, truncate=False), Frame(100, 4, shift=False)], ids=["truncate", "shift"]
)
async def test_what_may_not_be_cut_is_refused_with_the_numbers(frame: Frame) -> None:
    with pytest.raises(PromptTooLong, match=r"it has 502 tokens.*context of 100.*most 99"):
        await prepare(Reader(100), Verbatim("x " * 500), frame)


async def test_without_shift_messages_still_go() -> None:
    frame = Frame(100, 4, shift=False)
    prompt = await prepare(Reader(100), Conversation(turns(60)), frame)
    assert prompt.cut is not None
    assert prompt.cut.dropped_messages > 0


@pytest.mark.parametrize(("tokens", "fits"), [(99, True), (100, False)])
async def test_one_token_must_be_left_for_the_answer(tokens: int, *, fits: bool) -> None:
    text = "x" + " x" * (tokens - 2)  # and one token for the beginning
    prompt = await prepare(Reader(100), Verbatim(text), Frame(100, 4))
    assert (prompt.cut is None) is fits


async def test_of_ten_thousand_messages_only_those_near_the_answer_are_read() -> None:
    engine, messages = Reader(1000), turns(10_000)
    prompt = await prepare(engine, Conversation(messages), Frame(1000, 4))
    whole = len(await engine.render(messages))
    assert prompt.cut is not None
    assert 900 <= len(prompt.tokens or ()) <= 999
    assert sum(engine.questions) < whole / 2


async def test_of_a_huge_prompt_only_beginning_and_end_are_read_and_the_size_is_estimated() -> None:
    engine = Reader(4096)
    text = "lorem ipsum dolor " * 80_000
    whole = await engine.tokenize(text, add_special=True)
    engine.questions.clear()
    prompt = await prepare(engine, Verbatim(text), Frame(4096, 4))
    assert sum(engine.questions) <= 3 * 2**16
    head, tail = split(context=4096, num_keep=5)
    assert prompt.tokens == (*whole[:head], *whole[-tail:])
    assert prompt.cut is not None
    assert prompt.cut.is_estimate
    assert prompt.cut.prompt_tokens == pytest.approx(len(whole), rel=0.01)


async def test_a_base_model_gets_the_bare_text() -> None:
    engine = Reader(100, Script(has_chat_template=False))
    messages = (Message(SYSTEM, "one"), Message(USER, "two"))
    assert (await prepare(engine, Conversation(messages), Frame(100, 4))).text == "one\n\ntwo"


@pytest.mark.parametrize("size", [1, 1000, 100_000])
async def test_a_prompt_is_counted_whole_however_long(size: int) -> None:
    reader = Reader(64)
    prompt = await count(reader, Verbatim("word " * size))
    assert prompt == 1 + len(await reader.tokenize("word " * size, add_special=False))


async def test_tokens_that_come_first_are_counted_and_kept() -> None:
    reader = Reader(64)
    before = await reader.tokenize("first", add_special=True)
    more = Verbatim(" second", before=before)
    prompt = await prepare(reader, more, Frame(64, num_keep=4))
    assert prompt.tokens is not None
    assert prompt.tokens[: len(before)] == before
    assert await count(reader, more) == len(prompt.tokens)


async def test_a_prompt_of_tokens_alone_is_those_tokens() -> None:
    reader = Reader(64)
    tokens = await reader.tokenize("hello", add_special=False)
    prompt = await prepare(reader, Verbatim("", before=tokens), Frame(64, num_keep=4))
    assert prompt.tokens == tokens
