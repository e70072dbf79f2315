"""Templates of files are told by what they write, and the known form writes the same."""

from collections.abc import Sequence
from datetime import date
from typing import NoReturn

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from puna.chat.detect import detect_template
from puna.chat.gotemplate.template import read_template
from puna.chat.known_templates import KNOWN
from puna.chat.messages import NO_TOOLS, Message, Role
from puna.chat.template import GoPrompt, write_prompt

JINJA = {
    "chatml": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' "
        "+ message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_gener"
        "ation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    "zephyr": (
        "{% for m in messages %}\n{% if m['role'] == 'user' %}\n{{ '<|user|>\\n' + m"
        "['content'] + eos_token }}\n{% elif m['role'] == 'system' %}\n{{ '<|system"
        "|>\\n' + m['content'] + eos_token }}\n{% elif m['role'] == 'assistant' %}\n"
        "{{ '<|assistant|>\\n' + m['content'] + eos_token }}\n{% endif %}\n{% if loo"
        "p.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{%"
        " endfor %}"
    ),
    "llama3-instruct": (
        "{% for m in messages %}{% set content = '<|start_header_id|>' + m['role'"
        "] + '<|end_header_id|>\\n\\n' + m['content'] | trim + '<|eot_id|>' %}{% if"
        " loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{"
        " content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_"
        "id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
    ),
    "phi-3": (
        "{{ bos_token }}{% for m in messages %}{{ '<|' + m['role'] + '|>' + '\\n' "
        "+ m['content'] + '<|end|>\\n' }}{% endfor %}{% if add_generation_prompt %"
        "}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"
    ),
    "phi-3b": (
        "{% for m in messages %}{% if (m['role'] == 'user') %}{{'<|user|>' + '\\n'"
        " + m['content'] + '<|end|>' + '\\n' + '<|assistant|>' + '\\n'}}{% elif (m["
        "'role'] == 'assistant') %}{{m['content'] + '<|end|>' + '\\n'}}{% endif %}"
        "{% endfor %}"
    ),
    "gemma-instruct": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exceptio"
        "n('System role not supported') }}{% endif %}{% for m in messages %}{% if"
        " (m['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set r"
        "ole = m['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\\n' + m['con"
        "tent'] | trim + '<end_of_turn>\\n' }}{% endfor %}{% if add_generation_pro"
        "mpt %}{{'<start_of_turn>model\\n'}}{% endif %}"
    ),
    "mistral-instruct": (
        "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (lo"
        "op.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must altern"
        "ate user/assistant/user/assistant/...') }}{% endif %}{% if m['role'] == "
        "'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% elif m['role'] =="
        " 'assistant' %}{{ m['content'] + eos_token}}{% else %}{{ raise_exception"
        "('Only user and assistant roles are supported!') }}{% endif %}{% endfor "
        "%}"
    ),
    "llama2-chat": (
        "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages["
        "1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set "
        "loop_messages = messages %}{% set system_message = false %}{% endif %}{%"
        " for m in loop_messages %}{% if loop.index0 == 0 and system_message != f"
        "alse %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' "
        "+ m['content'] %}{% else %}{% set content = m['content'] %}{% endif %}{%"
        " if m['role'] == 'user' %}{{ bos_token + '[INST] ' + content | trim + ' "
        "[/INST]' }}{% elif m['role'] == 'assistant' %}{{ ' ' + content | trim + "
        "' ' + eos_token }}{% endif %}{% endfor %}"
    ),
    "openchat": (
        "{{ bos_token }}{% for m in messages %}{{ 'GPT4 Correct ' + m['role'].tit"
        "le() + ': ' + m['content'] + '<|end_of_turn|>'}}{% endfor %}{% if add_ge"
        "neration_prompt %}{{ 'GPT4 Correct Assistant:' }}{% endif %}"
    ),
    "command-r": (
        "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'system' %}{{ '"
        "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>' + m['content'] + '<|END_OF_TURN"
        "_TOKEN|>' }}{% elif m['role'] == 'user' %}{{ '<|START_OF_TURN_TOKEN|><|U"
        "SER_TOKEN|>' + m['content'].strip() + '<|END_OF_TURN_TOKEN|>' }}{% elif "
        "m['role'] == 'assistant' %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>'"
        " + m['content'].strip() + '<|END_OF_TURN_TOKEN|>' }}{% endif %}{% endfor"
        " %}{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TO"
        "KEN|>' }}{% endif %}"
    ),
    "alfred": (
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<start_user>' + m"
        "['content'].strip() + '<end_message>' }}{% elif m['role'] == 'system' %}"
        "{{ '<start_system>' + m['content'].strip() + '<end_message>' }}{% elif m"
        "['role'] == 'assistant' %}{{ '<start_assistant>' + m['content'] + '<end_"
        "message>' }}{% else %}{{ raise_exception('Only system, user and assistan"
        "t roles are supported.') }}{% endif %}{% if loop.last and add_generation"
        "_prompt %}{{ '<start_assistant>' }}{% endif %}{% endfor %}"
    ),
    "solar-instruct": (
        "{% for m in messages %}{% if m['role'] == 'system' %}{% if m['content']%"
        "}{{'### System:\\n' + m['content']+'\\n\\n'}}{% endif %}{% elif m['role'] ="
        "= 'user' %}{{'### User:\\n' + m['content']+'\\n\\n'}}{% elif m['role'] == '"
        "assistant' %}{{'### Assistant:\\n' + m['content']}}{% endif %}{% if loop."
        "last and add_generation_prompt %}{{ '### Assistant:\\n' }}{% endif %}{% e"
        "ndfor %}"
    ),
    "alpaca": (
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] + '"
        "\\n\\n' }}{% elif m['role'] == 'user' %}{{ '### Instruction:\\n' + m['conte"
        "nt'] + '\\n\\n' }}{% elif m['role'] == 'assistant' %}{{ '### Response:\\n' "
        "+ m['content'] + '\\n\\n' }}{% endif %}{% endfor %}{% if add_generation_pr"
        "ompt %}{{ '### Response:\\n' }}{% endif %}"
    ),
    "granite-instruct": (
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ 'Question:\\n' + m["
        "'content'] + '\\n\\n' }}{% elif m['role'] == 'system' %}{{ 'System:\\n' + m"
        "['content'] + '\\n\\n' }}{% elif m['role'] == 'assistant' %}{{ 'Answer:\\n'"
        " + m['content'] + '\\n\\n' }}{% endif %}{% if loop.last and add_generation"
        "_prompt %}{{ 'Answer:\\n' }}{% endif %}{% endfor %}"
    ),
    "falcon-instruct": (
        "{% for m in messages %}{% if not loop.first %}{{ '\\n' }}{% endif %}{% if"
        " m['role'] == 'system' %}{{ 'System: ' }}{% elif m['role'] == 'user' %}{"
        "{ 'User: ' }}{% elif m['role'] == 'assistant' %}{{ 'Falcon: ' }}{% endif"
        " %}{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}{{ '\\n' +"
        " 'Falcon:' }}{% endif %}"
    ),
    "vicuna": (
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ m['content'] + '"
        " ' }}{% elif m['role'] == 'user' %}{{ 'USER: ' + m['content'] + ' ' }}{%"
        " elif m['role'] == 'assistant' %}{{ 'ASSISTANT: ' + m['content'] + eos_t"
        "oken }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTAN"
        "T:' }}{% endif %}"
    ),
    "codellama-70b-instruct": (
        "{% for m in messages %}{% if loop.index0 == 0 %}{{ '<s>' }}{% endif %}{%"
        " set content = 'Source: ' + m['role'] + '\\n\\n ' + m['content'] | trim %}"
        "{{ content + ' <step> ' }}{% endfor %}{{'Source: assistant\\nDestination:"
        " user\\n\\n '}}"
    ),
}
OTHERS = {
    "prose": (
        "{% for message in messages %}{% if loop.first and messages[0]['role'] !="
        " 'system' %}{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end"
        "|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['"
        "content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt"
        " %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    ),
    "tools": (
        "{% if tools %}{{ '<tools>' }}{{ tools | tojson }}{{ '</tools>' }}{% endi"
        "f %}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\"
        "n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"
    ),
    "glm": (
        "[gMASK]<sop>{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }"
        "}{% endfor %}<|assistant|>\n"
    ),
}
ONE = (Message(Role.USER, "Hi"),)
MORE = (*ONE, Message(Role.ASSISTANT, "Yes"), Message(Role.USER, "Why?"))
FULL = (Message(Role.SYSTEM, "Be brief."), *MORE)


def refused(why: str) -> NoReturn:
    raise ValueError(why)


def by_jinja(name: str, messages: Sequence[Message]) -> str:
    """Write a prompt as llama.cpp does; the tokenizer adds the first `<s>` in either case."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string(JINJA[name]).render(
        messages=[{"role": str(each.role), "content": each.content} for each in messages],
        bos_token="<s>",
        eos_token="</s>",
        add_generation_prompt=True,
        raise_exception=refused,
    )
    return text.removeprefix("<s>")


def by_go(name: str, messages: Sequence[Message]) -> str:
    known = detect_template(JINJA[name])
    assert known is not None
    prompt = GoPrompt(read_template(known.go), date(2026, 8, 1))
    return write_prompt(prompt, messages, tools=NO_TOOLS, think=None)


@pytest.mark.parametrize("name", JINJA)
def test_a_template_is_told_by_what_it_writes(name: str) -> None:
    known = detect_template(JINJA[name])
    assert known is not None
    assert known.name == name.removesuffix("b")
    assert known.parameters["stop"]


@pytest.mark.parametrize("messages", [ONE, MORE], ids=["one", "more"])
@pytest.mark.parametrize("name", JINJA)
def test_the_known_form_writes_what_the_file_s_own_template_does(
    name: str, messages: Sequence[Message]
) -> None:
    assert by_go(name, messages) == by_jinja(name, messages)


@pytest.mark.parametrize(
    "name", sorted(set(JINJA) - {"mistral-instruct", "gemma-instruct", "phi-3b"})
)
def test_a_system_message_is_where_it_was(name: str) -> None:
    assert by_go(name, FULL) == by_jinja(name, FULL)


@pytest.mark.parametrize("name", ["mistral-instruct", "gemma-instruct", "phi-3b"])
def test_where_a_template_had_no_place_for_a_system_message_it_is_not_lost(name: str) -> None:
    assert "Be brief." in by_go(name, FULL)


@pytest.mark.parametrize("name", OTHERS)
def test_what_writes_more_is_not_taken_for_it(name: str) -> None:
    assert detect_template(OTHERS[name]) is None


@pytest.mark.parametrize("text", ["", "{{", "{% if %}", "x" * 100_000, "'" * 5000, "{{ '" * 5000])
def test_what_is_no_template_is_none_of_them(text: str) -> None:
    assert detect_template(text) is None


def test_an_answer_that_was_begun_is_gone_on_with() -> None:
    for known in KNOWN:
        prompt = GoPrompt(read_template(known.go), date(2026, 8, 1))
        begun = (*ONE, Message(Role.ASSISTANT, "It is"))
        assert write_prompt(prompt, begun, tools=NO_TOOLS, think=None).endswith("It is")
