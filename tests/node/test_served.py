"""Models are found once a second, and at once when their name changes its meaning."""

from pathlib import Path

import pytest

from puna.library.library import Library, open_library
from puna.library.store import ModelNotFound
from puna.models.name import InvalidName, ModelName
from puna.node.served import ServedModels
from puna.units import Span
from tests.api.stage import a_model, add_model, settings_for
from tests.builders import a_config, a_layer, a_manifest
from tests.stores import put_blob, put_manifest
from tests.worlds import FakeWorld

SECOND = Span.of(seconds=1)


@pytest.fixture
def world() -> FakeWorld:
    return FakeWorld()


@pytest.fixture
def library(tmp_path: Path, world: FakeWorld) -> Library:
    one = open_library(settings_for(tmp_path), world)
    add_model(one, "tiny", a_model(), [("system", b"Be kind.")])
    return one


@pytest.fixture
def served(library: Library, world: FakeWorld) -> ServedModels:
    return ServedModels(library, world)


def test_a_parser_s_name_in_the_config_tells_the_form_of_answers(
    library: Library, served: ServedModels
) -> None:
    weights, config = a_model(), a_config(parser="ministral")
    root = library.store.manifests.folder.parent
    for content in (weights, config):
        put_blob(root, content)
    put_manifest(root, "named", a_manifest(a_layer("model", weights), config=config))
    form = served.named("named").form
    assert form is not None
    assert form.marks == ("[TOOL_CALLS]",)
    assert served.named("tiny").form is None


def test_a_model_comes_with_its_texts(served: ServedModels) -> None:
    model = served.named("Tiny")
    assert (model.label, model.system) == ("tiny:latest", "Be kind.")
    assert model.full_name == "registry.ollama.ai/library/tiny:latest"


def test_it_is_read_once(served: ServedModels) -> None:
    assert served.named("tiny") is served.named("tiny")


async def test_after_a_second_it_is_looked_for_again(
    served: ServedModels, world: FakeWorld
) -> None:
    first = served.named("tiny")
    await world.advance(SECOND)
    assert served.named("tiny") is not first


def test_another_program_s_removal_is_seen_at_once(served: ServedModels, library: Library) -> None:
    served.named("tiny")
    library.remove(ModelName("tiny"))
    with pytest.raises(ModelNotFound, match="model 'tiny' not found"):
        served.named("tiny")


def test_another_program_s_change_is_seen_at_once(served: ServedModels, library: Library) -> None:
    served.named("tiny")
    add_model(library, "tiny", a_model(), [("system", b"Be brief, and be quick about it.")])
    assert served.named("tiny").system.startswith("Be brief")


def test_a_file_that_changes_is_read_again(served: ServedModels, tmp_path: Path) -> None:
    file = tmp_path / "loose.gguf"
    file.write_bytes(a_model(**{"general.name": "One"}))
    first = served.in_file(file)
    file.write_bytes(a_model(**{"general.name": "The other"}))
    assert first.header.metadata["general.name"] == "One"
    assert served.in_file(file).header.metadata["general.name"] == "The other"


def test_what_is_no_name_is_refused(served: ServedModels) -> None:
    with pytest.raises(InvalidName):
        served.named("../tiny")


def test_more_models_than_it_keeps_are_served(library: Library, world: FakeWorld) -> None:
    served = ServedModels(library, world, most=1)
    library.copy(ModelName("tiny"), ModelName("other"))
    names = [served.named(name).label for name in ("tiny", "other", "tiny")]
    assert names == ["tiny:latest", "other:latest", "tiny:latest"]
