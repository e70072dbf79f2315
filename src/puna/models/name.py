"""A model's name: `[scheme://][host/][namespace/]model[:tag]`, as a value that is always valid.

The name of a model becomes a path in the store, so nothing but the grammar below ever becomes a
`ModelName`: each part starts with a letter, a digit or `_`, and holds no slash of either kind and
no control character. `..` is therefore no part.
"""

import re
from dataclasses import dataclass
from typing import Self

from puna.errors import Invalid

DEFAULT_SCHEME = "https"
DEFAULT_HOST = "registry.ollama.ai"
DEFAULT_NAMESPACE = "library"
DEFAULT_TAG = "latest"

_SCHEMES = frozenset({"http", "https"})
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}")
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")


class InvalidName(Invalid):
    """A text that is no model name."""

    code = "invalid_name"


@dataclass(frozen=True, slots=True)
class ModelName:
    """A complete name. Two that differ only in case are one model: use `matches` or `key`."""

    model: str
    tag: str = DEFAULT_TAG
    namespace: str = DEFAULT_NAMESPACE
    host: str = DEFAULT_HOST
    scheme: str = DEFAULT_SCHEME

    def __post_init__(self) -> None:
        is_valid = (
            self.scheme in _SCHEMES
            and _HOST.fullmatch(self.host)
            and _NAMESPACE.fullmatch(self.namespace)
            and _WORD.fullmatch(self.model)
            and _WORD.fullmatch(self.tag)
        )
        if not is_valid:
            raise InvalidName(
                "invalid model name", hint="a name looks like qwen3:8b or hf.co/user/model:Q4_K_M"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name, filling in what is left out. Raises `InvalidName`."""
        tag = DEFAULT_TAG
        if text.rfind(":") > text.rfind("/"):
            text, _, tag = text.rpartition(":")
        rest, has_namespace, model = text.rpartition("/")
        if not has_namespace:
            return cls(model, tag)
        rest, has_host, namespace = rest.rpartition("/")
        if not has_host:
            return cls(model, tag, namespace)
        scheme, has_scheme, host = rest.partition("://")
        if not has_scheme:
            return cls(model, tag, namespace, rest)
        return cls(model, tag, namespace, host, scheme.lower())

    @property
    def shortest(self) -> str:
        """The name as people see it: no default host, no default namespace, always the tag."""
        name = f"{self.model}:{self.tag}"
        if self.host.lower() != DEFAULT_HOST:
            return f"{self.host}/{self.namespace}/{name}"
        if self.namespace.lower() != DEFAULT_NAMESPACE:
            return f"{self.namespace}/{name}"
        return name

    @property
    def full(self) -> str:
        """All four parts: `host/namespace/model:tag`."""
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def path_parts(self) -> tuple[str, str, str, str]:
        """Where its manifest lies below `manifests/`: host, namespace, model, tag."""
        return self.host, self.namespace, self.model, self.tag

    @property
    def key(self) -> str:
        """The same text for all names that mean the same model."""
        return self.full.lower()

    def matches(self, other: Self) -> bool:
        """Tell whether both mean the same model; case does not count."""
        return self.key == other.key

    def __str__(self) -> str:
        return self.shortest
