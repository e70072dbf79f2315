"""The models of a node as Ollama lists and shows them. Pure: facts in, replies out."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import cast

from pydantic import JsonValue

from puna.chat.gotemplate.errors import BadTemplate
from puna.chat.template import choose_template
from puna.errors import PunaError
from puna.library.local import LocalModel
from puna.models.details import metadata_json
from puna.models.gguf import GgufHeader
from puna.models.manifest import ConfigBlob
from puna.models.modelfile import ModelParts, modelfile_text
from puna.models.option_text import parameters_text
from puna.node.card_plan import card_names
from puna.node.engine.request import EngineFacts
from puna.node.scheduler.state import Running
from puna.progress import Progress, Transfer
from puna.wire import ollama as wire

_NEVER = timedelta(days=292 * 365)
"""What Ollama adds for an endless keep-alive: the longest span that Go can hold."""
_BARE_TEMPLATE = "{{ .Prompt }}"


def tags(models: Sequence[LocalModel]) -> wire.Tags:
    """Return the reply of `/api/tags`."""
    return wire.Tags(models=[tag_entry(model) for model in models])


def tag_entry(model: LocalModel) -> wire.TagEntry:
    """Return one model of the list."""
    config = claims(model)
    return wire.TagEntry(
        name=model.label,
        model=model.label,
        remote_model=config.remote_model,
        remote_host=config.remote_host,
        modified_at=model.modified_at,
        size=model.size,
        digest=model.digest.hex,
        details=details(model),
        capabilities=capabilities(model),
    )


def claims(model: LocalModel) -> ConfigBlob:
    """Return what the manifest's config claims; nothing if it cannot be read."""
    try:
        return model.config
    except PunaError:
        return ConfigBlob()


def capabilities(model: LocalModel) -> list[str]:
    """Return what a model can do; nothing if its file cannot be read, so that lists go on."""
    try:
        return [each.value for each in model.details.sorted_capabilities]
    except PunaError:
        return []


def details(model: LocalModel) -> wire.Details:
    """Return the short facts of a model; from its config if its file cannot be read."""
    try:
        facts = model.details
    except PunaError:
        config = claims(model)
        return wire.Details(
            parent_model="",
            format=config.model_format,
            family=config.model_family,
            families=list(config.model_families),
            parameter_size=config.model_type,
            quantization_level=config.file_type,
        )
    return wire.Details(
        parent_model="",
        format=facts.format,
        family=facts.family,
        families=list(facts.families),
        parameter_size=facts.parameter_size,
        quantization_level=facts.quantization_level,
        context_length=facts.context_length or 0,
        embedding_length=facts.embedding_length or 0,
    )


def running_entry(running: Running, model: LocalModel, now: datetime) -> wire.RunningEntry:
    """Return one model in memory; what never expires expires in 292 years."""
    facts = running.facts
    return wire.RunningEntry(
        name=running.label,
        model=running.label,
        size=_size(running),
        digest=model.digest.hex,
        details=details(model),
        expires_at=running.expires_at or now + _NEVER,
        size_vram=_on_cards(running),
        context_length=facts.context if facts else running.spec.context,
        processor=_processor(facts) if facts else "",
        slots=facts.slots if facts else running.spec.slots,
        speculation=running.spec.speculation.kind if running.spec.speculation else "",
    )


def _on_cards(running: Running) -> int:
    shares = running.facts.shares if running.facts else running.spec.shares
    return sum(each.memory for each in shares)


def _size(running: Running) -> int:
    """Return what a model takes in all; on cards alone, what it takes there, as Ollama says it."""
    facts, spec = running.facts, running.spec
    if not _on_cards(running):
        return facts.memory if facts else spec.memory
    layers = facts.gpu_layers if facts else spec.gpu_layers
    is_whole = layers == spec.all_layers
    return _on_cards(running) + (0 if is_whole else spec.model_memory)


def _processor(facts: EngineFacts) -> str:
    """Say what computes: the processor's threads, cards, or both with their layers."""
    processor = f"CPU, {facts.threads} thread{'' if facts.threads == 1 else 's'}"
    if not facts.shares:
        return processor
    cards = card_names(facts.shares)
    if facts.gpu_layers == facts.all_layers:
        return cards
    return f"{facts.gpu_layers} of {facts.all_layers} layers on {cards}, the rest on {processor}"


def show(model: LocalModel, asked: wire.ShowRequest) -> wire.Show:
    """Return everything about a model.

    The Modelfile is the one for a model with the request's `system` and `options` instead of its
    own, and with the Go template, since a Modelfile takes no other; `template` is what is used.
    """
    header, config = model.header(), claims(model)
    system = asked.system or model.system
    parameters = {**model.parameters, **(asked.options or {})}
    return wire.Show(
        license="\n".join(model.licenses),
        modelfile=modelfile_text(_parts(model, system, parameters)),
        parameters=parameters_text(model.parameters),
        template=_template(model, header),
        system=system,
        details=details(model),
        messages=[
            wire.StoredMessage(role=each.role, content=each.content) for each in model.messages
        ],
        model_info=_info(header, verbose=bool(asked.verbose)),
        projector_info=_projector_info(model),
        tensors=[
            wire.Tensor(name=each.name, type=each.type.name, shape=list(each.shape))
            for each in header.tensors
        ],
        capabilities=capabilities(model),
        modified_at=model.modified_at,
        requires=config.requires,
    )


def _template(model: LocalModel, header: GgufHeader) -> str:
    """Show what is used: the Go template, or the GGUF's own where that can do more."""
    own = header.text("tokenizer.chat_template") or ""
    with suppress(BadTemplate):
        if own and choose_template(model.template, own) is None:
            return own
    return model.template or _BARE_TEMPLATE


def _parts(model: LocalModel, system: str, parameters: Mapping[str, object]) -> ModelParts:
    config = claims(model)
    return ModelParts(
        name=model.label,
        weights=str(model.weights),
        adapters=tuple(str(path) for path in model.adapters),
        draft=str(model.draft or ""),
        projectors=tuple(str(path) for path in model.projectors),
        template=model.template or _BARE_TEMPLATE,
        system=system,
        renderer=config.renderer,
        parser=config.parser,
        requires=config.requires,
        parameters=parameters,
        licenses=model.licenses,
        messages=tuple((str(each.role), each.content) for each in model.messages),
    )


def _info(header: GgufHeader, *, verbose: bool) -> dict[str, JsonValue]:
    return cast("dict[str, JsonValue]", metadata_json(header, verbose=verbose))


def _projector_info(model: LocalModel) -> dict[str, JsonValue]:
    paths = model.projectors
    return _info(model.facts.header(paths[0]), verbose=False) if paths else {}


def pull_progress(progress: Progress) -> wire.PullProgress:
    """Return one line of a pull."""
    if isinstance(progress, Transfer):
        return wire.PullProgress(
            status=progress.status,
            digest=progress.digest,
            total=progress.total,
            completed=progress.completed,
        )
    return wire.PullProgress(status=progress.status)
