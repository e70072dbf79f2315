"""Make a model from another one or from files in the store, by the steps that Ollama reports.

What the new model says of itself replaces what it inherits: template, system text and messages are
taken whole, parameters one by one, licences are added. Weights are never changed or copied. Nothing
of the model can be seen until its manifest is written.
"""

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import cast

from puna.chat.detect import detect_template
from puna.chat.families import check_families
from puna.chat.gotemplate.json_text import json_text
from puna.chat.gotemplate.template import read_template
from puna.chat.gotemplate.values import GoStruct, Value
from puna.chat.known_templates import KnownTemplate
from puna.errors import Invalid
from puna.library.draft import Draft
from puna.library.local import Facts, LocalModel
from puna.library.sameness import Overlay, same_model
from puna.library.store import ModelStore
from puna.library.weights.given import Given, Workshop
from puna.models.details import details_of
from puna.models.digest import Digest, digest_of
from puna.models.manifest import Layer, Manifest, MediaType, make_manifest
from puna.models.mix import Level
from puna.models.modelfile_parse import BAD_VERSION, VERSION
from puna.models.name import ModelName
from puna.models.options import OPTION_TABLE, parse_options
from puna.progress import Done, Progress, Step
from puna.text import one_line
from puna.units import Size

Json = dict[str, object]
_REPLACED = {
    "template": (MediaType.TEMPLATE, MediaType.PROMPT),
    "system": (MediaType.SYSTEM,),
    "messages": (MediaType.MESSAGES,),
}
_HEAVY = frozenset(
    {MediaType.MODEL, MediaType.PROJECTOR, MediaType.ADAPTER, MediaType.DRAFT, MediaType.TENSOR}
)
_MACHINE = ("architecture", "os")
_CONFIG_FIELDS = (
    *("model_format", "model_family", "model_families", "model_type", "file_type"),
    *("renderer", "parser", "requires", "capabilities", "context_length", "embedding_length"),
    *("base_name", "draft"),
)
_NEVER = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a new model is made of. None, or no files, mean: as in the model that it comes from."""

    name: ModelName
    files: Mapping[str, Digest] = field(default_factory=dict)
    """Names of files, relative, and the blobs that hold them: weights and projectors."""
    adapters: Mapping[str, Digest] = field(default_factory=dict)
    drafts: Mapping[str, Digest] = field(default_factory=dict)
    template: str | None = None
    system: str | None = None
    """As for the template: an empty text means none, whatever the other model has."""
    licenses: tuple[str, ...] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)
    messages: tuple[tuple[str, str], ...] | None = None
    """Role and text of each turn that starts every conversation."""
    claims: Mapping[str, object] = field(default_factory=dict)
    """What the config says beside what the weights do: `renderer`, `parser`, `requires`."""
    level: Level | None = None
    """The level to quantize the weights to."""
    draft_level: Level | None = None

    @property
    def given(self) -> Given:
        """What the weights are made of."""
        return Given(
            files=self.files,
            adapters=self.adapters,
            drafts=self.drafts,
            level=self.level,
            draft_level=self.draft_level,
        )


def check_recipe(recipe: Recipe, *, has_base: bool) -> None:
    """Refuse what cannot become a model, before anything is fetched. Raises `Invalid`."""
    if not has_base and not recipe.files:
        raise Invalid("neither 'from' or 'files' was specified")
    is_folder = any(name.endswith(".safetensors") for name in recipe.adapters)
    if len(recipe.adapters) > 1 and not is_folder:
        raise Invalid("only one adapter is currently supported")
    if recipe.draft_level and not recipe.drafts:
        raise Invalid("--draft-quantize requires a DRAFT model")
    for name in (*recipe.files, *recipe.adapters, *recipe.drafts):
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in name:
            raise Invalid(f"file path must be relative: {one_line(name, 100)}")
    _check_texts(recipe)


def _check_texts(recipe: Recipe) -> None:
    for name in recipe.parameters:
        if name not in OPTION_TABLE:
            raise Invalid(f"unknown parameter '{one_line(name, 60)}'")
    parse_options(recipe.parameters)
    check_families(*(str(recipe.claims.get(name, "")) for name in ("renderer", "parser")))
    version = str(recipe.claims.get("requires", ""))
    if version and not VERSION.fullmatch(version):
        raise Invalid(BAD_VERSION)
    if recipe.template:
        read_template(recipe.template)
    for role, _ in recipe.messages or ():
        if role not in {"system", "user", "assistant"}:
            raise Invalid('message role must be one of "system", "user", or "assistant"')


def create(
    store: ModelStore,
    recipe: Recipe,
    base: LocalModel | None,
    facts: Facts,
    *,
    known: Iterable[LocalModel] = (),
) -> Generator[Progress]:
    """Make the model, and tell each step. Blocks, for as long as weights are copied.

    A recipe that says what one of the `known` models is makes that model again, with its id.

    Raises `BlobNotUploaded`, `BadGguf`, `Unsupported`, and the store's errors.
    """
    with store.draft() as draft:
        if renderer := recipe.claims.get("renderer"):
            yield Step(
                f"renderer {renderer} has no effect: the model's own template writes prompts"
            )
        workshop = Workshop(store, draft, facts)
        given = yield from workshop.layers(recipe.given, base)
        layers = _deduplicated([*_inherited(recipe, base, given), *given])
        new: dict[Digest, bytes] = {}
        if form := _known_form(store, recipe, layers, given, facts):
            yield Step(f"using autodetected template {form.name}")
            parameters = {**form.parameters, **recipe.parameters}
            recipe = replace(recipe, template=form.go, parameters=parameters)
        layers = list(_with_texts(layers, recipe, base, new))
        config = _config(store, layers, recipe, base, facts)
        new[digest_of(config)] = config
        manifest = make_manifest(_text_layer(MediaType.CONFIG, config), layers)
        below = base.contents if base else store.blobs
        made = LocalModel(recipe.name, manifest, _NEVER, Overlay(new, below), facts)
        if same := same_model(made, known):
            base, manifest = same, same.manifest
            new = {layer.digest: same.contents.read(layer.digest) for layer in _texts_of(same)}
        yield from _stored(draft, manifest, base, new, made=workshop.made)
        yield Step("writing manifest")
        store.publish(draft, recipe.name, manifest)
    store.remove_unused(workshop.made)  # what was converted only to be quantized
    yield Done()


def _inherited(recipe: Recipe, base: LocalModel | None, given: Sequence[Layer]) -> Iterator[Layer]:
    """Yield the layers that stay. A file that is given takes the place of those of its kind."""
    replaced = [name for name in _REPLACED if getattr(recipe, name) is not None]
    gone = {kind for name in replaced for kind in _REPLACED[name]}
    gone |= {MediaType(layer.media_type) for layer in given}
    if base is not None:
        for layer in base.manifest.layers:
            if layer.media_type not in gone:
                yield replace(layer, source=layer.source or base.label)


def _deduplicated(layers: Iterable[Layer]) -> list[Layer]:
    return list({(layer.media_type, layer.digest): layer for layer in layers}.values())


def _with_texts(
    layers: list[Layer], recipe: Recipe, base: LocalModel | None, new: dict[Digest, bytes]
) -> Iterator[Layer]:
    """Yield the layers with the recipe's texts; what is not in the store yet is put in `new`."""

    def text(kind: MediaType, content: bytes) -> Layer:
        new[digest_of(content)] = content
        return _text_layer(kind, content)

    if not any(layer.media_type == MediaType.MODEL for layer in layers):
        raise Invalid("there are no weights: name a model or a GGUF file in FROM")
    yield from (each for each in layers if each.media_type != MediaType.PARAMS)
    if recipe.template and not _adds_nothing(recipe.template, base):
        yield text(MediaType.TEMPLATE, recipe.template.encode())
    if recipe.system:
        yield text(MediaType.SYSTEM, recipe.system.encode())
    present = {layer.digest for layer in layers}
    for license_text in dict.fromkeys(recipe.licenses):
        if license_text and digest_of(license_text.encode()) not in present:
            yield text(MediaType.LICENSE, license_text.encode())
    merged = {**(base.parameters if base else {}), **recipe.parameters}
    if merged:
        yield text(MediaType.PARAMS, _go_json(cast("Value", merged)))
    if recipe.messages:
        said = [
            GoStruct("Message", {"role": role, "content": words}) for role, words in recipe.messages
        ]
        yield text(MediaType.MESSAGES, _go_json(said))


