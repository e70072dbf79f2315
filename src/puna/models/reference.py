"""What a person wrote for a model: a name, a place on the Hugging Face hub, or a file.

Links copied from a browser count as what they point to. Only a text that starts as a path, or one
that ends in `.gguf` and is a file here, is taken for a file; all else must be a valid name.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from puna.errors import Invalid
from puna.models.name import DEFAULT_HOST, InvalidName, ModelName
from puna.text import one_line

HUB_HOST = "hf.co"
_HUB_HOSTS = frozenset({HUB_HOST, "huggingface.co", "www.huggingface.co"})
_OLLAMA_HOSTS = frozenset({"ollama.com", "www.ollama.com"})
_PATH_STARTS = ("/", "./", "../", "~", "file://")


class InvalidReference(Invalid):
    """A text that names neither a model nor a file nor a place where models are."""

    code = "invalid_reference"


@dataclass(frozen=True, slots=True)
class LibraryReference:
    """A model in a registry, or one of that name in the store."""

    name: ModelName


@dataclass(frozen=True, slots=True)
class HubReference:
    """A model in a repository of the Hugging Face hub; the tag is a quantization or a file."""

    name: ModelName
    file: str = ""
    """The path inside the repository, where the person named one file."""
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class FileReference:
    """A GGUF file on this machine; nobody has looked yet whether it exists."""

    path: Path


Reference = LibraryReference | HubReference | FileReference


def parse_reference(text: str, *, cwd: Path) -> Reference:
    """Return what `text` refers to; relative paths start at `cwd`.

    Raises:
        InvalidName: It is neither a file nor a link, and no name.
        InvalidReference: It is a link or a path that leads to no model.
    """
    if text in {".", ".."} or text.startswith(_PATH_STARTS):
        return _file(text, cwd)
    link = _link(_completed(text.strip()))
    if link is not None:
        host = (link.hostname or "").lower()
        if host in _HUB_HOSTS:
            return _hub_link(link)
        if host in _OLLAMA_HOSTS:
            return _ollama_link(link)
        text = text.strip()
    elif text.lower().endswith(".gguf") and _is_file(cwd / text):
        return FileReference(cwd / text)
    name = ModelName.parse(text)
    return HubReference(name) if name.host.lower() in _HUB_HOSTS else LibraryReference(name)


def _file(text: str, cwd: Path) -> FileReference:
    if "\0" in text:
        raise InvalidReference(f'"{one_line(text)}" is no path: it holds a NUL character')
    if text.startswith("file://"):
        link = _link(text)
        if link is None or link.netloc not in {"", "localhost"}:
            raise InvalidReference(f'"{one_line(text)}" is no path on this machine')
        return _file(unquote(link.path) or "/", cwd)
    try:
        return FileReference(cwd / Path(text).expanduser())
    except RuntimeError as error:
        raise InvalidReference(f'"{one_line(text)}" names a home that is not known') from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _completed(text: str) -> str:
    """Put `https://` before a link to a page of the hub that was copied without it."""
    host, *parts = text.split("/")
    is_page = host.lower() in _HUB_HOSTS and len(parts) > len(("user", "model"))
    return f"https://{text}" if is_page else text


def _link(text: str) -> SplitResult | None:
    if not re.match(r"(https?|file)://", text, re.IGNORECASE):
        return None
    try:
        return urlsplit(text)
    except ValueError:
        return None


_FILE_PAGES = frozenset({"blob", "resolve", "raw"})
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+ -]*")


def _hub_link(link: SplitResult) -> HubReference:
    parts = [unquote(part) for part in link.path.split("/") if part]
    if len(parts) < 2 or parts[0] in {"datasets", "spaces", "docs", "papers"}:  # noqa: PLR2004
        raise _no_model(link, "https://hf.co/USER/MODEL")
    user, model, page, revision, *path = [*parts, "", ""][: max(4, len(parts))]
    if page in _FILE_PAGES and path:
        return _hub_name(link, user, model, file="/".join(path), revision=revision)
    shown = parse_qs(link.query).get("show_file_info", [""])[0]
    if shown:
        return _hub_name(link, user, model, file=shown, revision="main")
    return _hub_name(link, user, model, file="", revision=revision or "main")


def _hub_name(
    link: SplitResult, user: str, model: str, *, file: str, revision: str
) -> HubReference:
    if not all(_PART.fullmatch(part) for part in (*file.split("/"), revision) if file or part):
        raise _no_model(link, "https://hf.co/USER/MODEL/blob/main/FILE.gguf")
    model, _, tag = model.partition(":")
    tag = file.rpartition("/")[2] or tag or "latest"
    try:
        return HubReference(ModelName(model, tag, user, HUB_HOST), file, revision)
    except InvalidName as error:
        raise _no_model(link, "https://hf.co/USER/MODEL") from error


def _ollama_link(link: SplitResult) -> LibraryReference:
    parts = [unquote(part) for part in link.path.split("/") if part]
    if len(parts) not in {1, 2}:
        raise _no_model(link, "https://ollama.com/library/MODEL")
    return LibraryReference(ModelName.parse("/".join([DEFAULT_HOST, *["library", *parts][-2:]])))


def _no_model(link: SplitResult, form: str) -> InvalidReference:
    return InvalidReference(
        f'"{one_line(link.geturl())}" is no link to a model', hint=f"such a link looks like {form}"
    )
