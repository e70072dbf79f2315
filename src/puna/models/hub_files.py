"""Which files of a hub repository make a model: one GGUF file, or all shards of one, and its eyes.

Repositories hold a model in many number formats, told apart by their file names alone. A tag is a
format (`Q4_K_M`, in either case), a part of the name that only one file has, or the file itself.
Without a tag it is Q4_K_M where there is one, else the nearest format that people find good.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from puna.errors import NotFound
from puna.models.digest import Digest
from puna.text import one_line
from puna.units import Size

_GOOD: tuple[str, ...] = (
    "Q4_K_M",
    "UD-Q4_K_XL",
    "Q4_K_S",
    "Q4_0",
    "Q4_1",
    "IQ4_NL",
    "IQ4_XS",
    "MXFP4",
    "Q5_K_M",
)
_GOOD += ("Q5_K_S", "Q6_K", "Q8_0", "Q3_K_M", "Q3_K_L", "Q2_K", "F16", "BF16")
"""Formats in the order in which they are taken where a person names none."""
_EYES = ("F16", "BF16", "Q8_0", "F32")
"""The same for projectors, which are small: full halves first."""
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})$")
_FORMAT = re.compile(
    r"(?<![A-Z0-9])((?:UD-)?(?:I?Q\d(?:_[A-Z0-9]+)*|T?Q\d_\d|BF16|FP?16|FP?32|MXFP4(?:_MOE)?))"
    r"(?![A-Z0-9])",
    re.IGNORECASE,
)
_MOST_NAMED = 24


class NoGguf(NotFound):
    """The repository holds no GGUF file."""

    code = "no_gguf"


class NoSuchFormat(NotFound):
    """The repository holds GGUF files, and none is what was asked for."""

    code = "no_such_format"


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository. Without a digest it is a small one that git itself keeps."""

    path: str
    size: Size
    digest: Digest | None


@dataclass(frozen=True, slots=True)
class Choice:
    """The files of one model."""

    weights: tuple[HubFile, ...]
    """One file, or its shards in their order."""
    format: str
    """The number format that the name tells; empty where it tells none."""
    projector: HubFile | None


def choose_files(files: Sequence[HubFile], *, tag: str = "latest", path: str = "") -> Choice:
    """Return the files that a tag or the path of one file means.

    Raises `NoGguf`, and `NoSuchFormat` with the formats that there are.
    """
    weights = _whole_models(files)
    if not weights:
        raise NoGguf("the repository holds no GGUF file")
    chosen = _named(weights, path) if path else _tagged(weights, tag)
    if chosen is None:
        formats = ", ".join(dict.fromkeys(_label(model) for model in weights[:_MOST_NAMED]))
        wanted = one_line(path or tag)
        raise NoSuchFormat(f'the repository holds no GGUF file "{wanted}"', hint=f"has: {formats}")
    return Choice(chosen, _format(chosen[0].path), _projector(files, chosen[0].path))


def _whole_models(files: Iterable[HubFile]) -> list[tuple[HubFile, ...]]:
    """Return every model among the files: single ones, and shards of which none is missing."""
    shards_by_stem: dict[tuple[str, int], list[HubFile]] = {}
    for file in sorted(files, key=lambda file: file.path):
        if _is_weights(file):
            stem, _, count = _split(file.path)
            shards_by_stem.setdefault((stem, count), []).append(file)
    return [
        tuple(shards)
        for (_, count), shards in shards_by_stem.items()
        if len(shards) == max(1, count)
    ]


def _is_weights(file: HubFile) -> bool:
    name = PurePosixPath(file.path).name.lower()
    is_other = "mmproj" in name or "imatrix" in name or name.startswith("mtp-")
    return name.endswith(".gguf") and not is_other and file.digest is not None


def _split(path: str) -> tuple[str, int, int]:
    """Return a path without its ending, and which shard of how many it is; 0 of 0 for a whole."""
    stem = path.removesuffix(".gguf")
    match = _SHARD.search(stem)
    return (stem[: match.start()], int(match[1]), int(match[2])) if match else (stem, 0, 0)


def _format(path: str) -> str:
    """Return the format in a name, in capitals; the last one if there are several."""
    found = _FORMAT.findall(_split(path)[0])
    return found[-1].upper() if found else ""


def _label(model: Sequence[HubFile]) -> str:
    return _format(model[0].path) or PurePosixPath(_split(model[0].path)[0]).name


def _named(models: Sequence[tuple[HubFile, ...]], path: str) -> tuple[HubFile, ...] | None:
    return next((model for model in models if any(file.path == path for file in model)), None)


def _tagged(models: Sequence[tuple[HubFile, ...]], tag: str) -> tuple[HubFile, ...] | None:
    if tag.lower() == "latest":
        return min(models, key=lambda model: (_rank(_format(model[0].path)), len(model[0].path)))
    wanted = tag.lower().removesuffix(".gguf")
    for model in models:
        name = PurePosixPath(model[0].path).name.lower().removesuffix(".gguf")
        if wanted in {name, _SHARD.sub("", name)}:
            return model
    labelled = [model for model in models if _format(model[0].path).lower() == wanted]
    return min(labelled, key=lambda model: len(model[0].path), default=None)


def _rank(name: str) -> int:
    return _GOOD.index(name) if name in _GOOD else len(_GOOD)


def _projector(files: Iterable[HubFile], weights: str) -> HubFile | None:
    """Return the file that lets the model see: beside its weights, or at the top."""
    folders = {str(PurePosixPath(weights).parent), "."}
    found = [
        file
        for file in files
        if file.path.lower().endswith(".gguf")
        and "mmproj" in PurePosixPath(file.path).name.lower()
        and str(PurePosixPath(file.path).parent) in folders
        and file.digest is not None
    ]
    return min(found, key=lambda file: (_eye_rank(_format(file.path)), file.path), default=None)


def _eye_rank(name: str) -> int:
    return _EYES.index(name) if name in _EYES else len(_EYES)
