"""What the Hugging Face hub says of a repository. Fields that nobody needs are left out."""

from pydantic import BaseModel, ConfigDict, Field


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class RepositoryFacts(_Part):
    """`GET /api/models/{repository}/revision/{revision}`."""

    sha: str = Field(pattern=r"^[0-9a-f]{7,64}$")
    gated: bool | str = False


class LargeFile(_Part):
    """A file that lies outside git, under its digest."""

    oid: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0, le=2**62)


class TreeEntry(_Part):
    """One line of `GET /api/models/{repository}/tree/{revision}`."""

    type: str
    path: str = Field(max_length=4096)
    size: int = Field(default=0, ge=0, le=2**62)
    lfs: LargeFile | None = None
