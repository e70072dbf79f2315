"""From any state, whatever is killed in between, steps lead to what was ordered and then end."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings, strategies as st

from puna.agent.converge import (
    MOST_CRASHES,
    MOST_PULLS,
    Container,
    Create,
    GiveUp,
    Order,
    Phase,
    Pull,
    Pulled,
    Remove,
    RemoveVolume,
    Scene,
    Start,
    Step,
    Stop,
    Want,
    pause_after,
    steps,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
GRACE = timedelta(seconds=10)


def an_order(want: Want = Want.RUN, **changes: object) -> Order:
    order = Order(pod="p1", run=1, want=want, image="img", design="d1")
    return replace(order, **changes)  # type: ignore[arg-type]


def a_container(phase: Phase = Phase.RUNNING, **changes: object) -> Container:
    container = Container(id="c1", pod="p1", run=1, design="d1", phase=phase, started=NOON)
    return replace(container, **changes)  # type: ignore[arg-type]


def ended(seconds_ago: int = 3600, **changes: object) -> Container:
    """A container that ended by itself, a moment after it began."""
    moment = NOON - timedelta(seconds=seconds_ago)
    return a_container(
        Phase.EXITED, started=moment - timedelta(seconds=1), ended=moment, exit_code=3, **changes
    )


def a_scene(*containers: Container, **changes: object) -> Scene:
    scene = Scene(containers=containers, images=frozenset({"img"}))
    return replace(scene, **changes)  # type: ignore[arg-type]


EMPTY = Scene()
VOLUME = frozenset({"p1"})


@pytest.mark.parametrize(
    ("order", "scene", "expected"),
    [
        pytest.param(an_order(), EMPTY, [Pull("p1", "img")], id="the image is missing"),
        pytest.param(
            an_order(),
            Scene(pulls={"img": Pulled(is_running=True)}),
            [],
            id="the image is on its way",
        ),
        pytest.param(
            an_order(),
            Scene(pulls={"img": Pulled(failures=1, failed=NOON - timedelta(seconds=9))}),
            [],
            id="a failed pull pauses",
        ),
        pytest.param(
            an_order(),
            Scene(pulls={"img": Pulled(failures=1, failed=NOON - timedelta(seconds=10))}),
            [Pull("p1", "img")],
            id="and is tried again",
        ),
        pytest.param(
            an_order(),
            Scene(pulls={"img": Pulled(failures=MOST_PULLS, failed=NOON, reason="no such image")}),
            [GiveUp("p1", 1, "the image cannot be had: no such image")],
            id="and given up",
        ),
        pytest.param(an_order(), a_scene(), [Create("p1", 1, 0)], id="no container"),
        pytest.param(
            an_order(), a_scene(a_container(Phase.CREATED)), [Start("p1", "c1")], id="not begun"
        ),
        pytest.param(an_order(), a_scene(a_container()), [], id="as it should be"),
        pytest.param(an_order(), a_scene(ended(9)), [], id="ended by itself, and pauses"),
        pytest.param(
            an_order(), a_scene(ended(10)), [Create("p1", 1, 1)], id="and begins again, counted"
        ),
        pytest.param(
            an_order(),
            a_scene(ended(crashes=1), a_container(Phase.CREATED, id="c2", crashes=2)),
            [Remove("p1", "c1")],
            id="the old one goes before the new one starts",
        ),
        pytest.param(
            an_order(),
            a_scene(ended(crashes=MOST_CRASHES - 1)),
            [GiveUp("p1", 1, "the container ended 5 times in a row, last with 3")],
            id="too often",
        ),
        pytest.param(
            an_order(),
            a_scene(
                a_container(
                    Phase.EXITED,
                    crashes=MOST_CRASHES - 1,
                    started=NOON - timedelta(hours=1),
                    ended=NOON - timedelta(seconds=10),
                )
            ),
            [Create("p1", 1, 1)],
            id="an end after a healthy hour counts as the first",
        ),
        pytest.param(
            an_order(run=2), a_scene(a_container()), [Stop("p1", "c1", GRACE)], id="a restart"
        ),
        pytest.param(
            an_order(design="d2"), a_scene(ended()), [Remove("p1", "c1")], id="another design"
        ),
        pytest.param(
            an_order(Want.STOP, grace=timedelta(seconds=60)),
            a_scene(a_container()),
            [Stop("p1", "c1", timedelta(seconds=60))],
            id="stop, with its grace",
        ),
        pytest.param(
            an_order(Want.STOP),
            a_scene(ended(), volumes=VOLUME),
            [Remove("p1", "c1")],
            id="stopped",
        ),
        pytest.param(an_order(Want.STOP), a_scene(volumes=VOLUME), [], id="its volume stays"),
        pytest.param(
            an_order(Want.TERMINATE),
            a_scene(ended(), volumes=VOLUME),
            [Remove("p1", "c1")],
            id="the volume waits for the container",
        ),
        pytest.param(
            an_order(Want.TERMINATE), a_scene(volumes=VOLUME), [RemoveVolume("p1")], id="then goes"
        ),
        pytest.param(an_order(Want.TERMINATE), EMPTY, [], id="gone"),
    ],
)
def test_the_next_steps(order: Order, scene: Scene, expected: Sequence[Step]) -> None:
    assert list(steps([order], scene, NOON)) == expected


@pytest.mark.parametrize("name", ["stop_at", "terminate_at", "paid_until"])
def test_a_deadline_counts_without_the_market(name: str) -> None:
    scene = a_scene(a_container())
    later = an_order(Want.RUN, **{name: NOON + timedelta(microseconds=1)})
    assert steps([later], scene, NOON) == ()
    over = an_order(Want.RUN, **{name: NOON})
    assert steps([over], scene, NOON) == (Stop("p1", "c1", GRACE),)


def test_an_orphan_is_stopped_and_removed_and_its_volume_stays() -> None:
    scene = a_scene(a_container(), volumes=VOLUME)
    assert steps([], scene, NOON) == (Stop("p1", "c1", GRACE),)
    assert steps([], a_scene(ended(), volumes=VOLUME), NOON) == (Remove("p1", "c1"),)
    assert steps([], a_scene(volumes=VOLUME), NOON) == ()


def test_pauses_grow_and_end_at_five_minutes() -> None:
    pauses = [pause_after(crashes).total_seconds() for crashes in (0, 1, 2, 3, 4, 5, 6, 60)]
    assert pauses == [0, 10, 20, 40, 80, 160, 300, 300]


def apply(scene: Scene, step: Step, order: Order, number: int) -> Scene:
    """Do to a scene what a faithful engine does."""
    others = tuple(each for each in scene.containers if each.id != getattr(step, "container", ""))
    match step:
        case Pull(image=image):
            return replace(scene, images=scene.images | {image})
        case Create(pod=pod, run=run, crashes=crashes):
            made = Container(
                id=f"n{number}",
                pod=pod,
                run=run,
                design=order.design,
                phase=Phase.CREATED,
                crashes=crashes,
            )
            return replace(
                scene, containers=(*scene.containers, made), volumes=scene.volumes | {pod}
            )
        case Remove():
            return replace(scene, containers=others)
        case RemoveVolume(pod=pod):
            return replace(scene, volumes=scene.volumes - {pod})
        case Start(container=container) | Stop(container=container):
            phase = Phase.RUNNING if isinstance(step, Start) else Phase.EXITED
            changed = next(each for each in scene.containers if each.id == container)
            return replace(scene, containers=(*others, replace(changed, phase=phase, ended=NOON)))
    return scene


containers = st.builds(
    a_container,
    st.sampled_from(Phase),
    run=st.integers(0, 3),
    design=st.sampled_from(["d1", "d2"]),
    pod=st.sampled_from(["p1", "stray"]),
    crashes=st.integers(0, 3),
    ended=st.just(NOON - timedelta(hours=1)),
)


@settings(max_examples=150)
@given(
    want=st.sampled_from(Want),
    found=st.lists(containers, max_size=4),
    has_image=st.booleans(),
    kills=st.lists(st.booleans(), min_size=80, max_size=80),
)
def test_steps_lead_there_whatever_is_killed_and_then_end(
    want: Want, found: list[Container], *, has_image: bool, kills: list[bool]
) -> None:
    """A kill is an agent that took only the first of its steps and begins again."""
    order = an_order(want, run=3)
    scene = Scene(
        containers=tuple(replace(each, id=f"c{number}") for number, each in enumerate(found)),
        images=frozenset({"img"} if has_image else ()),
    )
    number = 0
    for is_killed in kills:
        todo = steps([order], scene, NOON)
        for step in todo[:1] if is_killed else todo:
            number += 1
            scene = apply(scene, step, order, number)
    assert steps([order], scene, NOON) == ()
    running = [(each.pod, each.run, each.design) for each in scene.containers]
    assert running == ([("p1", 3, "d1")] if want is Want.RUN else [])
    assert want is not Want.TERMINATE or not scene.volumes
