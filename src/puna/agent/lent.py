"""Whether what the market orders is within what this machine's owner lends. Pure.

The market counts by itself what is free on a machine; one that counts wrong, or means ill, is not
obeyed: a pod that would take more than is left of what is lent is given up.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from puna.agent.converge import Want
from puna.agent.orders import Told
from puna.units import Size
from puna.wire.agent import MachineReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """What is lent of a machine, or taken of it by pods. Cards are counted where they are given."""

    processors: int
    memory: Size
    disk: Size

    @classmethod
    def of(cls, machine: MachineReport) -> "Lot":
        """Return what is lent of a machine."""
        return cls(
            processors=machine.processors, memory=Size(machine.memory), disk=Size(machine.disk)
        )


def why_too_much(
    told: Mapping[str, Told], pod: str, there: Collection[str], lent: Lot | None
) -> str:
    """Say what of all that is lent a pod would take too much of; empty if it fits.

    Pods that have a container, `there`, come before it, and of the others those with lesser names:
    so of two that do not fit together one does.
    """
    if lent is None or pod not in told:
        return ""
    run = [each for each in told.values() if each.order.want is Want.RUN]
    before = [each for each in run if _rank(each, there) <= _rank(told[pod], there)]
    kept = sum(each.volume for each in told.values() if each.order.want is Want.STOP)
    asked = Lot(
        processors=sum(each.design.processors for each in before),
        memory=Size(sum(each.design.memory for each in before)),
        disk=Size(sum(each.disk + each.volume for each in before) + kept),
    )
    if asked.processors > lent.processors:
        return f"{asked.processors} processors are ordered and {lent.processors} are lent"
    if asked.memory > lent.memory:
        return f"{asked.memory} of memory are ordered and {lent.memory} are lent"
    if asked.disk > lent.disk:
        return f"{asked.disk} of disk are ordered and {lent.disk} are lent"
    return ""


def _rank(told: Told, there: Collection[str]) -> tuple[bool, str]:
    return told.order.pod not in there, told.order.pod
