"""What child processes of the store's tests do: `python children.py PART ROOT`.

Each says a line when it is where the test wants it, and then waits for its input to end.
"""

import itertools
import resource
import sys
from pathlib import Path

from puna.library.lock import exclusive
from puna.library.store import ModelNotFound, ModelStore
from puna.models.digest import digest_of
from puna.models.manifest import Manifest
from puna.models.name import ModelName
from puna.world import RealWorld
from tests.builders import a_config, a_layer, a_manifest

WEIGHTS = b"weights" * 1000


def hold(root: Path) -> None:
    """Have a complete blob in a model that is not published."""
    with ModelStore(root, RealWorld()).draft() as draft:
        draft.write(WEIGHTS)
        _stand_still()


def write(root: Path) -> None:
    """Be in the middle of a blob."""
    with (
        ModelStore(root, RealWorld()).draft() as draft,
        draft.receive(digest_of(WEIGHTS)) as incoming,
    ):
        (draft.scratch / "half a wheel").write_bytes(WEIGHTS)
        incoming.write(WEIGHTS[:500])
        _stand_still()


def lock(root: Path) -> None:
    """Hold the lock."""
    with exclusive(root / ".puna" / "lock"):
        _stand_still()


def limited(root: Path) -> None:
    """Write where files may not grow: the disk seems full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    with ModelStore(root, RealWorld()).draft() as draft:
        try:
            draft.write(WEIGHTS)
        except Exception as error:  # noqa: BLE001 - the test looks at what it is
            _say(f"{type(error).__name__} {error}")


def churn(root: Path) -> None:
    """Publish and remove models without end; say a line after each, and errors by name."""
    store = ModelStore(root, RealWorld())
    for number in itertools.count():
        config, weights = a_config(), b"%d" % (number % 3) * 5000
        manifest = Manifest.parse(a_manifest(a_layer("model", weights), config=config))
        name = ModelName("churn", f"{number % 2}")
        try:
            with store.draft() as draft:
                draft.write(config)
                draft.write(weights)
                store.publish(draft, name, manifest)
            if number % 3 == 0:
                store.remove(name)
        except ModelNotFound:
            pass  # the other process was faster
        except Exception as error:  # noqa: BLE001 - the test looks at what it is
            _say(f"{type(error).__name__} {error}")
        _say("turn")


def _stand_still() -> None:
    _say("there")
    sys.stdin.read()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    parts = {"hold": hold, "write": write, "lock": lock, "limited": limited, "churn": churn}
    parts[sys.argv[1]](Path(sys.argv[2]))
