"""Frames between a core and the process that feeds it arrive as they were sent."""

from io import BytesIO

import numpy as np
import pytest

from puna.node.engine.floats.frames import Arrays, Gone, receive, send

ARRAYS: Arrays = {
    "tokens": np.arange(5, dtype=np.int32),
    "logits": np.ones((2, 3), np.float32),
    "none": np.empty((0, 4), np.float32),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
}


def frame() -> bytes:
    file = BytesIO()
    send(file, {"do": "compute"}, ARRAYS)
    return file.getvalue()


def test_words_and_arrays_arrive() -> None:
    words, arrays = receive(BytesIO(frame()))
    assert words == {"do": "compute"}
    assert all(np.array_equal(arrays[name], each) for name, each in ARRAYS.items())
    assert {name: each.dtype for name, each in arrays.items()} == {
        name: each.dtype for name, each in ARRAYS.items()
    }


def test_frames_follow_each_other() -> None:
    file = BytesIO(frame() * 2)
    assert [receive(file)[0], receive(file)[0]] == [{"do": "compute"}] * 2


@pytest.mark.parametrize("length", [0, 10, -40, -1], ids=["none", "words", "arrays", "last byte"])
def test_a_side_that_closes_in_the_middle_is_gone(length: int) -> None:
    with pytest.raises(Gone):
        receive(BytesIO(frame()[:length]))


def test_nothing_can_be_sent_to_a_side_that_has_closed() -> None:
    file = BytesIO()
    file.close()
    with pytest.raises(Gone):
        send(file, {}, ARRAYS)
