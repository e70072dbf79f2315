"""How people name an endpoint: its address, the model's name there, and where its key is.

`http://10.0.0.7:11434,model=llama3.2,key=env:LAB_KEY`. A key is never a part of that text, since
what stands in a command can be read by everybody on the machine: it is named by the variable or the
file that holds it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from yarl import URL

from puna.errors import Invalid
from puna.origin import InvalidUrl, web_url
from puna.text import one_line

_HINT = "write it like http://10.0.0.7:11434,model=llama3.2,key=env:LAB_KEY"
_LONGEST_KEY = 4096
_FIELDS = ("model", "key")


class BadEndpoint(Invalid):
    """An endpoint is named in a way that cannot be read, or its key is not where it should be."""

    code = "bad_endpoint"


@dataclass(frozen=True, slots=True)
class EndpointAddress:
    """One endpoint, as a person named it."""

    url: URL
    model: str = ""
    """Its name there; empty is the job's own."""
    key: str = ""
    """Where its key is: `env:NAME` or `file:PATH`."""
    called: str = ""
    """What people call it, where that is not the address."""

    @property
    def name(self) -> str:
        """What people see of it: never more than the address."""
        return self.called or str(self.url)


def read_endpoint(text: str) -> EndpointAddress:
    """Read an endpoint. Raises `BadEndpoint`, which never shows what may be a key."""
    address, *others = text.strip().split(",")
    fields: dict[str, str] = {}
    for each in others:
        name, mark, value = each.strip().partition("=")
        if name not in _FIELDS or not mark or not value or name in fields:
            raise BadEndpoint(f"an endpoint has no field '{one_line(name, 20)}'", hint=_HINT)
        fields[name] = value
    if "://" not in address:
        address = f"http://{address}"
    try:
        url = web_url(address)
    except InvalidUrl as error:
        raise BadEndpoint(error.message, hint=_HINT) from error
    if url.query_string or url.fragment:
        raise BadEndpoint("the address of an endpoint has no query and no fragment", hint=_HINT)
    key = fields.get("key", "")
    if key and key.partition(":")[0] not in {"env", "file"}:
        raise BadEndpoint(
            "a key is named by where it is: key=env:NAME or key=file:PATH",
            hint="what stands in a command can be read by everybody on this machine",
        )
    return EndpointAddress(url.with_path(url.path.rstrip("/")), fields.get("model", ""), key)


def read_key(reference: str, environ: Mapping[str, str] | Callable[[str], str]) -> str:
    """Return the key that a reference names; empty for no reference. Raises `BadEndpoint`."""
    if not reference:
        return ""
    kind, _, place = reference.partition(":")
    if kind == "env":
        found = environ(place) if callable(environ) else environ.get(place, "")
        what = f"the variable {one_line(place, 60)}"
    else:
        found, what = _read_file(Path(place).expanduser()), f"the file {one_line(place, 200)}"
    key = found.strip()
    if not key or len(key) > _LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise BadEndpoint(f"{what} holds no key", hint="it must hold the key and nothing else")
    return key


def _read_file(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_LONGEST_KEY + 2)
    except (OSError, UnicodeDecodeError) as error:
        raise BadEndpoint(f"the file {path} with a key cannot be read") from error
