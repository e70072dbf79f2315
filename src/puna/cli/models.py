"""`show`, `cp`, `rm`, `pull` and `push`: the models in the store."""

import click

from puna.cli.bars import draw_progress
from puna.cli.naming import model_text
from puna.cli.session import Session, pass_session
from puna.cli.shelf import shelf_of
from puna.cli.show import SELECTORS, card_text, selected_text
from puna.errors import Invalid
from puna.models.name import DEFAULT_HOST, DEFAULT_TAG, ModelName
from puna.models.refused_forms import refusal
from puna.node.client import NodeRefused


@click.command()
@click.argument("model")
@click.option("--license", is_flag=True, help="Show the license.")
@click.option("--modelfile", is_flag=True, help="Show the Modelfile.")
@click.option("--parameters", is_flag=True, help="Show the parameters.")
@click.option("--template", is_flag=True, help="Show the template.")
@click.option("--system", is_flag=True, help="Show the system message.")
@click.option("-v", "--verbose", is_flag=True, help="Show metadata and tensors as well.")
@pass_session
def show(session: Session, /, model: str, *, verbose: bool, **selected: bool) -> None:
    """Show what is known of MODEL, or one part of it as it is stored."""
    chosen = [name for name in SELECTORS if selected[name]]
    if len(chosen) > 1:
        raise Invalid(
            "only one of '--license', '--modelfile', '--parameters', '--system', or '--template'"
            " can be specified"
        )
    card = shelf_of(session).show(model_text(session, model), verbose=verbose)
    if not chosen and (refused := refusal(card.family, model)):
        session.terminal.say(f"Warning: {refused.message}")
        session.terminal.say(refused.hint)
    text = (
        selected_text(card, chosen[0])
        if chosen
        else card_text(card, verbose=verbose, language=session.terminal.screen_language)
    )
    session.terminal.line(text)


@click.command()
@click.argument("source")
@click.argument("destination")
@pass_session
def cp(session: Session, source: str, destination: str) -> None:
    """Copy model SOURCE to the name DESTINATION. The weights are shared, not copied."""
    shelf_of(session).copy(source, destination)
    session.terminal.tell(f"copied '{source}' to '{destination}'")


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@pass_session
def rm(session: Session, models: tuple[str, ...]) -> None:
    """Remove models: out of memory first, then from the store."""
    shelf = shelf_of(session)
    for model in models:
        try:
            shelf.unload(model)
        except NodeRefused as error:
            if not error.is_not_found:
                session.terminal.say(f"Warning: unable to stop model '{model}'")
        shelf.delete(model)
        session.terminal.tell(f"deleted '{model}'")


@click.command()
@click.argument("model")
@click.option(
    "--insecure", is_flag=True, help="Allow http and certificates that nobody vouches for."
)
@pass_session
def pull(session: Session, model: str, *, insecure: bool) -> None:
    """Fetch MODEL into the store."""
    draw_progress(session.terminal, session.world, shelf_of(session).pull(model, insecure=insecure))


@click.command()
@click.argument("model")
@click.option(
    "--insecure", is_flag=True, help="Allow http and certificates that nobody vouches for."
)
@pass_session
def push(session: Session, model: str, *, insecure: bool) -> None:
    """Send MODEL to the registry in its name."""
    terminal = session.terminal
    draw_progress(terminal, session.world, shelf_of(session).push(model, insecure=insecure))
    name = ModelName.parse(model)
    is_ollamas = name.host.lower() == DEFAULT_HOST
    page = name.shortest.removesuffix(f":{DEFAULT_TAG}")
    terminal.tell(
        f"\nYou can find your model at:\n\n\t{'https://ollama.com/' if is_ollamas else ''}{page}"
    )
