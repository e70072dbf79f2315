"""Where images stand in what a template writes."""

import pytest

from puna.chat.marks import Illustrated, ImageLeftOut, Marks, cut_at_given_marks
from puna.chat.messages import Message, Role
from puna.errors import Invalid
from tests.pictures import an_image

RED, BLUE = an_image("red"), an_image("blue")


def test_images_stand_in_front_unless_they_have_places() -> None:
    messages = (
        Message(Role.USER, "first", images=(RED,)),
        Message(Role.USER, "a b", images=(BLUE, RED), places=(1, 3)),
    )
    marks = Marks.of(messages)
    texts = [each.content for each in marks.placed(messages)]
    assert texts == ["[img-0]first", "a[img-1] b[img-2]"]


def test_images_at_one_place_keep_their_order() -> None:
    message = Message(Role.USER, "ab", images=(RED, BLUE, RED), places=(1, 0, 1))
    (placed,) = Marks.of([message]).placed([message])
    assert placed.content == "[img-1]a[img-0][img-2]b"


def test_nobody_can_write_a_mark() -> None:
    messages = (Message(Role.USER, "see [img-0] and [img-1.0]", images=(RED,)),)
    marks = Marks.of(messages)
    (placed,) = marks.placed(messages)
    assert marks.cut(placed.content).parts == ("", RED, "see [img-0] and [img-1.0]")


def test_a_template_may_move_images_and_say_them_twice() -> None:
    marks = Marks.of([Message(Role.USER, "x", images=(RED, BLUE))])
    cut = marks.cut("a[img-1]b[img-0][img-1]c")
    assert cut == Illustrated(("a", BLUE, "b", RED, "", BLUE, "c"))
    assert (cut.images, cut.text) == ((BLUE, RED, BLUE), "a[img-0]b[img-1][img-2]c")


def test_an_image_that_the_template_leaves_out_is_no_secret() -> None:
    marks = Marks.of([Message(Role.USER, "x", images=(RED, BLUE))])
    with pytest.raises(ImageLeftOut):
        marks.cut("[img-1] x")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("what?", ("", RED, "", BLUE, "what?")),
        ("a [img-1] b [img-0] c", ("a ", BLUE, " b ", RED, " c")),
        ("a [img-1] b", ("", RED, "a ", BLUE, " b")),
    ],
)
def test_a_prompt_that_its_writer_has_marked(text: str, parts: tuple[object, ...]) -> None:
    assert cut_at_given_marks(text, (RED, BLUE)).parts == parts


@pytest.mark.parametrize(
    ("text", "words"), [("[img-2] x", "invalid image index: 2"), ("x [img-0]", "ends with")]
)
def test_a_mark_for_nothing_and_an_end_without_words_are_refused(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        cut_at_given_marks(text, (RED,))


def test_what_follows_goes_to_the_last_text() -> None:
    assert Illustrated(("a", RED, "b")).followed_by("c").parts == ("a", RED, "bc")
