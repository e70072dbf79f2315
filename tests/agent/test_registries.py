"""Where images may come from."""

from pathlib import Path

import pytest

from puna.agent.containers import registry_of
from puna.agent.registries import NearRegistry, check_registry
from tests.agent.hosts import a_host, an_order

AT_HOME = "192.168.1.1:8080/x:1"


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("ubuntu", "docker.io"),
        ("ollama/ollama:0.9", "docker.io"),
        ("ghcr.io/puna-cloud/puna:latest", "ghcr.io"),
        ("192.168.1.1:8080/x", "192.168.1.1"),
        ("localhost:5000/a/b@sha256:00", "localhost"),
        ("[fd00::1]:5000/x", "fd00::1"),
    ],
)
def test_an_image_names_its_registry(image: str, host: str) -> None:
    assert registry_of(image) == host


@pytest.mark.parametrize(
    "image",
    [
        "127.0.0.1:2375/x",
        "localhost/x",
        "192.168.1.1:8080/x",
        "10.0.0.7/x",
        "169.254.169.254/latest/x",
        "100.64.0.1/x",
        "0x7f.1/x",
        "127.1/x",
    ],
)
async def test_a_registry_on_the_owner_s_networks_is_refused(image: str) -> None:
    with pytest.raises(NearRegistry, match="networks of this machine's owner"):
        await check_registry(image)


@pytest.mark.parametrize("image", ["1.1.1.1/x", f"{'x' * 64}.example/x"])
async def test_another_one_is_the_engine_s_to_ask(image: str) -> None:
    await check_registry(image)


@pytest.mark.parametrize(("is_allowed", "made"), [(False, 0), (True, 1)])
async def test_an_owner_says_whether_registries_at_home_may_be_asked(
    tmp_path: Path, is_allowed: bool, made: int
) -> None:
    async with a_host(tmp_path, has_registries=is_allowed) as host:
        host.there.registry.add(AT_HOME)
        host.order(an_order(image=AT_HOME))
        await host.turns()
        assert len(host.there.running("p1")) == made
        said = " ".join((await host.report()).log)
        assert ("networks of this machine's owner" in said) is not is_allowed