def _known_form(
    store: ModelStore,
    recipe: Recipe,
    layers: Sequence[Layer],
    given: Sequence[Layer],
    facts: Facts,
) -> KnownTemplate | None:
    """Return the known template that new weights bring along, where nobody says another."""
    has_own = any(layer.media_type in {MediaType.TEMPLATE, MediaType.PROMPT} for layer in layers)
    weights = [layer for layer in given if layer.media_type == MediaType.MODEL]
    if recipe.template is not None or has_own or not weights:
        return None
    header = facts.header(store.blobs.path(weights[-1].digest))
    return detect_template(header.text("tokenizer.chat_template") or "")


def _adds_nothing(template: str, base: LocalModel | None) -> bool:
    """Tell whether a template is the one that `show` prints for a model that has none."""
    return template.strip() == "{{ .Prompt }}" and (base is None or not base.template)


def _config(
    store: ModelStore,
    layers: list[Layer],
    recipe: Recipe,
    base: LocalModel | None,
    facts: Facts,
) -> bytes:
    """Return the config blob: what the weights say, with what the recipe claims."""
    config: Json = {}
    if base is not None:
        config |= json.loads(base.contents.read(base.manifest.config.digest))
    weights = [layer for layer in layers if layer.media_type == MediaType.MODEL]
    is_new = base is None or weights[-1].digest not in {b.digest for b in base.manifest.layers}
    if is_new:
        details = details_of(facts.header(store.blobs.path(weights[-1].digest)))
        config |= {
            "model_format": "gguf",
            "model_family": details.family,
            "model_families": list(details.families),
            "model_type": details.parameter_size,
            "file_type": details.quantization_level,
        }
    known = config.get("model_families")
    families = known if isinstance(known, list) else []
    if new := set(_families_of_eyes(store, layers, facts)) - set(families):
        config |= {"model_families": [*families, *sorted(new)]}
    config |= {name: value for name, value in recipe.claims.items() if value}
    config |= {"architecture": "amd64", "os": "linux"}
    return _go_json(cast("Value", _in_order(config)))


