"""Identifiers as RunPod's: lower case letters and digits, fit for a host name."""

from puna.world import World

POD = 14
TEMPLATE = 10
REGISTRY = 25
SECRET = 10
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"


def new_id(world: World, length: int) -> str:
    """Return an id that nobody can guess."""
    number = int(world.token() + world.token(), 16)
    letters = []
    for _ in range(length):
        number, place = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[place])
    return "".join(letters)
