"""Calls RunPod's own Python client in an environment of its own: a line of JSON in, one out.

Run by that environment's Python, which knows nothing of puna.
"""

import json
import os
import sys
from typing import Any

import runpod
from click.testing import CliRunner
from runpod.cli.entry import runpod_cli
from runpod.cli.utils import rp_info


def command_line(*words: str, types: str = "") -> str:
    """Run the package's command line, and return what it prints."""
    done = CliRunner().invoke(runpod_cli, words, input=types, catch_exceptions=False)
    return done.output


CALLS = {"get_pod_ssh_ip_port": rp_info.get_pod_ssh_ip_port, "command_line": command_line}


def answer(order: dict[str, Any]) -> dict[str, Any]:
    os.environ["RUNPOD_API_BASE_URL"] = order["url"]  # read by the client at each call
    runpod.api_key = order["key"]
    call = CALLS.get(order["call"]) or getattr(runpod, order["call"])
    try:
        return {"gives": call(*order["args"], **order["words"])}
    except Exception as error:  # whatever the client raises is what its user sees
        return {"raises": type(error).__name__, "says": str(error)}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
