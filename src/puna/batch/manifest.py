"""The manifest of a job: all that its results depend on, written once.

Running the same command again continues the job. If anything in here has changed since, the results
would be a mixture, so the job is refused by the name of what changed.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from puna.batch.formats import Format
from puna.batch.intake import Intake
from puna.batch.reading import Reading
from puna.batch.spec import EmbedTask, Kind, Label, LabelTask, PromptTask, SchemaTask, Spec, Task
from puna.batch.wording import WORDING
from puna.batch.workers.worker import Identity
from puna.errors import Conflict, Failed

_VERSION = 1


class ChangedJob(Conflict):
    """The same job was begun with something else."""

    code = "changed_job"


class DamagedJob(Failed):
    """The folder of a job is not as puna left it."""

    code = "damaged_job"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a person ordered: which rows, what to make of them, and where to."""

    inputs: tuple[str, ...]
    """Files, folders and patterns, absolute; of what was piped in, the job's own copy."""
    output: str
    spec: Spec
    reading: Reading = field(default_factory=Reading)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """An order, and what was found when it was begun."""

    order: Order
    files: tuple[str, ...]
    input_digest: str
    intake: Intake
    identity: Identity
    shard_rows: int
    batch_rows: int
    puna: str
    begun: str
    wording: int = WORDING

    @property
    def shards(self) -> int:
        """How many shards there are."""
        return -(-self.intake.distinct // self.shard_rows)

    @property
    def digest(self) -> str:
        """A digest of everything, which every part of the job carries."""
        return hashlib.sha256(self.to_json()).hexdigest()

    def to_json(self) -> bytes:
        """Return it as it stands on the disk."""
        return json.dumps(
            {"version": _VERSION, **_plain(self)}, indent=1, ensure_ascii=False
        ).encode()


def _plain(manifest: Manifest) -> dict[str, object]:
    found = asdict(manifest)
    found["order"] = plain_order(manifest.order)
    return found


def plain_order(order: Order) -> dict[str, object]:
    """Return an order as JSON can say it."""
    return {
        "inputs": list(order.inputs),
        "output": order.output,
        "reading": asdict(order.reading),
        "spec": plain_spec(order.spec),
    }


def plain_spec(spec: Spec) -> dict[str, object]:
    """Return a spec as JSON can say it."""
    return {**asdict(spec), "task": {"kind": spec.task.kind.value, **asdict(spec.task)}}


def read_manifest(content: bytes, path: Path) -> Manifest:
    """Read a manifest. Raises `DamagedJob`."""
    try:
        value = json.loads(content)
        if value.pop("version") != _VERSION:
            raise DamagedJob(
                f"{path} was written by another version of puna",
                hint="finish the job with that version, or begin anew with --anew",
            )
        intake, identity = Intake(**value.pop("intake")), Identity(**value.pop("identity"))
        order = read_order(value.pop("order"))
        files = tuple(value.pop("files"))
        return Manifest(
            **{**value, "order": order, "files": files, "intake": _tupled(intake)},
            identity=identity,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedJob(
            f"{path} is damaged: {error}", hint="begin the job anew with --anew"
        ) from error


def read_order(value: Mapping[str, object]) -> Order:
    """Read what `plain_order` gave. Raises `KeyError`, `TypeError`, `ValueError`."""
    reading = _fields(value["reading"])
    if reading["format"] is not None:
        reading["format"] = Format(str(reading["format"]))
    inputs = value["inputs"]
    if not isinstance(inputs, list):
        raise TypeError("inputs is no list")
    return Order(
        inputs=tuple(map(str, inputs)),
        output=str(value["output"]),
        spec=read_spec(_fields(value["spec"])),
        reading=Reading(**reading),  # type: ignore[arg-type]
    )


_TASKS: Mapping[Kind, type[Task]] = {
    Kind.LABELS: LabelTask,
    Kind.PROMPT: PromptTask,
    Kind.SCHEMA: SchemaTask,
    Kind.EMBED: EmbedTask,
}


def read_spec(value: dict[str, object]) -> Spec:
    """Read what `plain_spec` gave. Raises `KeyError`, `TypeError`, `ValueError`."""
    task = _fields(value["task"])
    kind = Kind(str(task.pop("kind")))
    labels = task.get("labels")
    if isinstance(labels, list | tuple):
        task["labels"] = tuple(Label(**each) for each in labels)
    return Spec(**{**value, "task": _TASKS[kind](**task)})  # type: ignore[arg-type]


def _fields(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError("an object is missing")
    return dict(value)


def _tupled(intake: Intake) -> Intake:
    return Intake(intake.rows, intake.distinct, intake.bad, tuple(intake.columns), intake.kinds)


def changes(old: Manifest, order: Order, input_digest: str) -> tuple[str, ...]:
    """Return in words what differs from the job that was begun; nothing if it is the same."""
    found = []
    if input_digest != old.input_digest:
        found.append("the input")
    for each in fields(Spec):
        if each.name in {"task", "path"}:
            continue
        was, now = getattr(old.order.spec, each.name), getattr(order.spec, each.name)
        if was != now:
            found.append(_changed(each.name, was, now))
    found += _task_changes(old.order.spec.task, order.spec.task)
    for name in ("format", "delimiter", "has_header", "limit"):
        was, now = getattr(old.order.reading, name), getattr(order.reading, name)
        if was != now:
            found.append(_changed(name, was, now))
    if old.wording != WORDING:
        found.append("puna's words around a row")
    return tuple(found)


def _task_changes(old: Task, new: Task) -> list[str]:
    if type(old) is not type(new):
        return [_changed("task", old.kind.value, new.kind.value)]
    return [
        _changed(each.name, getattr(old, each.name), getattr(new, each.name))
        for each in fields(old)
        if getattr(old, each.name) != getattr(new, each.name)
    ]


def _changed(name: str, was: object, now: object) -> str:
    if isinstance(was, str | int | float | bool | None) and len(f"{was}{now}") < 80:  # noqa: PLR2004 - a line
        return f"{name.replace('_', ' ')} (was {_shown(was)}, is {_shown(now)})"
    return f"the {name.replace('_', ' ')}"


def _shown(value: object) -> str:
    return "not set" if value in {None, ""} else str(value)


def identity_changes(old: Identity, new: Identity) -> tuple[str, ...]:
    """Return in words what computes differently now."""
    found = []
    if old.model_digest and new.model_digest and old.model_digest != new.model_digest:
        found.append(f"the model (was {old.model_digest[:12]}, is {new.model_digest[:12]})")
    if old.engine != new.engine:
        found.append(f"the engine (was {old.engine}, is {new.engine})")
    if old.path != new.path:
        found.append(f"the way of computing (was {old.path}, is {new.path})")
    return tuple(found)


def refuse_changes(found: tuple[str, ...], output: str) -> None:
    """Raise `ChangedJob` if anything has changed."""
    if found:
        raise ChangedJob(
            f"the job for {output} was begun with something else: {'; '.join(found)}",
            hint="put it back to go on, or begin anew with --anew, which drops what was computed",
        )
