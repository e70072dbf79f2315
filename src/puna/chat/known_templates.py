"""Chat templates that are known by name, each with the marks by which it is told.

The names are Ollama's; the forms are those in which the models were trained, written anew as Go
templates. `detect.py` compares a file's own template with them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

_START = (
    "{{ range $i, $m := .Messages }}{{ $last := eq (len (slice $.Messages $i)) 1 }}"
    '{{ $first := or (eq $i 0) (and (eq $i 1) (ne $.System "")) }}'
)
_END = "{{ end }}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What stands before and after the words of one speaker."""

    before: str
    after: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTemplate:
    """One form of conversations: how it is told, and how it is written."""

    name: str
    marks: frozenset[str]
    """Every one of them is written by a template of this form."""
    may: frozenset[str] = frozenset()
    """It may write these too, and no others."""
    needs: tuple[str, ...] = ()
    """Texts that stand in the template word by word, blanks included."""
    go: str
    stop: tuple[str, ...] = ()

    @property
    def parameters(self) -> Mapping[str, object]:
        """The options that go with it."""
        return {"stop": list(self.stop)} if self.stop else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """The turns of a form. Without `system`, its text stands before the first user's words."""

    user: Turn
    assistant: Turn
    opens: str
    """Where the answer begins."""
    system: Turn | None = None
    inner_system: Turn = field(default_factory=lambda: Turn(before="", after="\n\n"))


def _go(form: _Form) -> str:
    """Write a form as a Go template."""
    inner = form.inner_system
    user = form.user.before
    if form.system is None:
        told = f"{inner.before}{{{{ $.System }}}}{inner.after}"
        user += f"{{{{ if and $first $.System }}}}{told}{{{{ end }}}}"
    turns = f'{{{{ if eq .Role "user" }}}}{user}{{{{ .Content }}}}{form.user.after}'
    turns += f'{{{{ else if eq .Role "assistant" }}}}{form.assistant.before}{{{{ .Content }}}}'
    turns += f"{{{{ if not $last }}}}{form.assistant.after}{{{{ end }}}}"
    if form.system is not None:
        said = f"{form.system.before}{{{{ .Content }}}}{form.system.after}"
        turns += f'{{{{ else if eq .Role "system" }}}}{said}'
    return f"{_START}{turns}{{{{ end }}}}{_opening(form.opens)}{_END}"


def _opening(text: str) -> str:
    return f'{{{{ if and $last (ne .Role "assistant") }}}}{text}{{{{ end }}}}'


def _same(before: str, after: str) -> str:
    """Write a form in which every speaker's turn looks alike."""
    said = before.replace("ROLE", "{{ .Role }}")
    is_over = '{{ if not (and $last (eq .Role "assistant")) }}'
    opening = _opening(before.replace("ROLE", "assistant"))
    return f"{_START}{said}{{{{ .Content }}}}{is_over}{after}{{{{ end }}}}{opening}{_END}"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_AGAIN = "{{ if not $first }}<s>{{ end }}"
