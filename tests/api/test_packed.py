"""Bodies that are compressed: read as if they were not, and never unpacked without a limit."""

import gzip
import json
import sys

import pytest

from tests.api.stage import Stage

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

ASKED = json.dumps({"model": "tiny", "prompt": "hi", "stream": False}).encode()


@pytest.mark.parametrize(("pack", "name"), [(zstd.compress, "zstd"), (gzip.compress, "gzip")])
async def test_a_compressed_body_is_read(stage: Stage, pack: object, name: str) -> None:
    assert callable(pack)
    reply = await stage.ask("POST", "/api/generate", pack(ASKED), Content_Encoding=name)
    assert reply.json["response"] == "echo: hi"


@pytest.mark.parametrize(("pack", "name"), [(zstd.compress, "zstd"), (gzip.compress, "gzip")])
async def test_a_body_that_unpacks_to_too_much_is_413(
    stage: Stage, pack: object, name: str
) -> None:
    assert callable(pack)
    bomb = pack(b" " * (21 * 2**20))
    reply = await stage.ask("POST", "/api/generate", bomb, Content_Encoding=name)
    assert (reply.status, reply.headers["Puna-Error-Code"]) == (413, "unpacks_too_large")


@pytest.mark.parametrize("name", ["zstd", "gzip"])
@pytest.mark.parametrize(
    "body", [ASKED, gzip.compress(ASKED, mtime=0)[:-9], zstd.compress(ASKED)[:-3]]
)
async def test_a_damaged_body_is_400(stage: Stage, body: bytes, name: str) -> None:
    reply = await stage.ask("POST", "/api/generate", body, Content_Encoding=name)
    assert (reply.status, reply.error) == (400, f"the body is not valid {name}")


async def test_an_unknown_encoding_is_415(stage: Stage) -> None:
    reply = await stage.ask("POST", "/api/generate", ASKED, Content_Encoding="br")
    assert reply.status == 415
