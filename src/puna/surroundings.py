"""Variables that many programs share: the terminal, the language, the proxies.

Pure: `settings` reads the environment and hands it in. Named tuples, since every command starts
with these.
"""

from collections.abc import Mapping
from typing import NamedTuple, Self


class Desk(NamedTuple):
    """How the person at the terminal works."""

    has_escapes: bool
    """The terminal understands movements and colours: `TERM` is not `dumb`."""
    has_colours: bool
    """`NO_COLOR` is not set."""
    editor: str
    """`VISUAL`, else `EDITOR`, else vi."""
    languages: tuple[str, ...] = ()
    """The languages that the person reads, the dearest first, such as `pl_PL` and `pl`."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables."""
        return cls(
            has_escapes=environ.get("TERM", "") != "dumb",
            has_colours=not environ.get("NO_COLOR"),
            editor=environ.get("VISUAL") or environ.get("EDITOR") or "vi",
            languages=_languages(environ),
        )


def _languages(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return what the locale asks for, by the rules of gettext.

    The first of `LC_ALL`, `LC_MESSAGES` and `LANG` is the locale; `LANGUAGE` lists languages in its
    place, unless the locale is C. A territory, a code set and a modifier may be dropped; what comes
    after English is not wanted.
    """
    locale = next(filter(None, map(environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    if locale in {"C", "POSIX"}:
        return ()
    found: list[str] = []
    for name in (environ.get("LANGUAGE") or locale).split(":"):
        full = name.partition(".")[0].partition("@")[0]
        language = full.partition("_")[0]
        if language in {"en", "C", "POSIX"}:
            break
        found += [full, language] if full else []
    return tuple(dict.fromkeys(found))


class Proxies(NamedTuple):
    """Which servers stand between this machine and the web."""

    http: str = ""
    https: str = ""
    exempt: str = ""
    """Hosts that are reached directly, as `NO_PROXY` lists them."""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Read the variables, in either case; the lower case wins, as in curl."""
        everywhere = _proxy(environ, "all_proxy")
        return cls(
            _proxy(environ, "http_proxy") or everywhere,
            _proxy(environ, "https_proxy") or everywhere,
            environ.get("no_proxy") or environ.get("NO_PROXY") or "",
        )

    def between(self, scheme: str, host: str) -> str:
        """Return the proxy for a host; empty if there is none, as for this machine always."""
        host = host.lower()
        if host == "localhost" or host.startswith("127.") or host in {"::1", "[::1]"}:
            return ""
        for part in map(str.strip, self.exempt.lower().split(",")):
            if part == "*" or (part and f".{host}".endswith(f".{part.lstrip('.')}")):
                return ""
        return self.https if scheme == "https" else self.http


def _proxy(environ: Mapping[str, str], name: str) -> str:
    url = environ.get(name) or environ.get(name.upper()) or ""
    return url if "://" in url or not url else f"http://{url}"