KNOWN: tuple[KnownTemplate, ...] = (
    KnownTemplate(
        name="chatml",
        marks=_words("<|im_start|> <|im_end|>"),
        go=_same("<|im_start|>ROLE\n", "<|im_end|>\n"),
        stop=("<|im_start|>", "<|im_end|>"),
    ),
    KnownTemplate(
        name="llama3-instruct",
        marks=_words("<|start_header_id|> <|end_header_id|> <|eot_id|>"),
        may=_words("<|begin_of_text|>"),
        needs=("<|end_header_id|>\n\n",),
        go=_same("<|start_header_id|>ROLE<|end_header_id|>\n\n", "<|eot_id|>"),
        stop=("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    ),
    KnownTemplate(
        name="phi-3",
        marks=_words("<|user|> <|assistant|> <|end|>"),
        may=_words("<|system|>"),
        go=_same("<|ROLE|>\n", "<|end|>\n"),
        stop=("<|end|>", "<|system|>", "<|user|>", "<|assistant|>"),
    ),
    KnownTemplate(
        name="phi-3",
        marks=_words("<|ROLE|> <|assistant|> <|end|>"),
        go=_same("<|ROLE|>\n", "<|end|>\n"),
        stop=("<|end|>", "<|system|>", "<|user|>", "<|assistant|>"),
    ),
    KnownTemplate(
        name="zephyr",
        marks=_words("<|user|> <|assistant|> EOS"),
        may=_words("<|system|>"),
        needs=("<|user|>\n",),
        go=_same("<|ROLE|>\n", "</s>\n"),
        stop=("</s>", "<|system|>", "<|user|>", "<|assistant|>"),
    ),
    KnownTemplate(
        name="gemma-instruct",
        marks=_words("<start_of_turn> <end_of_turn>"),
        needs=("<end_of_turn>\n", "<start_of_turn>model\n"),
        go=_go(
            _Form(
                user=Turn(before="<start_of_turn>user\n", after="<end_of_turn>\n"),
                assistant=Turn(before="<start_of_turn>model\n", after="<end_of_turn>\n"),
                opens="<start_of_turn>model\n",
            )
        ),
        stop=("<start_of_turn>", "<end_of_turn>"),
    ),
    KnownTemplate(
        name="llama2-chat",
        marks=_words("[INST] [/INST] <<SYS>> <</SYS>> EOS"),
        needs=("[INST] ", " [/INST]", "<<SYS>>\n", "\n<</SYS>>\n\n"),
        go=_go(
            _Form(
                user=Turn(before=f"{_AGAIN}[INST] ", after=" [/INST]"),
                assistant=Turn(before=" ", after=" </s>"),
                opens="",
                inner_system=Turn(before="<<SYS>>\n", after="\n<</SYS>>\n\n"),
            )
        ),
        stop=("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"),
    ),
    KnownTemplate(
        name="mistral-instruct",
        marks=_words("[INST] [/INST] EOS"),
        needs=("[INST] ", " [/INST]"),
        go=_go(
            _Form(
                user=Turn(before="[INST] ", after=" [/INST]"),
                assistant=Turn(before="", after="</s>"),
                opens="",
            )
        ),
        stop=("[INST]", "[/INST]"),
    ),
    KnownTemplate(
        name="openchat",
        marks=_words("GPT4_Correct <|end_of_turn|>"),
        needs=("GPT4 Correct Assistant:",),
        go=_go(
            _Form(
                user=Turn(before="GPT4 Correct User: ", after="<|end_of_turn|>"),
                assistant=Turn(before="GPT4 Correct Assistant: ", after="<|end_of_turn|>"),
                opens="GPT4 Correct Assistant:",
                system=Turn(before="GPT4 Correct System: ", after="<|end_of_turn|>"),
            )
        ),
        stop=("<|endoftext|>", "<|end_of_turn|>"),
    ),
    KnownTemplate(
        name="command-r",
        marks=_words(
            "<|START_OF_TURN_TOKEN|> <|END_OF_TURN_TOKEN|> <|USER_TOKEN|> <|CHATBOT_TOKEN|>"
            " <|SYSTEM_TOKEN|>"
        ),
        go=_go(
            _Form(
                user=Turn(
                    before="<|START_OF_TURN_TOKEN|><|USER_TOKEN|>", after="<|END_OF_TURN_TOKEN|>"
                ),
                assistant=Turn(
                    before="<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
                    after="<|END_OF_TURN_TOKEN|>",
                ),
                opens="<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
                system=Turn(
                    before="<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>", after="<|END_OF_TURN_TOKEN|>"
                ),
            )
        ),
        stop=("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
    ),
    KnownTemplate(
        name="alfred",
        marks=_words("<start_user> <start_assistant> <end_message>"),
        may=_words("<start_system>"),
        go=_same("<start_ROLE>", "<end_message>"),
        stop=("<start_system>", "<end_message>", "<start_user>", "<start_assistant>"),
    ),
    KnownTemplate(
        name="solar-instruct",
        marks=_words("###User: ###Assistant:"),
        may=_words("###System:"),
        needs=("### User:\n", "### Assistant:\n"),
        go=_go(
            _Form(
                user=Turn(before="### User:\n", after="\n\n"),
                assistant=Turn(before="### Assistant:\n"),
                opens="### Assistant:\n",
                system=Turn(before="### System:\n", after="\n\n"),
            )
        ),
        stop=("### System:", "### User:", "### Assistant:"),
    ),
    KnownTemplate(
        name="alpaca",
        marks=_words("###Instruction: ###Response:"),
        needs=("### Instruction:\n", "### Response:\n"),
        go=_go(
            _Form(
                user=Turn(before="### Instruction:\n", after="\n\n"),
                assistant=Turn(before="### Response:\n", after="\n\n"),
                opens="### Response:\n",
                system=Turn(before="", after="\n\n"),
            )
        ),
        stop=("### Instruction:", "### Response"),
    ),
    KnownTemplate(
        name="granite-instruct",
        marks=_words("Question: Answer:"),
        may=_words("System:"),
        needs=("Question:\n", "Answer:\n"),
        go=_go(
            _Form(
                user=Turn(before="Question:\n", after="\n\n"),
                assistant=Turn(before="Answer:\n", after="\n\n"),
                opens="Answer:\n",
                system=Turn(before="System:\n", after="\n\n"),
            )
        ),
        stop=("System:", "Question:", "Answer:"),
    ),
    KnownTemplate(
        name="falcon-instruct",
        marks=_words("User: Falcon:"),
        may=_words("System:"),
        needs=("User: ", "Falcon: "),
        go=_go(
            _Form(
                user=Turn(before="User: ", after="\n"),
                assistant=Turn(before="Falcon: ", after="\n"),
                opens="Falcon:",
                system=Turn(before="System: ", after="\n"),
            )
        ),
        stop=("User:", "Falcon:"),
    ),
    KnownTemplate(
        name="vicuna",
        marks=_words("USER: ASSISTANT:"),
        may=_words("EOS"),
        needs=("USER: ", "ASSISTANT:"),
        go=_go(
            _Form(
                user=Turn(before="USER: ", after=" "),
                assistant=Turn(before="ASSISTANT: ", after="</s>"),
                opens="ASSISTANT:",
                system=Turn(before="", after=" "),
            )
        ),
        stop=("USER:", "ASSISTANT:"),
    ),
    KnownTemplate(
        name="codellama-70b-instruct",
        marks=_words("Source: Destination: <step>"),
        needs=("Source: assistant\nDestination: user\n\n ", " <step> "),
        go=_go(
            _Form(
                user=Turn(before="Source: user\n\n ", after=" <step> "),
                assistant=Turn(before="Source: assistant\n\n ", after=" <step> "),
                opens="Source: assistant\nDestination: user\n\n ",
                system=Turn(before="Source: system\n\n ", after=" <step> "),
            )
        ),
        stop=("<step>",),
    ),
)
