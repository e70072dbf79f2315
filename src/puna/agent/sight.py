"""What an agent shows its market of each pod. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from puna.agent.converge import Container, Phase, Pulled
from puna.agent.orders import Told
from puna.agent.shown import Shown
from puna.agent.usage import Usage
from puna.wire.agent import PodReport, PortReport

_OBSERVED = {Phase.CREATED: "created", Phase.RUNNING: "running", Phase.EXITED: "exited"}
_LONGEST = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """All that bears on the reports of a turn."""

    shown: Sequence[Shown] = ()
    told: Mapping[str, Told] = field(default_factory=dict)
    pulls: Mapping[str, Pulled] = field(default_factory=dict)
    given_up: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    """By pod: the run that cannot be here, and why."""
    volumes: frozenset[str] = frozenset()
    usage: Mapping[str, Usage] = field(default_factory=dict)
    idle: Mapping[str, int] = field(default_factory=dict)
    """By pod: the run that was stopped because nobody used it."""


def reports_of(sight: Sight) -> tuple[PodReport, ...]:
    """Return what to report of every pod that is ordered or has a container here."""
    shown_by_pod: dict[str, Shown] = {}
    for each in sorted(sight.shown, key=lambda one: _rank(one.container)):
        shown_by_pod[each.container.pod] = each
    pods = sorted({*sight.told, *shown_by_pod})
    reports = (_report(pod, sight, shown_by_pod.get(pod)) for pod in pods)
    return tuple(_with_idleness(each, sight) for each in reports)


def _with_idleness(report: PodReport, sight: Sight) -> PodReport:
    """Say of a run that was stopped because nobody used it that it was; the market stops it too."""
    told, run = sight.told.get(report.pod), sight.idle.get(report.pod)
    if told is None or (told.order.want, told.order.run) != ("run", run):
        return report
    if report.observed == "running":
        return report
    said = {"run": run, "observed": "exited", "is_idle": True, "reason": ""}
    return report.model_copy(update=said)


def _rank(container: Container) -> tuple[int, int, bool]:
    """The one to be shown comes last: of the newest run, the one that runs."""
    return (container.run, container.crashes, container.phase is Phase.RUNNING)


def _report(pod: str, sight: Sight, shown: Shown | None) -> PodReport:
    told = sight.told.get(pod)
    run = told.order.run if told else 0
    given_up = sight.given_up.get(pod)
    if given_up is not None and given_up[0] == run and not (shown and shown.is_running):
        return PodReport(pod=pod, run=run, observed="failed", reason=given_up[1][:_LONGEST])
    if shown is None:
        return _without_container(pod, sight, told)
    container, usage = shown.container, sight.usage.get(pod)
    has_ended = container.phase is Phase.EXITED
    return PodReport(
        pod=pod,
        run=container.run,
        observed=_OBSERVED[container.phase],
        reason=_why_ended(shown) if has_ended else "",
        exit_code=container.exit_code if has_ended else None,
        started=container.started,
        ended=container.ended if has_ended else None,
        active=usage.active if usage else None,
        use=usage.use if usage else None,
        ports=[PortReport(inside=each, outside=to) for each, to in sorted(shown.ports.items())],
    )


def _without_container(pod: str, sight: Sight, told: Told | None) -> PodReport:
    run = told.order.run if told else 0
    pull = sight.pulls.get(told.order.image) if told else None
    if pull is not None and pull.is_running:
        return PodReport(pod=pod, run=run, observed="pulling", reason=pull.reason[:_LONGEST])
    if told is not None and told.order.want == "stop" and pod in sight.volumes:
        return PodReport(pod=pod, run=run, observed="exited")
    reason = pull.reason if pull is not None else ""
    return PodReport(pod=pod, run=run, observed="absent", reason=reason[:_LONGEST])


def _why_ended(shown: Shown) -> str:
    if shown.was_short_of_memory:
        return "it used more memory than it has"
    return f"the container ended with {shown.container.exit_code}"


def pods_of(shown: Iterable[Shown]) -> frozenset[str]:
    """Return the pods that have a container here."""
    return frozenset(each.container.pod for each in shown)
