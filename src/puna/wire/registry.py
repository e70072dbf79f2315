"""What registries of models and containers send beside manifests, and what lies on disk for them.

The replies of token servers, the errors of the OCI distribution API, Docker's file of logins, and
the state of a part of a download as Ollama writes it. Manifests are read by `models.manifest`.
"""

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt


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
    """One login: `auth` is the base64 of `user:password`."""

    auth: str = ""
    username: str = ""
    password: str = ""


class DockerConfig(Sent):
    """`config.json` of Docker, as far as it holds logins."""

    auths: dict[str, DockerLogin] = {}


class PartState(Sent):
    """`blobs/sha256-<hex>-partial-<n>`: one part of a download, in Ollama's form."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    number: NonNegativeInt = Field(alias="N")
    offset: NonNegativeInt = Field(alias="Offset")
    size: NonNegativeInt = Field(alias="Size")
    completed: NonNegativeInt = Field(alias="Completed")
