"""What was not done as it was asked: collected on the way, and told in headers and in the reply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from puna.node.answer import Begun, Ended, Event
from puna.node.api.reply import header_text
from puna.node.prompt import Cut
from puna.wire.ollama import Truncated
from puna.wire.openai import Said


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes on one answer."""

    ignored: tuple[str, ...] = ()
    cut: Cut | None = None
    shifted: bool = False

    def after(self, event: Event) -> "Notes":
        """Return the notes with what an event adds."""
        if isinstance(event, Begun) and event.prompt.cut is not None:
            return replace(self, cut=event.prompt.cut)
        if isinstance(event, Ended) and (event.finish.shifted or event.finish.ignored):
            ignored = (*self.ignored, *event.finish.ignored)
            return replace(self, shifted=event.finish.shifted, ignored=ignored)
        return self

    def said(self) -> Said:
        """Return the field `puna` of a reply."""
        return Said(
            truncated=None if self.cut is None else truncated(self.cut),
            shifted=self.shifted,
            ignored=list(self.ignored),
        )

    def headers(self) -> Mapping[str, str]:
        """Return the headers, as far as it is known before the answer."""
        return note_headers(self.cut, self.ignored)


def note_headers(cut: Cut | None, ignored: Sequence[str]) -> Mapping[str, str]:
    """Return headers that say what was cut and what was ignored, if anything."""
    headers = {}
    if cut is not None:
        numbers = truncated(cut).model_dump(exclude_defaults=True)
        headers["Puna-Truncated"] = "; ".join(f"{name}={n}" for name, n in numbers.items())
    if ignored:
        headers["Puna-Ignored-Options"] = header_text(", ".join(ignored))
    return headers


def truncated(cut: Cut) -> Truncated:
    """Return a cut as it travels."""
    return Truncated(
        prompt_tokens=cut.prompt_tokens,
        kept_tokens=cut.kept_tokens,
        context_length=cut.context_length,
        dropped_messages=cut.dropped_messages,
        is_estimate=cut.is_estimate,
    )
