"""`puna run`: ask a model once, or talk with it.

It asks once when there is a prompt, or when either end is not a person; then stdout holds the
answer and nothing else. Before the answer, one line on stderr says where the model runs and how
much memory it takes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module

import click

from puna.cli.answer import Manner, speak
from puna.cli.find import find_model, meant_name, placement_line
from puna.cli.naming import is_file, is_link, model_text
from puna.cli.pictures import read_prompt
from puna.cli.session import Session, pass_session
from puna.cli.spinner import Spinner
from puna.cli.start import ensure_node
from puna.cli.vector import only_embeds, print_vector, read_truncate
from puna.errors import Invalid
from puna.node.asking import Question, generate, load as load_model
from puna.node.card import ModelCard
from puna.node.client import NodeClient
from puna.node.measuring import VectorQuestion
from puna.units import Span

_MAY_STAND_ALONE = ("--think", "--truncate")
THINK_WORDS = ("true", "false", "high", "medium", "low", "max")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a model in this run, and how its answers are written."""

    question: Question
    manner: Manner
    card: ModelCard = field(default_factory=ModelCard)

    @property
    def load_question(self) -> Question:
        """What loads the model before the first question; with keep-alive 0 it would unload it."""
        keeps = self.question.keep_alive is None or Span.parse(self.question.keep_alive) != 0
        return self.question if keeps else replace(self.question, keep_alive=None)


class RunCommand(click.Command):
    """A command in which `--think` and `--truncate` may stand alone."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; a bare one means true and never takes the next word."""
        end = args.index("--") if "--" in args else len(args)
        given = [f"{arg}=true" if arg in _MAY_STAND_ALONE else arg for arg in args[:end]]
        return super().parse_args(ctx, given + args[end:])


@click.command(cls=RunCommand)
@click.argument("model")
@click.argument("prompt", nargs=-1)
@click.option(
    "--keepalive", metavar="DURATION", help="How long the model stays in memory, such as 5m."
)
@click.option("--verbose", is_flag=True, help="Show timings after each answer.")
@click.option("--insecure", is_flag=True, help="Allow http when the model must be fetched.")
@click.option("--nowordwrap", is_flag=True, help="Do not wrap words at the edge of the screen.")
@click.option("--format", "format_text", metavar="FORMAT", help="json, or a JSON schema.")
@click.option(
    "--think",
    metavar="[LEVEL]",
    help="Think first: true, false, low, medium, high or max.",
    shell_complete=lambda *_: list(THINK_WORDS),
)
@click.option("--hidethinking", is_flag=True, help="Do not show thoughts.")
@click.option(
    "--truncate", metavar="[BOOL]", help="Cut a text to embed that is too long: true or false."
)
@click.option(
    "--dimensions", type=int, metavar="N", help="How many numbers of a vector to print; 0 is all."
)
@click.option("--on", default="", metavar="POD", help="Run it in a pod that you rent.")
@pass_session
def run(
    session: Session, /, model: str, prompt: tuple[str, ...], **flags: str | int | None
) -> None:
    """Ask MODEL once with PROMPT, or talk with it when there is none.

    MODEL is a name, or a GGUF file such as ./model.gguf. A model that sees is shown the images that
    PROMPT names, such as ./photo.jpg. What is piped in comes before PROMPT. An
    empty PROMPT ("") only loads the model. A server is started in the background if none runs.
    """
    if flags["on"]:
        session = import_module("puna.cli.cloud.reach").session_on(session, flags["on"])
    wish = read_wish(session, model, flags)
    read_truncate(flags["truncate"])
    is_talk = not prompt and session.terminal.is_conversation
    asked = None if is_talk else _whole_prompt(session, prompt)
    client = ensure_node(session)
    name = meant_name(session, client, wish.question.model)
    wish = replace(wish, question=replace(wish.question, model=name))
    link = model if is_link(model) and not is_file(name) else ""
    card = find_model(session, client, name, insecure=bool(flags["insecure"]), link=link)
    if only_embeds(card):
        print_vector(session, client, _vector_question(wish.question, asked or "", flags))
        return
    wish = with_thinking(session, replace(wish, card=card))
    if asked is None:
        import_module("puna.cli.repl.loop").talk(session, client, wish)
    elif not asked:
        load(session, client, wish.question)
    else:
        _ask_once(session, client, wish, asked)


def read_wish(session: Session, model: str, flags: Mapping[str, str | int | None]) -> Wish:
    """Read the flags of `run`. Raises `Invalid` before anything is sent."""
    keep_alive, think = flags["keepalive"], flags["think"]
    if isinstance(keep_alive, str):
        Span.parse(keep_alive)
    question = Question(
        model=model_text(session, model),
        format=_read_format(flags["format_text"]),
        think=read_think(think) if isinstance(think, str) else None,
        keep_alive=keep_alive if isinstance(keep_alive, str) else None,
    )
    manner = Manner(
        wordwrap=session.wordwrap and not flags["nowordwrap"],
        verbose=session.verbose or bool(flags["verbose"]),
        hide_thinking=bool(flags["hidethinking"]),
    )
    return Wish(question, manner)


def _vector_question(
    question: Question, text: str, flags: Mapping[str, str | int | None]
) -> VectorQuestion:
    dimensions = flags["dimensions"]
    return VectorQuestion(
        model=question.model,
        texts=(text,),
        truncate=read_truncate(flags["truncate"]),
        dimensions=dimensions if isinstance(dimensions, int) else None,
        keep_alive=question.keep_alive,
    )


def read_think(text: str) -> bool | str:
    """Read the value of `--think`. Raises `Invalid`."""
    if text not in THINK_WORDS:
        raise Invalid(
            f'invalid value for --think: "{text}" (must be true, false, high, medium, low, or max)'
        )
    return {"true": True, "false": False}.get(text, text)


def with_thinking(session: Session, wish: Wish) -> Wish:
    """Settle whether the model thinks: as asked, else if it can; say so when it cannot."""
    think, card = wish.question.think, wish.card
    if think and not card.can_think:
        session.terminal.say(
            f'warning: model "{wish.question.model}" does not support thinking output'
        )
    settled = (think if card.can_think else None) if think is not None else (card.can_think or None)
    return replace(wish, question=replace(wish.question, think=settled))


def load(session: Session, client: NodeClient, question: Question) -> None:
    """Load a model and say where it runs and how much memory it takes. Blocks while it loads."""
    with Spinner(session.terminal):
        load_model(client, question)
        line = placement_line(client, question.model)
    if line:
        session.terminal.say(line)


def _ask_once(session: Session, client: NodeClient, wish: Wish, prompt: str) -> None:
    asked = read_prompt(prompt, sees=wish.card.sees_images)
    for note in asked.notes:
        session.terminal.say(note)
    load(session, client, wish.load_question)
    question = replace(wish.question, prompt=asked.text, images=asked.images)
    chunks = generate(client, question)
    if speak(session.terminal, chunks, wish.manner).was_stopped:
        raise KeyboardInterrupt


def _whole_prompt(session: Session, words: Sequence[str]) -> str:
    """Return the prompt: what is piped in, a space, and the arguments."""
    given = " ".join(_clean(word) for word in words)
    piped = "" if session.terminal.reads_keys else session.terminal.read_all()
    return " ".join(part for part in (piped, given) if part)


def _clean(argument: str) -> str:
    """Return an argument as text; bytes that are not UTF-8 show as `�`."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _read_format(text: object) -> object:
    if not isinstance(text, str) or not text:
        return None
    if text == "json":
        return "json"
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(
            "the value of --format is neither json nor a JSON schema", hint="write --format json"
        ) from error