def _in_order(config: Json) -> GoStruct:
    """Return a config with its fields in Ollama's order, so that equal models have equal ids."""
    known = {*_CONFIG_FIELDS, *_MACHINE, "rootfs"}
    names = [*_CONFIG_FIELDS, *(name for name in config if name not in known), *_MACHINE]
    fields = {name: cast("Value", config[name]) for name in names if name in config}
    return GoStruct("ConfigV2", fields)


def _families_of_eyes(store: ModelStore, layers: list[Layer], facts: Facts) -> Iterator[str]:
    """Yield the families of new projectors; those of a package are in its config already."""
    for layer in layers:
        if layer.media_type == MediaType.PROJECTOR and store.blobs.size(layer.digest) is not None:
            yield facts.header(store.blobs.path(layer.digest)).architecture or "clip"


def _texts_of(model: LocalModel) -> Iterator[Layer]:
    """Yield the layers of a model that are no files of weights."""
    return (each for each in model.manifest.blobs if each.media_type not in _HEAVY)


def _stored(
    draft: Draft,
    manifest: Manifest,
    base: LocalModel | None,
    new: Mapping[Digest, bytes],
    *,
    made: Sequence[Digest],
) -> Iterator[Progress]:
    """Put every blob into the store, and say of each whether it was there before."""
    for layer in manifest.blobs:
        is_here = draft.keep(layer.digest, layer.size)
        if layer.media_type != MediaType.CONFIG:
            was_here = is_here and layer.digest not in made
            yield Step(f"{'using existing' if was_here else 'creating new'} layer {layer.digest}")
        if not is_here and layer.digest in new:
            draft.write(new[layer.digest])
        elif not is_here and base is not None:
            draft.adopt(base.contents.path(layer.digest), layer.digest, layer.size)


def _text_layer(kind: MediaType, content: bytes) -> Layer:
    return Layer(kind, digest_of(content), Size(len(content)))


def _go_json(value: Value) -> bytes:
    """Write JSON as Ollama does, so that the same texts have the same digest."""
    return f"{json_text(value)}\n".encode()
