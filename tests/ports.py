"""Ports that stay free until they are used, for programs that cannot be told to choose one.

The system gives others the ports of its own range at any time. These are below it, and no process
is given the same one twice.
"""

import itertools
import random
import socket

_FIRST, _END = 20_000, 32_000
_STEPS = itertools.count(random.SystemRandom().randrange(_END - _FIRST))


def free_port(address: str = "127.0.0.1") -> int:
    """Return a port on which nobody listens, and that the system gives to nobody."""
    for step in _STEPS:
        port = _FIRST + step % (_END - _FIRST)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                continue
            try:
                probe.bind((address, port))
            except OSError:
                continue
        return port
    raise AssertionError  # they never end
