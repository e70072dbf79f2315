"""Arguments are a shell's words, or JSON as RunPod's clients write it."""

import pytest

from puna.market.domain.commands import Command, command_of
from tests.market.stage import Stage

DSTACK = '{"cmd": ["echo \\"a b\\" && sleep 1"], "entrypoint": ["/bin/sh", "-c"]}'


@pytest.mark.parametrize(
    ("entrypoint", "args", "command"),
    [
        ((), "serve --port 80", Command((), "serve --port 80")),
        (("x",), "", Command(("x",), "")),
        ((), DSTACK, Command(("/bin/sh", "-c"), "'echo \"a b\" && sleep 1'")),
        (("x",), DSTACK, Command(("/bin/sh", "-c"), "'echo \"a b\" && sleep 1'")),
        (("x",), '{"cmd": ["a", "b c"]}', Command(("x",), "a 'b c'")),
        ((), ' {"entrypoint": ["a"]}', Command(("a",), "")),
        ((), "{}", Command((), "{}")),
        ((), '{"cmd": "a"}', Command((), '{"cmd": "a"}')),
        ((), '{"cmd": [1]}', Command((), '{"cmd": [1]}')),
        ((), '{"model": "x"}', Command((), '{"model": "x"}')),
        ((), "{" * 20_000, Command((), "{" * 20_000)),
        ((), '{"cmd": ["a"]', Command((), '{"cmd": ["a"]')),
    ],
)
def test_what_is_run(entrypoint: tuple[str, ...], args: str, command: Command) -> None:
    assert command_of(entrypoint, args) == command


async def test_a_host_is_told_the_words_and_the_renter_what_he_wrote(market: Stage) -> None:
    ann = await market.account("ann@example.org", "5")
    host = await market.host()
    pod = await market.rent(ann, args=DSTACK)
    await market.tick()
    (order,) = host.orders.pods
    assert (order.entrypoint, order.args) == (["/bin/sh", "-c"], "'echo \"a b\" && sleep 1'")
    assert (await market.look(pod)).spec.args == DSTACK
