"""Ask the programs that come with drivers and systems; one that is not there has no answer."""

import shutil
import subprocess
from dataclasses import dataclass

_PATIENCE_S = 5
"""A driver that hangs must not hang puna."""


@dataclass(frozen=True, slots=True)
class Output:
    """What a program said. `fault` is in words why it said nothing; empty where it is not there."""

    text: str = ""
    fault: str = ""


def output_of(program: str, *arguments: str) -> Output:
    """Run a program and return what it prints; blocks, for seconds if it hangs."""
    path = shutil.which(program)
    if path is None:
        return Output()
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no shell
            [path, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Output(fault=f"{program} did not answer within {_PATIENCE_S} seconds")
    except OSError as error:
        return Output(fault=f"{program} does not start: {error.strerror}")
    text = done.stdout.decode(errors="replace").strip()
    if done.returncode == 0:
        return Output(text)
    words = (text or done.stderr.decode(errors="replace")).strip().splitlines()
    return Output(fault=words[0] if words else f"{program} ended with code {done.returncode}")
