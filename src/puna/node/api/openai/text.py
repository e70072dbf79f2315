"""An answer of `/v1/completions`, as events of a stream or as one object."""

from collections.abc import Sequence

from puna.node.api.choices import Told
from puna.node.api.openai.form import (
    FINGERPRINT,
    ChoicesWriter,
    Form,
    Run,
    by_choice,
    event,
    runs_of,
    said_json,
)
from puna.node.engine.request import ChosenToken
from puna.wire import openai as wire


class TextWriter(ChoicesWriter):
    """Writes the completions of one prompt or of several.

    `echoes` are the prompts that come back before their answers, one for each prompt.
    """

    def __init__(self, form: Form, echoes: Sequence[str] = ()) -> None:
        self._echoes = echoes
        super().__init__(form, "text_completion")
        self._lengths: dict[int, int] = {}

    def _chunk(self, choice: int, run: Run) -> bytes:
        reason = None if run.ended is None else self._ledger.finish_reason(choice)
        notes = b"" if run.ended is None else said_json(self._ledger.notes(choice))
        piece = self._choice(choice, self._echo(choice) + run.text, run.chosen, reason)
        return event(self._head, b',"choices":[' + piece.to_json() + b"]" + notes)

    def _echo(self, choice: int) -> str:
        """Return the prompt that comes back, the first time that it is asked for."""
        if choice in self._lengths:
            return ""
        self._lengths[choice] = 0
        return self._echoes[choice // self._form.each] if self._echoes else ""

    def _choice(
        self, choice: int, text: str, chosen: Sequence[ChosenToken], reason: str | None
    ) -> wire.TextChoice:
        offset = self._lengths[choice]
        self._lengths[choice] += len(text)
        return wire.TextChoice(
            text=text,
            index=choice,
            logprobs=_logprobs(chosen, offset) if chosen else None,
            finish_reason=reason,
        )

    def whole(self, items: Sequence[Told]) -> bytes:
        """Return the completions as one object."""
        self._ledger.take(items)
        return wire.CompletionReply(
            id=self._form.id,
            object="text_completion",
            created=self._form.created,
            model=self._form.model,
            system_fingerprint=FINGERPRINT,
            choices=[
                self._whole_choice(choice, list(runs_of(events)))
                for choice, events in sorted(by_choice(items))
            ],
            usage=self._ledger.usage(),
            puna=self._ledger.all_notes().said(),
        ).to_json()

    def _whole_choice(self, choice: int, runs: Sequence[Run]) -> wire.TextChoice:
        text = self._echo(choice) + "".join(run.text for run in runs)
        chosen = [token for run in runs for token in run.chosen]
        return self._choice(choice, text, chosen, self._ledger.finish_reason(choice))


def _logprobs(chosen: Sequence[ChosenToken], offset: int) -> wire.TextLogprobs:
    """Return the tokens as lists; an offset is a place in the text, in characters."""
    offsets = []
    for token in chosen:
        offsets.append(offset)
        offset += len(token.chosen.token)
    return wire.TextLogprobs(
        tokens=[token.chosen.token for token in chosen],
        token_logprobs=[token.chosen.logprob for token in chosen],
        top_logprobs=[
            {each.token: each.logprob for each in token.alternatives} for token in chosen
        ],
        text_offset=offsets,
    )
