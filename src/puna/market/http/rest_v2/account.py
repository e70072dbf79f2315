"""The account in RunPod's version 2: its public keys for SSH."""

from fastapi import APIRouter

from puna.market.actions.accounts import replace_public_keys
from puna.market.http.auth import Renter, ThisMarket, writing
from puna.wire.runpod_rest import SshKeys, SshKeysTold

router = APIRouter(prefix="/v2/account", tags=["account"])


@router.get("/ssh-keys")
async def get_ssh_keys(caller: Renter) -> SshKeysTold:
    """The public keys that open the account's pods."""
    return SshKeysTold(keys=list(caller.account.public_keys))


@router.put("/ssh-keys")
async def put_ssh_keys(body: SshKeys, market: ThisMarket, caller: Renter) -> SshKeysTold:
    """Replace all of them."""
    async with writing(market) as tx:
        keys = await replace_public_keys(tx, caller.account.id, body.keys)
    return SshKeysTold(keys=list(keys))
