"""Where a pod's ports are seen from outside: a name of their own, or a path of the market."""

from dataclasses import dataclass
from urllib.parse import urlsplit

PATH = "/p"
"""`PATH/{pod}/{port}/` leads to a port where there is no wildcard domain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """How this market is reached."""

    url: str
    domain: str
    ssh_host: str
    ssh_port: int

    def url_of(self, pod: str, port: int) -> str:
        """Return the address of an HTTP port of a pod."""
        if not self.domain:
            return f"{self.url}{PATH}/{pod}/{port}/"
        parts = urlsplit(self.url)
        place = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{pod}-{port}.{self.domain}{place}/"

    def ssh_command(self, pod: str) -> str:
        """Return what leads to a shell in a pod."""
        place = "" if self.ssh_port == _SSH else f" -p {self.ssh_port}"
        return f"ssh {pod}@{self.ssh_host}{place}"


_SSH = 22
