"""The texts that the dialogue says by itself, word for word those that Ollama's users know."""

from collections.abc import Mapping

from puna.cli.language import ENGLISH, Language
from puna.models.options import OPTION_TABLE, OptionKind

PROMPT = ">>> "
MORE = "... "
PLACEHOLDER = "Send a message (/? for help)"
HOW_TO_LEAVE = "Use Ctrl + d or /bye to exit."

HELP = '''\
Available Commands:
  /set            Set session variables
  /show           Show model information
  /load <model>   Load a session or model
  /save <model>   Save your current session
  /clear          Clear session context
  /list           List models
  /bye            Exit
  /?, /help       Help for a command
  /? shortcuts    Help for keyboard shortcuts

Use """ to begin a multi-line message.
'''

HELP_IMAGES = "Use /path/to/file to include .jpg, .png, or .webp images."

HELP_SET = """\
Available Commands:
  /set parameter ...     Set a parameter
  /set system <string>   Set system message
  /set history           Enable history
  /set nohistory         Disable history
  /set wordwrap          Enable wordwrap
  /set nowordwrap        Disable wordwrap
  /set format json       Enable JSON mode
  /set noformat          Disable formatting
  /set verbose           Show LLM stats
  /set quiet             Disable LLM stats
  /set think             Enable thinking
  /set nothink           Disable thinking
"""

HELP_SHOW = """\
Available Commands:
  /show info         Show details for this model
  /show license      Show model license
  /show modelfile    Show Modelfile for this model
  /show parameters   Show parameters for this model
  /show system       Show system message
  /show template     Show prompt template
"""

HELP_SHORTCUTS = """\
Available keyboard shortcuts:
  Ctrl + a            Move to the beginning of the line (Home)
  Ctrl + e            Move to the end of the line (End)
   Alt + b            Move back (left) one word
   Alt + f            Move forward (right) one word
  Ctrl + k            Delete the line after the cursor
  Ctrl + u            Delete the line before the cursor
  Ctrl + w            Delete the word before the cursor

  Ctrl + j            Begin a new line of the message
  Ctrl + l            Clear the screen
  Ctrl + g            Open the editor to write a message
  Ctrl + z            Suspend puna
  Ctrl + c            Stop the model from responding
  Ctrl + d            Exit puna (/bye)
"""

_KIND_WORDS: Mapping[OptionKind, str] = {
    OptionKind.INTEGER: "<int>",
    OptionKind.FLOAT: "<float>",
    OptionKind.BOOLEAN: "<bool>",
    OptionKind.STRINGS: "<string> <string> ...",
}


def help_parameters(language: Language = ENGLISH) -> str:
    """Return the parameters that `/set parameter` takes, a line each."""
    rows = [
        (f"{name} {_KIND_WORDS[row.kind]}", language.of(row.summary))
        for name, row in OPTION_TABLE.items()
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}   {summary}" for name, summary in rows]
    return "\n".join([language.of("Available Parameters for /set parameter:"), *lines, ""])
