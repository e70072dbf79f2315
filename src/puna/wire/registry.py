"""What registries of models and containers send beside manifests, and Docker's file of logins.

The replies of token servers and the errors of the OCI distribution API. Manifests are read by
`models.manifest`.
"""

from pydantic import BaseModel, ConfigDict


class Sent(BaseModel):
    """What another program wrote: what is not known here is left out."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class TokenReply(Sent):
    """`GET realm`: a token for the registry. Docker's servers use either name."""

    token: str = ""
    access_token: str = ""


class RegistryFault(Sent):
    """One reason of a registry."""

    code: str = ""
    message: str = ""


class RegistryErrors(Sent):
    """Why a registry refuses: the OCI form, or Hugging Face's single text."""

    errors: list[RegistryFault] = []
    error: str = ""

    @property
    def reason(self) -> str:
        """The first reason in words; empty if there is none."""
        words = [fault.message or fault.code for fault in self.errors]
        return next(filter(None, [*words, self.error]), "")


class DockerLogin(Sent):
    """One login: `auth` is the base64 of `user:password`, or a token stands for the person."""

    auth: str = ""
    identitytoken: str = ""
    username: str = ""
    password: str = ""


class DockerConfig(Sent):
    """`config.json` of Docker, as far as it holds logins or names the programs that do."""

    auths: dict[str, DockerLogin] = {}
    credsStore: str = ""  # noqa: N815 - Docker's spelling
    credHelpers: dict[str, str] = {}  # noqa: N815 - the same


class KeptLogin(Sent):
    """What `docker-credential-NAME get` prints."""

    Username: str = ""
    Secret: str = ""
