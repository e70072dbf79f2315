"""Who asks: the account, what it has and owes, and its keys for SSH."""

from collections.abc import Mapping

from puna.errors import Unsupported
from puna.market.actions.accounts import replace_public_keys
from puna.market.db.ledger import balance_of, renter
from puna.market.domain.ledger import Book, BookKind
from puna.market.http.graph.asked import Asked, Field, Shape, Words
from puna.market.http.graph.pods import pods_of_account
from puna.market.http.money import dollars
from puna.units import Money

_BLANK = "\n\n"
"""Between keys, as RunPod's clients write and read them."""
_MAILS = ("notifyPodsStale", "notifyPodsGeneral", "notifyLowBalance")


class NoMail(Unsupported):
    """The market sends no mail."""

    code = "no_mail"


async def _myself(asked: Asked, _words: Words) -> Shape:
    account = asked.caller.account
    return {
        "id": account.id,
        "authId": account.id,
        "email": account.email,
        "pubKey": _BLANK.join(account.public_keys),
        "minBalance": 0.0,
        **dict.fromkeys(_MAILS, False),
    }


async def _balance(_user: object, asked: Asked, _words: Words) -> float | None:
    async with asked.reading() as tx:
        return dollars(await balance_of(tx, renter(asked.account)))


async def _earned(_user: object, asked: Asked, _words: Words) -> float | None:
    async with asked.reading() as tx:
        return dollars(await balance_of(tx, Book(BookKind.HOST, asked.account)))


async def _is_under_balance(user: object, asked: Asked, words: Words) -> bool:
    return (await _balance(user, asked, words) or 0) <= 0


async def _spend(_user: object, asked: Asked, _words: Words) -> float | None:
    """Return what an hour of all pods costs as they are now."""
    return dollars(Money(sum(each.an_hour for each in await pods_of_account(asked))))


async def _update_settings(asked: Asked, words: Words) -> Shape:
    if any(words.get(name) for name in _MAILS):
        raise NoMail("this market sends no mail")
    if words.get("pubKey") is not None:
        keys = [line.strip() for line in words["pubKey"].splitlines() if line.strip()]
        async with asked.writing() as tx:
            kept = await replace_public_keys(tx, asked.account, keys)
        return {**await _myself(asked, {}), "pubKey": _BLANK.join(kept)}
    return await _myself(asked, {})


FIELDS: Mapping[str, Field] = {
    "Query.myself": _myself,
    "User.clientBalance": _balance,
    "User.hostBalance": _earned,
    "User.underBalance": _is_under_balance,
    "User.currentSpendPerHr": _spend,
    "Mutation.updateUserSettings": _update_settings,
}
