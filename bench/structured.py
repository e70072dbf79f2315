"""What it costs that an answer has to fit a JSON schema: tokens per second with one ÷ without.

SmolLM2 answers one prompt with the same number of tokens, the likeliest each time, through the
whole HTTP API of a server of its own: free, by a schema of texts, and by one of fixed choices, in
turn, so that what else the machine does meets all. On a busy machine the processor time that the
engine takes for a token says more than the clock, so it has one thread, and both are shown.

Usage: python bench/structured.py [rounds]
"""

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack

import psutil

TOKENS = 96
PROMPT = "List many animals of the high Andes, with what each eats."
LIST = {"type": "array", "minItems": 40, "items": {"type": "string", "minLength": 4}}
SCHEMA = {"type": "object", "properties": {"animals": LIST}, "required": ["animals"]}
CHOICE = {"enum": ["llama", "condor", "vizcacha", "puma"]}
TYPED = {"type": "array", "minItems": 90, "items": CHOICE}
WAYS: dict[str, object] = {"free": None, "a schema": SCHEMA, "choices": TYPED}


def ask(host: str, form: object, server: int) -> tuple[float, float]:
    """Return the seconds and the processor seconds of one answer, first token to last."""
    options = {"temperature": 0, "num_predict": TOKENS, "num_ctx": 1024}
    body = {"model": "smollm2", "prompt": PROMPT, "options": options, "stream": True}
    stamps: list[float] = []
    spent: list[float] = []
    link = http.client.HTTPConnection(host)
    link.request("POST", "/api/generate", json.dumps({**body, "format": form}))
    last: dict[str, object] = {}
    for line in link.getresponse():
        if not stamps:
            spent.append(engine_time(server))
        stamps.append(time.perf_counter())
        last = json.loads(line)
    spent.append(engine_time(server))
    count = last.get("eval_count")
    if count != TOKENS:
        raise SystemExit(f"{count} tokens, and not {TOKENS}: {last}")
    return stamps[-1] - stamps[0], spent[1] - spent[0]


def engine_time(server: int) -> float:
    """Return the processor time that the server's engines have taken so far."""
    times = [each.cpu_times() for each in psutil.Process(server).children(recursive=True)]
    return float(sum(each.user + each.system for each in times))


def main() -> None:
    """Measure by turns, and print medians and ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        environ = os.environ | {"PUNA_HOME": home, "PUNA_HOST": "127.0.0.1:0", "PUNA_THREADS": "1"}
        command = [sys.executable, "-m", "puna", "serve"]
        server = subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True)
        stack.callback(server.wait)
        stack.callback(server.terminate)
        line = server.stderr.readline() if server.stderr else ""
        host = line.strip().rpartition("//")[2]
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
        for turn in range(rounds + 1):
            for name, form in WAYS.items():
                one = ask(host, form, server.pid)
                if turn:  # the first loads the model and reads the prompt
                    taken[name].append(one)
    for name, found in taken.items():
        pairs = list(zip(taken["free"], found, strict=True))
        clock, work = (statistics.median(a[at] / b[at] for a, b in pairs) for at in (0, 1))
        pace = (TOKENS - 1) / statistics.median(each for each, _ in found)
        print(f"{name:>8}: {pace:6.1f} tokens/s; ÷ free {clock:.2f}, by processor time {work:.2f}")
    print(f"{TOKENS} tokens each, one thread, {rounds} rounds")


if __name__ == "__main__":
    main()
