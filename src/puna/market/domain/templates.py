"""Presets of pods: those that every market ships, an account's own, and those that it shows to all.

The official ones are a file of this package, so a new version of puna brings its templates along.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.resources import files
from typing import Any

from puna.errors import Invalid
from puna.market.domain.specs import PodSpec, complaints_of_container

CATEGORIES = ("NVIDIA", "AMD", "CPU")
_LONGEST_NAME = 191
_LONGEST_README = 65_536


class InvalidTemplate(Invalid):
    """What was asked for cannot be a template."""

    code = "invalid_template"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What a template fills in. Sizes are whole gigabytes."""

    image: str
    args: str = ""
    entrypoint: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    port_names: Mapping[str, str] = field(default_factory=dict)
    """What a page may call a port, by its number."""
    disk_gb: int = 20
    volume_gb: int = 0
    volume_path: str = "/workspace"
    category: str = "NVIDIA"
    readme: str = ""
    is_serverless: bool = False
    starts_ssh: bool = False
    starts_jupyter: bool = False
    cuda_versions: tuple[str, ...] = ()

    def to_spec(self) -> PodSpec:
        """Return a pod as it is without any wish of its renter."""
        return PodSpec(
            image=self.image,
            args=self.args,
            entrypoint=self.entrypoint,
            env=self.env,
            ports=self.ports,
            disk_gb=self.disk_gb,
            volume_gb=self.volume_gb,
            volume_path=self.volume_path,
            starts_ssh=self.starts_ssh,
            starts_jupyter=self.starts_jupyter,
            cuda_versions=self.cuda_versions,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateWish:
    """A template as somebody wants it."""

    name: str
    preset: Preset
    is_public: bool = False
    registry: str | None = None


def check_template(wish: TemplateWish) -> TemplateWish:
    """Return the wish if a template can be made of it. Raises `InvalidTemplate`."""
    complaint = next(_complaints(wish), None)
    if complaint:
        raise InvalidTemplate(complaint)
    return wish


def _complaints(wish: TemplateWish) -> Iterator[str]:
    preset = wish.preset
    if not 0 < len(wish.name.strip()) <= _LONGEST_NAME:
        yield f"a template's name has 1 to {_LONGEST_NAME} characters"
    if preset.category not in CATEGORIES:
        yield f'"{preset.category}" is not a category; there are {", ".join(CATEGORIES)}'
    if len(preset.readme) > _LONGEST_README:
        yield f"a readme has at most {_LONGEST_README} characters"
    if preset.is_serverless and preset.volume_gb:
        yield "a serverless template has no volume"
    yield from complaints_of_container(preset.to_spec())


@cache
def official_presets() -> Mapping[str, tuple[str, Preset]]:
    """Return name and preset of each template that every market has, by its id."""
    text = files("puna.market.domain").joinpath("official.toml").read_text(encoding="utf-8")
    return {each["id"]: (each["name"], _preset(each)) for each in tomllib.loads(text)["template"]}


def _preset(kept: Mapping[str, Any]) -> Preset:
    known = {each.name for each in fields(Preset)}
    values = {name: each for name, each in kept.items() if name in known}
    return Preset(**values | {"ports": tuple(kept.get("ports", ()))})
