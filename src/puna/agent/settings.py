"""The agent's settings: the variables `PUNA_AGENT_...`, or the same in the configuration file."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from puna.readers import read_flag, read_folder, read_text
from puna.settings import Setting, load_room, read_home
from puna.units import Size


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """Every setting of an agent, read and checked."""

    home: Path
    """Its folder: who it is, what it knows, what it must keep to when it is cut off."""
    engine: str
    """The socket of Podman or Docker; empty for the first that is found."""
    network: str
    """The name of the pods' network on the engine."""
    volumes: Path | None
    """Where volumes lie; None for the agent's folder."""
    images: Size
    """What images that no pod needs may take of the disk."""
    token: str
    """By which it joins a market, where no other is given."""
    local_images: bool
    """Whether renters may run images that are on this machine and were never fetched for them."""
    local_registries: bool
    """Whether images may come from registries on this machine or on its owner's networks."""


def load_agent_settings(environ: Mapping[str, str] | None = None) -> AgentSettings:
    """Read all of them. Raises `InvalidSetting`."""
    values = load_room(AGENT_ROWS, environ)
    values["home"] = values["home"] or read_home(environ) / "agent"
    # Each reader gives the type of the field of the same name; a test checks each.
    return AgentSettings(**values)  # type: ignore[arg-type]


AGENT_ROWS: tuple[Setting, ...] = (
    Setting("agent_home", read_folder, "", "the agent's folder (agent in the home folder)"),
    Setting(
        "agent_engine",
        read_text,
        "",
        "the socket of Podman or Docker, such as unix:///run/podman/podman.sock",
    ),
    Setting("agent_network", read_text, "puna", "the name of the pods' network on the engine"),
    Setting("agent_volumes", read_folder, "", "where volumes lie (volumes in the agent's folder)"),
    Setting(
        "agent_images",
        Size.parse,
        "50GB",
        "what images of renters that no pod needs may take of the disk; the rest is removed",
    ),
    Setting(
        "agent_token",
        read_text,
        "",
        "the token by which `puna agent join` joins, where it is given no other",
        secret=True,
    ),
    Setting(
        "agent_local_images",
        read_flag,
        "false",
        "let renters run images that the owner has on this machine",
    ),
    Setting(
        "agent_local_registries",
        read_flag,
        "false",
        "let images come from registries on this machine or on the owner's networks",
    ),
)
_NAMES = {row.name.partition("_")[2] for row in AGENT_ROWS}
assert {field.name for field in fields(AgentSettings)} == _NAMES  # noqa: S101 - one table, checked at import
