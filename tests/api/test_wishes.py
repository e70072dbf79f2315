"""What a request becomes: questions to the node, seeds that differ, notes on what was not done."""

from pathlib import Path

import pytest

from puna.chat.messages import Message, Role
from puna.errors import Invalid
from puna.node.answer import Begun, Ended
from puna.node.api.notes import Notes
from puna.node.api.ollama.convert import Wishes, with_own_words
from puna.node.api.parts import Content, picture
from puna.node.api.wishes import Wish, plan
from puna.node.engine.request import Finish, StopReason
from puna.node.prompt import Cut, Prompt, Verbatim
from puna.units import Span
from tests.api.stage import Stage, a_model, staged
from tests.pictures import an_image

FRAME = Wishes(verb="generate", template=False)


def a_wish(**changes: object) -> Wish:
    values = {"name": "tiny", "wishes": FRAME, "subjects": (Verbatim("x"),), **changes}
    return Wish(**values)  # type: ignore[arg-type]


def seeds(stage: Stage, wish: Wish) -> list[int]:
    planned = plan(stage.node, stage.node.find("tiny"), wish)
    return [ask.options.sampling.seed for ask in planned.asks]


async def test_answers_to_one_prompt_have_seeds_of_their_own(stage: Stage) -> None:
    assert seeds(stage, a_wish(count=3, options={"seed": 7})) == [7, 8, 9]


async def test_the_last_seed_is_followed_by_the_first(stage: Stage) -> None:
    assert seeds(stage, a_wish(count=2, options={"seed": 2**32 - 2})) == [2**32 - 2, 0]


async def test_without_a_seed_each_answer_is_left_to_chance(stage: Stage) -> None:
    assert seeds(stage, a_wish(count=2)) == [-1, -1]


async def test_each_prompt_has_its_answers_in_order(stage: Stage) -> None:
    wish = a_wish(subjects=(Verbatim("a"), Verbatim("b")), count=2)
    planned = plan(stage.node, stage.node.find("tiny"), wish)
    texts = [ask.subject.text for ask in planned.asks if isinstance(ask.subject, Verbatim)]
    assert texts == ["a", "a", "b", "b"]


async def test_options_without_effect_are_noted(stage: Stage) -> None:
    wish = a_wish(options={"mirostat": 1}, ignored=("verbosity",))
    planned = plan(stage.node, stage.node.find("tiny"), wish)
    assert planned.ignored == ("mirostat", "verbosity")


async def test_the_models_own_words_come_first(tmp_path: Path) -> None:
    hello, own = Message(Role.USER, "hi"), Message(Role.SYSTEM, "Be kind.")
    mine = Message(Role.SYSTEM, "Be brief.")
    async with staged(tmp_path) as stage:
        stage.add_model("kind", a_model(), [("system", b"Be kind.")])
        model = stage.node.find("kind")
    assert with_own_words(model, (hello,)) == (own, hello)
    assert with_own_words(model, (mine, hello)) == (mine, hello)


def test_notes_gather_what_was_cut_shifted_and_ignored() -> None:
    finish = Finish(StopReason.STOP, 1, 1, Span(0), Span(0), shifted=True, ignored=("/format",))
    notes = Notes(("mirostat",))
    notes = notes.after(Begun(Prompt((1,), "", Cut(9, 5, 6, 1)), Span(0)))
    notes = notes.after(Ended(finish, Span(0), Span(0)))
    assert notes.said().to_json() == (
        b'{"truncated":{"prompt_tokens":9,"kept_tokens":5,"context_length":6,"dropped_messages":1},'
        b'"shifted":true,"ignored":["mirostat","/format"]}'
    )


def test_nothing_to_note_is_nothing_said() -> None:
    assert (Notes().said().to_json(), Notes().headers()) == (b"{}", {})


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/webp", ""])
def test_a_picture_in_a_data_uri(kind: str) -> None:
    image = an_image()
    found = picture(f"data:{kind};base64,{image.base64}", "here")
    assert found == Content(images=(image,))


@pytest.mark.parametrize("uri", ["", "data:text/html;base64,AAAA", "file:///etc/passwd", "AAAA"])
def test_what_is_no_picture_is_refused(uri: str) -> None:
    with pytest.raises(Invalid, match="here: invalid image input"):
        picture(uri, "here")


def test_texts_stand_on_lines_of_their_own_and_images_between_them() -> None:
    image = an_image()
    shown = Content(images=(image,))
    joined = Content.joined([Content("a"), Content("b"), shown, Content("c"), shown])
    assert joined == Content("a\nbc", (image, image), (3, 4))
