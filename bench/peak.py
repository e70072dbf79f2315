"""What this machine can do at most: multiply-adds of 32-bit floats, all cores together.

Usage: python bench/peak.py

Counted by the time on a processor, so that other programs do not lower it.
With a C compiler it is the chain of independent multiply-adds that a core can start; without one,
the best of numpy's matrix products, which is less, and that is said.
"""

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROUNDS = 3
SOURCE = """
#include <stdio.h>
#include <time.h>
#ifdef __AVX512F__
typedef float lanes __attribute__((vector_size(64)));
#else
typedef float lanes __attribute__((vector_size(32)));
#endif
#define KEEP(v) __asm__ volatile("" : "+w"(v))
#if defined(__x86_64__)
#undef KEEP
#define KEEP(v) __asm__ volatile("" : "+x"(v))
#endif
static double now(void) {
    struct timespec t; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}
int main(void) {
    lanes x = {0}, y = {0}; x += 1.0000001f; y += 1e-9f;
    lanes a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x;
    long steps = 40000000;
    double begun = now();
    for (long n = 0; n < steps; n++) {
#define STEP(v) v = v * x + y; KEEP(v);
        STEP(a) STEP(b) STEP(c) STEP(d) STEP(e) STEP(f) STEP(g) STEP(h) STEP(i) STEP(j)
    }
    double spent = now() - begun;
    printf("%.3f\\n", steps * 10.0 * 2 * (sizeof(lanes) / 4) / spent / 1e9);
    return 0;
}
"""


@dataclass(frozen=True)
class Peak:
    """Billions of operations a second, a multiply-add being two, and how that was measured."""

    gflops: float
    how: str


def main() -> None:
    peak = measure_peak()
    print(f"f32 peak: {peak.gflops:.1f} GFLOP/s, {peak.how}")
    print(json.dumps({"f32_gflops": round(peak.gflops, 1)}))


def measure_peak() -> Peak:
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler:
        with tempfile.TemporaryDirectory() as folder:
            program = built(compiler, Path(folder))
            if program:
                peaks = [together(program, cores) for _ in range(ROUNDS)]
                return Peak(max(peaks), f"multiply-adds on {cores} cores")
    return Peak(
        max(product() for _ in range(ROUNDS)), "numpy's matrix product, for want of a compiler"
    )


def built(compiler: str, folder: Path) -> Path | None:
    source, program = folder / "peak.c", folder / "peak"
    source.write_text(SOURCE)
    flags = ["-O3", "-march=native", "-ffp-contract=fast"]
    done = subprocess.run(
        [compiler, *flags, str(source), "-o", str(program)], capture_output=True, check=False
    )
    return program if done.returncode == 0 else None


def together(program: Path, cores: int) -> float:
    """Run one a core at the same time, and add up."""
    running = [
        subprocess.Popen([str(program)], stdout=subprocess.PIPE, text=True) for _ in range(cores)
    ]
    return sum(float(each.communicate()[0]) for each in running)


def product() -> float:
    size = 2048
    one = np.ones((size, size), np.float32)
    spans = []
    for _ in range(5):
        begun = time.perf_counter()
        one @ one
        spans.append(time.perf_counter() - begun)
    return 2 * size**3 / statistics.median(spans) / 1e9


if __name__ == "__main__":
    main()
