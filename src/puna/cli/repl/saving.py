"""`/save`: the conversation as a model, to be loaded and gone on with later."""

from puna.cli.repl.conversation import Conversation
from puna.cli.repl.dialogue import Dialogue
from puna.models.name import InvalidName, ModelName
from puna.node.pulling import create


def save(dialogue: Dialogue, line: str) -> None:
    """Make a model of the one that answers, with what was set and said. Raises what the node does.

    The conversation goes on with the model that it had.
    """
    words = line.split()
    if len(words) != 2:  # noqa: PLR2004
        dialogue.reply("Usage:\n  /save <modelname>")
        return
    name = words[1]
    try:
        ModelName.parse(name)
    except InvalidName:
        dialogue.reply(f"error: The model name '{name}' is invalid")
        return
    for _ in create(dialogue.client, recipe_of(dialogue.conversation, name)):
        pass
    if any(each.images for each in dialogue.conversation.messages):
        dialogue.say("The images of the conversation are not kept: a model has texts only")
    dialogue.reply(f"Created new model '{name}'")


def recipe_of(conversation: Conversation, name: str) -> dict[str, object]:
    """Return what `/api/create` makes the model of; what is not named is inherited."""
    stored = [{"role": each.role, "content": each.content} for each in conversation.card.messages]
    said = [{"role": str(each.role), "content": each.content} for each in conversation.messages]
    options = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in conversation.options.items()
    }
    body: dict[str, object] = {"model": name, "from": conversation.model}
    body |= {} if conversation.system is None else {"system": conversation.system}
    body |= {"parameters": options} if options else {}
    return body | ({"messages": [*stored, *said]} if said else {})
