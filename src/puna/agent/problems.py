"""What goes wrong between the agent and its container engine, and its machine."""

from puna.errors import Conflict, Failed, NotFound, Unavailable


class EngineGone(Unavailable):
    """Nothing answers at the engine's socket; the same call may be made again."""

    code = "engine_gone"


class EngineRefused(Failed):
    """The engine says no, in its own words."""

    code = "engine_refused"


class NotOnEngine(NotFound):
    """The engine has no such container, image, volume or network."""

    code = "not_on_engine"


class AlreadyThere(Conflict):
    """The engine has something of that name, or it is in use."""

    code = "already_there"


class NoRoom(Failed):
    """This machine has not what a pod needs: cards, disk."""

    code = "no_room"
