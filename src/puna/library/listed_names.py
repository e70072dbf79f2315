"""The names in the curated list, without reading the rest of it.

A shell that completes a word cannot wait until every row is read and checked; a test holds these
names against those of the checked list.
"""

import re
from collections.abc import Iterator
from pathlib import Path

_NAME = re.compile(r'^name = "([^"]+)"|^ +\{ tag = "([^"]+)"', re.MULTILINE)


def listed_names() -> Iterator[str]:
    """Return every name of the list, and with each of its sizes."""
    name = ""
    text = Path(__file__).with_name("curated.toml").read_text(encoding="utf-8")
    for named, tag in _NAME.findall(text):
        name = named or name
        yield named or f"{name}:{tag}"
