"""An answer of `/v1/chat/completions`, as events of a stream or as one object."""

from collections.abc import Mapping, Sequence

from puna.node.answer import Called
from puna.node.api.choices import Told
from puna.node.api.ollama.lines import as_json
from puna.node.api.openai.form import (
    FINGERPRINT,
    ChoicesWriter,
    Form,
    Run,
    by_choice,
    event,
    logprob,
    runs_of,
    said_json,
)
from puna.node.engine.request import ChosenToken
from puna.wire import openai as wire


class ChatWriter(ChoicesWriter):
    """Writes one answer, or several to the same conversation."""

    def __init__(self, form: Form) -> None:
        super().__init__(form, "chat.completion.chunk")
        self._begun: set[int] = set()

    def _chunk(self, choice: int, run: Run) -> bytes:
        if run.ended is None:
            return self._choice(choice, self._delta(choice, run), chosen=run.chosen)
        begins = b"" if choice in self._begun else self._choice(choice, self._delta(choice, Run()))
        reason = self._ledger.finish_reason(choice)
        notes = said_json(self._ledger.notes(choice))
        return begins + self._choice(choice, {}, reason=reason, notes=notes)

    def _delta(self, choice: int, run: Run) -> dict[str, object]:
        delta: dict[str, object] = {}
        if choice not in self._begun:
            self._begun.add(choice)
            delta["role"] = "assistant"
        if run.thought:
            return delta | {"reasoning": run.thought}
        if run.call is not None:
            return delta | {"tool_calls": [_call(run.call, in_stream=True).model_dump()]}
        return delta | {"content": run.text}

    def _choice(
        self,
        choice: int,
        delta: Mapping[str, object],
        *,
        chosen: Sequence[ChosenToken] = (),
        reason: str | None = None,
        notes: bytes = b"",
    ) -> bytes:
        fields: dict[str, object] = {"index": choice, "delta": delta, "finish_reason": reason}
        if chosen:
            fields["logprobs"] = {"content": [logprob(each).model_dump() for each in chosen]}
        return event(self._head, b',"choices":[' + as_json(fields) + b"]" + notes)

    def whole(self, items: Sequence[Told]) -> bytes:
        """Return the answers as one object."""
        self._ledger.take(items)
        return wire.ChatReply(
            id=self._form.id,
            object="chat.completion",
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

    def _whole_choice(self, choice: int, runs: Sequence[Run]) -> wire.ChatChoice:
        text = "".join(run.text for run in runs)
        calls = [_call(run.call, in_stream=False) for run in runs if run.call is not None]
        chosen = [logprob(token) for run in runs for token in run.chosen]
        return wire.ChatChoice(
            index=choice,
            message=wire.AssistantMessage(
                role="assistant",
                content=None if calls and not text else text,
                reasoning="".join(run.thought for run in runs),
                tool_calls=calls,
            ),
            finish_reason=self._ledger.finish_reason(choice),
            logprobs=wire.ChatLogprobs(content=chosen) if chosen else None,
        )


def _call(called: Called, *, in_stream: bool) -> wire.Call:
    call = called.call
    return wire.Call(
        id=call.id or f"call_{called.index}",
        index=called.index if in_stream else None,
        type="function",
        function=wire.Function(name=call.name, arguments=call.arguments),
    )
